/** The chats as their files see them. */
import type { ChatLibrary } from '../services/chat-files/ports.ts'
import type { Chats } from '../services/chats/chats.ts'
import type { ChatStore } from '../services/chats/ports.ts'

export const chatLibrary = (chats: Chats, store: ChatStore): ChatLibrary => ({
  async ids() {
    const listed = await store.list()
    return listed.filter(({ chat }) => chat.deletedAtMs === null && !chat.isTemporary).map(({ chat }) => chat.id)
  },
  has: chatId => chats.has(chatId),
  read: chatId => store.open(chatId),
  adopt: ({ chat, messages }) => chats.adopt(chat, messages),
})
