/** The app itself. */
import * as v from 'valibot'
import { nothing } from '../words/numbers.ts'

export const appInfoSchema = v.object({
  version: v.string(),
  shell: v.picklist(['electron', 'browser']),
  platform: v.string(),
})
export type AppInfo = v.InferOutput<typeof appInfoSchema>

export const appPart = {
  calls: {
    'app.info': { params: nothing, result: appInfoSchema },
  },
  streams: {},
} as const
