/** The power that the machine draws, as far as it can be read. */
import * as v from 'valibot'
import { closedSourceSchema, powerReadingSchema } from '../words/energy.ts'
import { nothing } from '../words/numbers.ts'

const powerSampleSchema = v.object({
  sampledAtMs: v.number(),
  /** Scopes may contain each other: they are never added up here. */
  readings: v.array(powerReadingSchema),
  closed: v.array(closedSourceSchema),
  /** The draw while no reply is written, of the scope that replies are measured by; null: not known yet. */
  idleWatts: v.nullable(v.number()),
})
export type PowerSample = v.InferOutput<typeof powerSampleSchema>

export const powerPart = {
  calls: {},
  streams: {
    /** About twice a second while subscribed; nothing is read while nobody is and no reply is written. */
    'power.watch': { params: nothing, event: powerSampleSchema },
  },
} as const
