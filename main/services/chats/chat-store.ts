/**
 * Where chats and their state snapshots live. This boundary is all that chats.ts knows of storage. In memory for now:
 * chats end with the host.
 */
import type { ChatMessage } from '../../../contract/app/chats.ts'

export interface StoredChat {
  id: string
  title: string
  createdAtMs: number
  updatedAtMs: number
  messages: ChatMessage[]
}

/**
 * States of the engine's session around one reply; opaque bytes. A missing one costs time, never text: the engine then
 * reads the conversation again.
 */
export type SnapshotPoint =
  /** The conversation is read, the assistant's turn is open, no token of the reply exists. */
  | 'before'
  /** After the reply's last token. */
  | 'after'

export interface ChatStore {
  chats(): StoredChat[]
  chat(chatId: string): StoredChat | undefined
  /** Writes the chat as it is now. */
  save(chat: StoredChat): void
  /** Deletes the chat and all its snapshots. */
  delete(chatId: string): void
  snapshot(messageId: string, point: SnapshotPoint): Uint8Array | undefined
  saveSnapshot(chatId: string, messageId: string, point: SnapshotPoint, state: Uint8Array): void
  deleteSnapshot(messageId: string, point: SnapshotPoint): void
}

const DEFAULT_SNAPSHOT_BYTES_LIMIT = 256 * 1024 * 1024

/** Keeps chats in memory, and the most recently used snapshots up to `snapshotBytesLimit` in all. */
export function createMemoryChatStore(snapshotBytesLimit = DEFAULT_SNAPSHOT_BYTES_LIMIT): ChatStore {
  const chats = new Map<string, StoredChat>()
  /** Least recently used first. */
  const snapshots = new Map<string, { chatId: string; state: Uint8Array }>()
  let snapshotBytes = 0

  const keyOf = (messageId: string, point: SnapshotPoint) => `${messageId} ${point}`
  const remove = (key: string) => {
    const entry = snapshots.get(key)
    if (entry === undefined) return
    snapshots.delete(key)
    snapshotBytes -= entry.state.byteLength
  }

  return {
    chats: () => [...chats.values()],
    chat: chatId => chats.get(chatId),
    save: chat => void chats.set(chat.id, chat),
    delete(chatId) {
      chats.delete(chatId)
      for (const [key, entry] of [...snapshots]) if (entry.chatId === chatId) remove(key)
    },
    snapshot(messageId, point) {
      const key = keyOf(messageId, point)
      const entry = snapshots.get(key)
      if (entry === undefined) return undefined
      snapshots.delete(key)
      snapshots.set(key, entry)
      return entry.state
    },
    saveSnapshot(chatId, messageId, point, state) {
      const key = keyOf(messageId, point)
      remove(key)
      snapshots.set(key, { chatId, state })
      snapshotBytes += state.byteLength
      for (const oldest of [...snapshots.keys()]) {
        if (snapshotBytes <= snapshotBytesLimit) break
        remove(oldest)
      }
    },
    deleteSnapshot: (messageId, point) => remove(keyOf(messageId, point)),
  }
}
