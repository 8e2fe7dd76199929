/** Messages that were deleted from a chat, in memory for as long as that can be undone. */
import type { Cancel } from '../../time.ts'
import type { MessageNode } from './message-tree.ts'
import type { ChatStore } from './ports.ts'

/** Of the states that are kept along; the messages beyond them are read again. */
const MAX_STATE_BYTES = 64 * 2 ** 20

export interface DeletedMessages {
  /** Parents before their children. */
  readonly messages: readonly MessageNode[]
  readonly states: ReadonlyMap<string, Uint8Array>
  /** The branch that was shown. */
  readonly leafId: string | null
  /** It was not undone in time, or something else was deleted. */
  readonly forget: Cancel
}

/** What goes with the messages: their states, the last ones first. */
export async function statesOf(
  store: ChatStore,
  messages: readonly MessageNode[],
): Promise<ReadonlyMap<string, Uint8Array>> {
  const states = new Map<string, Uint8Array>()
  let bytes = 0
  for (const { id } of messages.toReversed()) {
    const state = await store.getSnapshot(id)
    if (state === null) continue
    bytes += state.byteLength
    if (bytes > MAX_STATE_BYTES) break
    states.set(id, state)
  }
  return states
}

/** They are back in the store, with their states. */
export async function storeAgain(store: ChatStore, chatId: string, deleted: DeletedMessages): Promise<void> {
  const { messages, states, leafId } = deleted
  await store.addMessages(chatId, messages, { activeLeafId: leafId })
  for (const [id, state] of states) await store.putSnapshot(chatId, id, state)
}
