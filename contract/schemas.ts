/**
 * Shapes shared by the engine's and the app's contract. Units are in the names.
 */
import * as v from 'valibot'

export const count = v.pipe(v.number(), v.integer(), v.minValue(0))
export const bytes = v.pipe(v.number(), v.minValue(0))
export const bytesValue = v.custom<Uint8Array>(value => value instanceof Uint8Array, 'expected bytes')
export const fraction = v.pipe(v.number(), v.minValue(0), v.maxValue(1))
export const tokenIds = v.array(count)

/** All optional: what is left out takes the model's or the engine's default. */
export const samplingSchema = v.object({
  /** 0 is greedy. */
  temperature: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(100))),
  /** 0 is off. */
  topK: v.optional(count),
  /** 1 is off. */
  topP: v.optional(fraction),
  /** 0 is off. */
  minP: v.optional(fraction),
  /** 1 is off. */
  repetitionPenalty: v.optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(100))),
  presencePenalty: v.optional(v.pipe(v.number(), v.minValue(-100), v.maxValue(100))),
  frequencyPenalty: v.optional(v.pipe(v.number(), v.minValue(-100), v.maxValue(100))),
  /** The last tokens that penalties look at; 0 is all. */
  penaltyWindow: v.optional(count),
  seed: v.optional(count),
  stop: v.optional(v.pipe(v.array(v.pipe(v.string(), v.minLength(1))), v.maxLength(64))),
  /** Token id to bias added to its logit. */
  logitBias: v.optional(v.array(v.tuple([count, v.number()]))),
  maxTokens: v.optional(count),
})
export type Sampling = v.InferOutput<typeof samplingSchema>

export const finishReasonSchema = v.picklist(['end-of-text', 'stop-string', 'max-tokens', 'cancelled'])
export type FinishReason = v.InferOutput<typeof finishReasonSchema>

export const generationStatsSchema = v.object({
  /** Tokens read before the first new one, in this run. */
  promptTokens: count,
  generatedTokens: count,
  /** From the request to the first token, milliseconds. */
  ttftMs: v.number(),
  /** null when nothing was read or too little to tell. */
  prefillTokensPerSecond: v.nullable(v.number()),
  decodeTokensPerSecond: v.nullable(v.number()),
})
export type GenerationStats = v.InferOutput<typeof generationStatsSchema>

/** The engine's memory: what it allocated itself, and what the operating system says of its process. */
export const engineMemorySchema = v.object({
  weightBytes: bytes,
  /** All live sessions. */
  stateBytes: bytes,
  scratchBytes: bytes,
  sessionCount: count,
  /** One session's state: the figure that stays flat. */
  stateBytesPerSession: bytes,
  /** Weights, states and scratch are in the graphics processor's memory, not in the process's. */
  isGpuMemory: v.optional(v.boolean(), false),
  processRssBytes: v.nullable(bytes),
})
export type EngineMemory = v.InferOutput<typeof engineMemorySchema>

export const backendChoiceSchema = v.picklist(['auto', 'reference', 'wasm', 'webgpu'])
export type BackendChoice = v.InferOutput<typeof backendChoiceSchema>

/** What computes, and with what: everything but `backend` may be left out. */
export const backendRequestSchema = v.object({
  backend: backendChoiceSchema,
  /** Threads of the CPU. */
  threads: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(64))),
  /** 'auto', 'discrete', 'integrated', or a part of a graphics processor's name. */
  adapter: v.optional(v.pipe(v.string(), v.minLength(1))),
  /** What a model may take of its memory; left out: what is free, where the machine says so. */
  gpuMemoryBytes: v.optional(bytes),
})
export type BackendRequest = v.InferOutput<typeof backendRequestSchema>

/** A graphics processor as WebGPU sees it. */
export const gpuAdapterSchema = v.object({
  name: v.string(),
  vendor: v.string(),
  /** The driver's own words. */
  driver: v.string(),
  /** The processor pretending to be a GPU: right and slow. */
  isSoftware: v.boolean(),
  /** WebGPU does not say; known where the system has one for speed and another for long battery life. */
  kind: v.picklist(['software', 'integrated', 'discrete', 'unknown']),
  /** 0: no subgroups. */
  subgroupMinSize: count,
  hasPackedDot: v.boolean(),
  hasTimestamps: v.boolean(),
  maxBufferBytes: bytes,
  maxBindingBytes: bytes,
  maxWorkgroupBytes: bytes,
})
export type GpuAdapter = v.InferOutput<typeof gpuAdapterSchema>

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
  stateBytes: bytes,
  /** Storage of the ternary matrices and of the embedding. */
  packing: v.string(),
  embeddingType: v.string(),
  license: v.nullable(v.string()),
  description: v.nullable(v.string()),
  /** false: a base model without a template; chats are plain completion. */
  hasChatTemplate: v.boolean(),
})
export type ModelInfo = v.InferOutput<typeof modelInfoSchema>

export const backendInfoSchema = v.object({
  name: v.picklist(['reference', 'wasm', 'webgpu', 'fpga']),
  /** For people: "relaxed SIMD, 2 threads". */
  description: v.string(),
  kernel: v.string(),
  threads: count,
})
export type BackendInfo = v.InferOutput<typeof backendInfoSchema>

export const loadedModelSchema = v.object({ model: modelInfoSchema, backend: backendInfoSchema, loadMs: v.number() })
export type LoadedModel = v.InferOutput<typeof loadedModelSchema>

export const chatRoleSchema = v.picklist(['system', 'user', 'assistant'])
export const templateMessageSchema = v.object({ role: chatRoleSchema, content: v.string() })
export type TemplateMessage = v.InferOutput<typeof templateMessageSchema>
