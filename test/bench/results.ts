/** What a benchmark case (case.ts) sends to the process that started it. */
import * as v from 'valibot'

const rateSchema = v.object({ best: v.number(), median: v.number() })
export type Rate = v.InferOutput<typeof rateSchema>

/** Speed, load and memory of one model on one backend with so many threads: BenchFigures of engine/bench.ts and more. */
export const speedSchema = v.object({
  backend: v.string(),
  kernel: v.string(),
  description: v.string(),
  threads: v.number(),
  fileBytes: v.number(),
  /** Of one sequence. */
  bytesPerState: v.number(),
  /** Resident memory with the backend made and no model loaded. */
  emptyRssBytes: v.number(),
  decodeTokensPerSecond: rateSchema,
  prefillTokensPerSecond: rateSchema,
  decodeAhead: v.array(v.object({ sampling: v.string(), tokensPerSecond: rateSchema })),
  batchedDecode: v.array(v.object({ sequences: v.number(), tokensPerSecond: rateSchema })),
  bytesReadPerToken: v.number(),
  memoryReadBytesPerSecond: v.nullable(rateSchema),
  memoryLimitRatio: v.nullable(rateSchema),
  products: v.nullable(
    v.object({
      gemvWeightsPerSecond: rateSchema,
      gemvBytesPerSecond: rateSchema,
      gemmMultiplyAddsPerSecond: rateSchema,
    }),
  ),
  loadMs: v.number(),
  loadPeakRssBytes: v.number(),
  firstTokenMs: v.number(),
  rssBytes: v.number(),
  peakRssBytes: v.number(),
  memory: v.object({ weightBytes: v.number(), bytesOfAllStates: v.number(), scratchBytes: v.number() }),
})
export type Speed = v.InferOutput<typeof speedSchema>

/** Memory along one long sequence. */
export const flatnessSchema = v.object({
  threads: v.number(),
  samples: v.array(
    v.object({
      /** Decoded so far. */
      tokens: v.number(),
      rssBytes: v.number(),
      /** What the engine counts as its own. */
      engineBytes: v.number(),
      /** Since the sample before. */
      tokensPerSecond: v.number(),
    }),
  ),
})
export type Flatness = v.InferOutput<typeof flatnessSchema>

/** Going on with a chat from its state file. */
export const resumeSchema = v.object({
  threads: v.number(),
  chats: v.array(
    v.object({
      tokens: v.number(),
      stateFileBytes: v.number(),
      /** From the bytes to the first logits in a process that has just loaded the model, which it hashes once. */
      afterLoadMs: v.number(),
      /** From the bytes to the first logits, later: median and best. */
      medianMs: v.number(),
      bestMs: v.number(),
      /** From the bytes to the first token of a reply to one more message of the user. */
      nextReplyMs: v.number(),
    }),
  ),
})
export type Resume = v.InferOutput<typeof resumeSchema>

/** Time on the device of each op of a decode step and of a prefill chunk; null where its clock cannot be read. */
const opTimesSchema = v.nullable(
  v.array(v.object({ op: v.string(), dispatches: v.number(), microseconds: v.number() })),
)
export const opsSchema = v.object({
  kernel: v.string(),
  decode: opTimesSchema,
  prefillTokens: v.number(),
  prefill: opTimesSchema,
})
export type Ops = v.InferOutput<typeof opsSchema>

/** Kernels by themselves, one thread. */
export const kernelsSchema = v.object({
  kernel: v.string(),
  rows: v.array(
    v.object({
      name: v.string(),
      /** Of one call. */
      work: v.string(),
      microseconds: rateSchema,
      /** Weights, multiply-adds or elements a second. */
      itemsPerSecond: rateSchema,
      unit: v.string(),
      bytesPerSecond: rateSchema,
    }),
  ),
})
export type Kernels = v.InferOutput<typeof kernelsSchema>
