/** What the engine tells by itself, whether a reply is being written or not. */
import * as v from 'valibot'
import { errorDataSchema } from '../errors.ts'
import { backendInfoSchema } from '../words/backend.ts'
import { loadedModelSchema } from '../words/model.ts'
import { nothing } from '../words/numbers.ts'

/** Why sequences go to another backend: the user asked, the device was lost, or it had to make room. */
const moveCauseSchema = v.picklist(['asked', 'lost', 'evicted'])

const engineEventSchema = v.variant('kind', [
  v.object({ kind: v.literal('loaded'), loaded: loadedModelSchema }),
  /** The model is on its way to another backend; replies wait. */
  v.object({ kind: v.literal('moving'), cause: moveCauseSchema }),
  /** `isExact`: false when the state was rounded on its way. `reason` says why, in one sentence. */
  v.object({
    kind: v.literal('moved'),
    cause: moveCauseSchema,
    backend: backendInfoSchema,
    /** Until the model was loaded there. */
    loadMs: v.number(),
    reason: v.string(),
    isExact: v.boolean(),
  }),
  /** The backend cannot go on and nothing could take over: every call fails until the model is loaded again. */
  v.object({ kind: v.literal('failed'), error: errorDataSchema }),
  v.object({ kind: v.literal('unloaded') }),
])
export type EngineEvent = v.InferOutput<typeof engineEventSchema>

export const eventsPart = {
  calls: {},
  streams: {
    /** Begins with 'loaded' or 'unloaded', the present state; ends only with the subscription. */
    'engine.events': { params: nothing, event: engineEventSchema },
  },
} as const
