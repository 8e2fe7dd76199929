/** Memory of the engine. */
import * as v from 'valibot'
import { bytes, count } from './numbers.ts'

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
