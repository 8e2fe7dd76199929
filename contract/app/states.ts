/** The states that let chats go on at once: what they take, and how much they may. */
import * as v from 'valibot'
import { bytes, count, nothing } from '../words/numbers.ts'

const stateUseSchema = v.object({
  /** Compressed, of all chats. */
  bytes,
  count,
  maxBytes: bytes,
})
export type StateUse = v.InferOutput<typeof stateUseSchema>

export const statesPart = {
  calls: {
    'states.use': { params: nothing, result: stateUseSchema },
    /** What is above it goes at once, what is most easily done without first; text never does. */
    'states.setBudget': { params: v.object({ maxBytes: bytes }), result: stateUseSchema },
  },
  streams: {},
} as const
