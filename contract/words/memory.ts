/** Memory of the engine. */
import * as v from 'valibot'
import { bytes, count } from './numbers.ts'

/** The engine's memory: what it allocated itself, and what the operating system says of its process. */
export const engineMemorySchema = v.object({
  weightBytes: bytes,
  /** All states that are there now. */
  bytesOfAllStates: bytes,
  scratchBytes: bytes,
  sessionCount: count,
  /** One session's state: the figure that stays flat. */
  bytesPerState: bytes,
  /** Whose memory holds weights, states and scratch: only the system's is the process's own. */
  place: v.optional(v.picklist(['system', 'gpu', 'board']), 'system'),
  processRssBytes: v.nullable(bytes),
})
export type EngineMemory = v.InferOutput<typeof engineMemorySchema>
