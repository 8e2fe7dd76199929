/** A model file, and a model that is loaded. */
import * as v from 'valibot'
import { backendInfoSchema } from './backend.ts'
import { bytes, count } from './numbers.ts'

export const modelInfoSchema = v.object({
  name: v.string(),
  path: v.string(),
  fileBytes: bytes,
  parameterCount: count,
  ternaryParameterCount: count,
  vocabularySize: count,
  hiddenSize: count,
  stateWidth: count,
  layerCount: count,
  intermediateSize: count,
  trainingContextLength: count,
  bytesPerState: bytes,
  /** Storage of the ternary matrices and of the embedding. */
  packing: v.string(),
  embeddingType: v.string(),
  license: v.nullable(v.string()),
  description: v.nullable(v.string()),
  /** false: a base model without a template; chats are plain completion. */
  hasChatTemplate: v.boolean(),
})
export type ModelInfo = v.InferOutput<typeof modelInfoSchema>

export const loadedModelSchema = v.object({ model: modelInfoSchema, backend: backendInfoSchema, loadMs: v.number() })
export type LoadedModel = v.InferOutput<typeof loadedModelSchema>
