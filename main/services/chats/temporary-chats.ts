/** Temporary chats: whatever is said of one stays in memory, and the store of the others never hears of it. */
import { createMemoryChatStore } from './memory-chat-store.ts'
import type { ChatStore } from './ports.ts'

/** `kept`: for all other chats. */
export function withTemporaryChats(kept: ChatStore): ChatStore {
  const temporary = createMemoryChatStore()
  const chatIds = new Set<string>()
  const messageIds = new Set<string>()
  const ofChat = (chatId: string): ChatStore => (chatIds.has(chatId) ? temporary : kept)
  const ofMessage = (messageId: string): ChatStore => (messageIds.has(messageId) ? temporary : kept)

  return {
    list: () => kept.list(),
    open: chatId => ofChat(chatId).open(chatId),
    async addChat(chat) {
      if (chat.isTemporary) chatIds.add(chat.id)
      await ofChat(chat.id).addChat(chat)
    },
    setChat: (chatId, patch) => ofChat(chatId).setChat(chatId, patch),
    async addMessages(chatId, messages, patch) {
      if (chatIds.has(chatId)) for (const { id } of messages) messageIds.add(id)
      await ofChat(chatId).addMessages(chatId, messages, patch)
    },
    setMessage: (messageId, patch) => ofMessage(messageId).setMessage(messageId, patch),
    appendText: (messageId, text, atOffset) => ofMessage(messageId).appendText(messageId, text, atOffset),
    removeMessages: (chatId, messageIds, patch) => ofChat(chatId).removeMessages(chatId, messageIds, patch),
    find: (words, limit) => kept.find(words, limit),
    // A purged id is remembered: a late word about it must not reach the disk.
    purge: chatId => ofChat(chatId).purge(chatId),
    putSnapshot: (chatId, messageId, modelKey, state) => ofChat(chatId).putSnapshot(chatId, messageId, modelKey, state),
    getSnapshot: (messageId, modelKey) => ofMessage(messageId).getSnapshot(messageId, modelKey),
    snapshotModels: messageId => ofMessage(messageId).snapshotModels(messageId),
    deleteSnapshot: (messageId, modelKey) => ofMessage(messageId).deleteSnapshot(messageId, modelKey),
    stateUse: () => kept.stateUse(),
    setStateBudget: maxBytes => kept.setStateBudget(maxBytes),
  }
}
