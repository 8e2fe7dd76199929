/** Messages that were deleted from a chat, in memory for as long as that can be undone. */
import type { Cancel } from '../../time.ts'
import type { MessageNode } from './message-tree.ts'
import type { ChatStore } from './ports.ts'

/** Of the states that are kept along; the messages beyond them are read again. */
const MAX_STATE_BYTES = 64 * 2 ** 20

interface KeptState {
  messageId: string
  modelKey: string
  state: Uint8Array
}

export interface DeletedMessages {
  /** Parents before their children. */
  readonly messages: readonly MessageNode[]
  readonly states: readonly KeptState[]
  /** The branch that was shown. */
  readonly leafId: string | null
  /** It was not undone in time, or something else was deleted. */
  readonly forget: Cancel
}

/** What goes with the messages: their states, the last ones first. */
export async function statesOf(store: ChatStore, messages: readonly MessageNode[]): Promise<readonly KeptState[]> {
  const states: KeptState[] = []
  let bytes = 0
  for (const { id } of messages.toReversed()) {
    for (const modelKey of await store.snapshotModels(id)) {
      const state = await store.getSnapshot(id, modelKey)
      if (state === null) continue
      bytes += state.byteLength
      if (bytes > MAX_STATE_BYTES) return states
      states.push({ messageId: id, modelKey, state })
    }
  }
  return states
}

/** They are back in the store, with their states. */
export async function storeAgain(store: ChatStore, chatId: string, deleted: DeletedMessages): Promise<void> {
  const { messages, states, leafId } = deleted
  await store.addMessages(chatId, messages, { activeLeafId: leafId })
  for (const { messageId, modelKey, state } of states) await store.putSnapshot(chatId, messageId, modelKey, state)
}

/** The states of one message as those of its copy. */
export async function copyStates(store: ChatStore, fromId: string, chatId: string, toId: string): Promise<void> {
  for (const modelKey of await store.snapshotModels(fromId)) {
    const state = await store.getSnapshot(fromId, modelKey)
    if (state !== null) await store.putSnapshot(chatId, toId, modelKey, state)
  }
}
