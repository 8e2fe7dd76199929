/** The app itself. */
import * as v from 'valibot'
import { errorDataSchema } from '../errors.ts'
import { count, nothing } from '../words/numbers.ts'

const appInfoSchema = v.object({
  version: v.string(),
  shell: v.picklist(['electron', 'browser']),
  platform: v.string(),
})
export type AppInfo = v.InferOutput<typeof appInfoSchema>

/** Where chats are kept, and what is wrong with that. */
const storageSchema = v.object({
  /** The data folder; null: chats are in memory only and end with Tern. */
  path: v.nullable(v.string()),
  /** Why what is written now is not kept; null: it is. */
  problem: v.nullable(errorDataSchema),
  /** What was saved of a damaged file at this start, and where that file is now. */
  recovery: v.nullable(v.object({ damagedPath: v.string(), chats: count, messages: count })),
})
export type Storage = v.InferOutput<typeof storageSchema>

export const appPart = {
  calls: {
    'app.info': { params: nothing, result: appInfoSchema },
  },
  streams: {
    /** How it stands now, and whenever that changes. */
    'app.storage': { params: nothing, event: storageSchema },
  },
} as const
