/** What chats need of others: the engine, and a place that keeps them. */

import type { EngineApi } from '../../../contract/engine-api.ts'
import type { AbortSignalLike, Client } from '../../../contract/rpc.ts'
import type { MarkedPart } from '../../../contract/words/find-text.ts'
import type { MessageNode, MessagePatch } from './message-tree.ts'

import { NEW_CHAT_TITLE } from './titles.ts'

export type { MessageNode, MessagePatch } from './message-tree.ts'

/** One loaded model in one life of the engine process: sessions live and die with it. */
export interface EngineConnection {
  readonly client: Client<EngineApi>
  /** Tells the states of one model from those of others. The engine itself checks whether a state fits. */
  readonly modelKey: string
}

export interface EngineAccess {
  whenReady(signal?: AbortSignalLike): Promise<EngineConnection>
}

export interface ChatRecord {
  readonly id: string
  readonly title: string
  readonly createdAtMs: number
  readonly updatedAtMs: number
  /** null: not deleted. */
  readonly deletedAtMs: number | null
  readonly activeLeafId: string | null
  /** Kept in memory alone. */
  readonly isTemporary: boolean
  /** Above all others in the list. */
  readonly isPinned: boolean
  /** Out of the list until asked for. */
  readonly isArchived: boolean
  /** Its name; null: in none. */
  readonly folder: string | null
  readonly tags: readonly string[]
}

export const newChatRecord = (id: string, isTemporary: boolean, nowMs: number): ChatRecord => ({
  id,
  title: NEW_CHAT_TITLE,
  createdAtMs: nowMs,
  updatedAtMs: nowMs,
  deletedAtMs: null,
  activeLeafId: null,
  isTemporary,
  isPinned: false,
  isArchived: false,
  folder: null,
  tags: [],
})

/** A message in which all words of a search stand. */
export interface FoundMessage {
  readonly chatId: string
  readonly messageId: string
  readonly role: MessageNode['role']
  readonly createdAtMs: number
  /** A line around the first hit. */
  readonly excerpt: readonly MarkedPart[]
}
export type ChatPatch = Partial<Omit<ChatRecord, 'id' | 'createdAtMs' | 'isTemporary'>>

/**
 * Where chats and the states of their messages are kept. Callers say what happened, in order, and hold their own copy of
 * what they work with: nothing handed out is ever changed by either side. A call that is answered is kept. What it throws
 * concerns that call alone.
 */
export interface ChatStore {
  /** Deleted ones too, until they are purged. */
  list(): Promise<{ chat: ChatRecord; messageCount: number }[]>
  /** Messages: parents before children, versions in their order. null: there is no such chat. */
  open(chatId: string): Promise<{ chat: ChatRecord; messages: MessageNode[] } | null>
  addChat(chat: ChatRecord): Promise<void>
  setChat(chatId: string, patch: ChatPatch): Promise<void>
  /** In one step: all of them and the changes of the chat, or nothing. */
  addMessages(chatId: string, messages: readonly MessageNode[], patch: ChatPatch): Promise<void>
  setMessage(messageId: string, patch: MessagePatch): Promise<void>
  /** `atOffset`: the length of what is there, in UTF-16 units; anything else is refused, so that nothing is doubled. */
  appendText(messageId: string, text: string, atOffset: number): Promise<void>
  /** In one step: these messages, with their states and for good, and the changes of the chat. Unknown ones are no fault. */
  removeMessages(chatId: string, messageIds: readonly string[], patch: ChatPatch): Promise<void>
  /** Messages in which all `words` stand (folded), the latest first; not those that are being written, nor of deleted chats. */
  find(words: readonly string[], limit: number): Promise<FoundMessage[]>
  /** The chat, its messages and their states, for good. */
  purge(chatId: string): Promise<void>
  /**
   * The state of a model that has read everything up to and including a message; after a user's message with the
   * assistant's turn opened; one for each model. Opaque bytes. A missing one costs time, never text.
   */
  putSnapshot(chatId: string, messageId: string, modelKey: string, state: Uint8Array): Promise<void>
  getSnapshot(messageId: string, modelKey: string): Promise<Uint8Array | null>
  /** Models that have a state of this message. */
  snapshotModels(messageId: string): Promise<string[]>
  /** Of one model, or of all: null. */
  deleteSnapshot(messageId: string, modelKey: string | null): Promise<void>
  /** Of all states of all chats, as they are stored. */
  stateUse(): Promise<StateUse>
  /** From now on; what is above it goes at once. */
  setStateBudget(maxBytes: number): Promise<void>
}

export interface StateUse {
  readonly bytes: number
  readonly count: number
  readonly maxBytes: number
}
