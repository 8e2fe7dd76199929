/** The states that let chats go on at once: what they take, how much they may, and files of them. */
import * as v from 'valibot'
import { errorDataSchema } from '../errors.ts'
import { bytes, count, nothing } from '../words/numbers.ts'

/** Of a state file; those of the largest published model take half a megabyte, and their text. */
export const MAX_STATE_FILE_BYTES = 4 * 2 ** 20

const stateUseSchema = v.object({
  /** Compressed, of all chats. */
  bytes,
  count,
  maxBytes: bytes,
})
export type StateUse = v.InferOutput<typeof stateUseSchema>

/** Bytes as base64: what goes to and from a window is JSON. */
const stateFileSchema = v.pipe(v.string(), v.base64(), v.maxLength(Math.ceil(MAX_STATE_FILE_BYTES / 3) * 4))

const openedStateSchema = v.variant('kind', [
  v.object({ kind: v.literal('opened'), chatId: v.string() }),
  /** The loaded model cannot go on from it; its text can be read again, so many tokens of the model that made it. */
  v.object({ kind: v.literal('misfit'), error: errorDataSchema, modelName: v.string(), tokenCount: count }),
])
export type OpenedState = v.InferOutput<typeof openedStateSchema>

export const statesPart = {
  calls: {
    'states.use': { params: nothing, result: stateUseSchema },
    /** What is above it goes at once, what is most easily done without first; text never does. */
    'states.setBudget': { params: v.object({ maxBytes: bytes }), result: stateUseSchema },
    /** A file from which a chat can be begun on any machine: the state after this message, and all messages up to it. */
    'states.save': { params: v.object({ chatId: v.string(), messageId: v.string() }), result: v.string() },
    /**
     * Begins a chat from a file. `readAgain`: also where the loaded model cannot go on from it, by its text alone. Throws
     * `state-corrupt`, `invalid-argument` for a file without a conversation.
     */
    'states.open': { params: v.object({ state: stateFileSchema, readAgain: v.boolean() }), result: openedStateSchema },
  },
  streams: {},
} as const
