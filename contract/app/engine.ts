/** The engine as the window shows it. */
import * as v from 'valibot'
import { errorDataSchema } from '../errors.ts'
import { engineMemorySchema } from '../words/memory.ts'
import { loadedModelSchema } from '../words/model.ts'
import { bytes, count, fraction, nothing } from '../words/numbers.ts'

/** One state machine for the engine process and its model, as the window shows it. */
const engineStatusSchema = v.variant('phase', [
  v.object({ phase: v.literal('starting') }),
  v.object({ phase: v.literal('loading'), modelName: v.string(), stage: v.picklist(['convert', 'load']), fraction }),
  /** `isMoving`: on its way to another backend; replies wait and go on there. */
  v.object({ phase: v.literal('ready'), loaded: loadedModelSchema, isMoving: v.boolean() }),
  /** The process runs without a model. */
  v.object({ phase: v.literal('unloaded') }),
  /** The process ended by itself; a new one is on its way. */
  v.object({ phase: v.literal('restarting'), attempt: count, reason: v.string() }),
  /** Given up, or the model cannot be loaded: `engine.retry` tries again. */
  v.object({
    phase: v.literal('failed'),
    error: errorDataSchema,
    /** The model that could not be used, where it is another than the embedded one: that one can still be. */
    otherModelPath: v.nullable(v.string()),
  }),
])
export type EngineStatus = v.InferOutput<typeof engineStatusSchema>

export const enginePart = {
  calls: {
    /** Starts the engine again after 'failed'. */
    'engine.retry': { params: nothing, result: nothing },
    /** Loads the model that comes with Tern in place of the one asked for at the start. */
    'engine.useEmbedded': { params: nothing, result: nothing },
  },
  streams: {
    'engine.status': { params: nothing, event: engineStatusSchema },
    /** The engine's memory, about twice a second while subscribed. */
    'engine.memory': {
      params: nothing,
      event: v.object({ sampledAtMs: v.number(), memory: engineMemorySchema, hostRssBytes: bytes }),
    },
  },
} as const
