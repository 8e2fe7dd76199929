/** The loaded model, and where it computes. */
import * as v from 'valibot'
import { ACCELERATOR_BOARDS, acceleratorEstimateSchema } from '../words/accelerator.ts'
import { backendInfoSchema, backendRequestSchema, gpuAdapterSchema } from '../words/backend.ts'
import { engineMemorySchema } from '../words/memory.ts'
import { loadedModelSchema, modelInfoSchema } from '../words/model.ts'
import { fraction, nothing } from '../words/numbers.ts'

export const modelPart = {
  calls: {
    'model.info': { params: v.object({ path: v.string() }), result: modelInfoSchema },
    /** What accelerator boards would do with a model, in the order asked for. No board and no weights are touched. */
    'accelerator.estimate': {
      params: v.object({ path: v.string(), boards: v.array(v.picklist(ACCELERATOR_BOARDS)) }),
      result: v.array(acceleratorEstimateSchema),
    },
    'model.unload': { params: nothing, result: nothing },
    memory: { params: nothing, result: engineMemorySchema },
    /** Graphics processors, the one that 'auto' means first; software ones are among them. */
    'backend.adapters': { params: nothing, result: v.array(gpuAdapterSchema) },
    /** Takes the loaded model and all sessions to another backend, between two tokens of a reply in progress. */
    'model.move': { params: backendRequestSchema, result: backendInfoSchema },
  },
  streams: {
    /** Loads a GGUF file or a Hugging Face folder; replaces the model before it. */
    'model.load': {
      params: v.object({
        path: v.string(),
        ...backendRequestSchema.entries,
      }),
      event: v.variant('kind', [
        v.object({ kind: v.literal('progress'), stage: v.picklist(['convert', 'load']), fraction }),
        v.object({ kind: v.literal('loaded'), loaded: loadedModelSchema }),
      ]),
    },
  },
} as const
