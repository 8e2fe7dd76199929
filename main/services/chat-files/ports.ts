/** What chat files need of the chats. */
import type { ChatRecord, MessageNode } from '../chats/ports.ts'

export interface StoredChat {
  readonly chat: ChatRecord
  /** Parents before their children, versions in their order. */
  readonly messages: readonly MessageNode[]
}

export interface ChatLibrary {
  /** Those that are kept: no temporary and no deleted ones. */
  ids(): Promise<readonly string[]>
  has(chatId: string): boolean
  read(chatId: string): Promise<StoredChat | null>
  /** A chat that was not here; all of it or nothing. */
  adopt(stored: StoredChat): Promise<void>
}
