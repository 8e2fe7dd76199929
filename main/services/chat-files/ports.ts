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
  /** Not those that are deleted, which can come back for a while. */
  has(chatId: string): boolean
  read(chatId: string): Promise<StoredChat | null>
  /** A chat that was not here; all of it or nothing. A deleted one comes back as it was. */
  adopt(stored: StoredChat): Promise<void>
}
