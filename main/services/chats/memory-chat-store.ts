/** Chats in memory: they end with the host. */
import { TernError } from '../../../contract/errors.ts'
import { excerptOf, hasAll } from '../../../contract/words/find-text.ts'
import type { MessageNode } from './message-tree.ts'
import type { ChatRecord, ChatStore } from './ports.ts'
import { SnapshotCache } from './snapshot-cache.ts'

const MAX_SNAPSHOT_BYTES = 256 * 1024 * 1024

interface StoredChat {
  chat: ChatRecord
  messages: Map<string, MessageNode>
}

/** Keeps the most recently used snapshots, up to `maxSnapshotBytes` in all. */
export function createMemoryChatStore(maxSnapshotBytes = MAX_SNAPSHOT_BYTES): ChatStore {
  const chats = new Map<string, StoredChat>()
  const chatOfMessage = new Map<string, StoredChat>()
  /** In which messages came. */
  const order = new Map<string, number>()
  const snapshots = new SnapshotCache(maxSnapshotBytes)

  const find = (chatId: string): StoredChat => {
    const found = chats.get(chatId)
    if (found === undefined)
      throw new TernError({ code: 'chat-not-found', message: 'This chat does not exist any more.' })
    return found
  }
  const setMessage = (messageId: string, change: (message: MessageNode) => MessageNode) => {
    const stored = chatOfMessage.get(messageId)
    const message = stored?.messages.get(messageId)
    if (stored === undefined || message === undefined) {
      throw new TernError({ code: 'message-not-found', message: 'This message does not exist any more.' })
    }
    stored.messages.set(messageId, change(message))
  }
  const setChat: ChatStore['setChat'] = async (chatId, patch) => {
    const stored = find(chatId)
    stored.chat = { ...stored.chat, ...patch }
  }

  return {
    list: async () => [...chats.values()].map(({ chat, messages }) => ({ chat, messageCount: messages.size })),
    async open(chatId) {
      const stored = chats.get(chatId)
      return stored === undefined
        ? null
        : { chat: stored.chat, messages: structuredClone([...stored.messages.values()]) }
    },
    async addChat(chat) {
      chats.set(chat.id, { chat, messages: new Map() })
    },
    setChat,
    async addMessages(chatId, messages, patch) {
      const stored = find(chatId)
      for (const message of messages) {
        stored.messages.set(message.id, structuredClone(message))
        chatOfMessage.set(message.id, stored)
        order.set(message.id, order.size)
      }
      await setChat(chatId, patch)
    },
    async setMessage(messageId, patch) {
      setMessage(messageId, message => ({ ...message, ...structuredClone(patch) }))
    },
    async appendText(messageId, text, atOffset) {
      setMessage(messageId, message => {
        if (message.content.length === atOffset) return { ...message, content: message.content + text }
        throw new TernError({
          code: 'internal',
          message: 'Text does not fit where it was to be stored.',
          expected: `offset ${message.content.length}`,
          actual: `offset ${atOffset}`,
        })
      })
    },
    async removeMessages(chatId, messageIds, patch) {
      const { messages } = find(chatId)
      for (const messageId of messageIds) {
        if (!messages.delete(messageId)) continue
        chatOfMessage.delete(messageId)
        snapshots.delete(messageId, null)
      }
      await setChat(chatId, patch)
    },
    async find(words, limit) {
      if (words.length === 0) return []
      const all = [...chats.values()].filter(({ chat }) => chat.deletedAtMs === null)
      return all
        .flatMap(({ chat, messages }) => [...messages.values()].map(message => ({ chat, message })))
        .filter(
          ({ message }) =>
            message.status !== 'pending' && message.status !== 'streaming' && hasAll(message.content, words),
        )
        .sort((a, b) => order.get(b.message.id)! - order.get(a.message.id)!)
        .slice(0, limit)
        .map(({ chat, message: { id, role, createdAtMs, content } }) => {
          return { chatId: chat.id, messageId: id, role, createdAtMs, excerpt: excerptOf(content, words) }
        })
    },
    async purge(chatId) {
      for (const messageId of chats.get(chatId)?.messages.keys() ?? []) {
        chatOfMessage.delete(messageId)
        snapshots.delete(messageId, null)
      }
      chats.delete(chatId)
    },
    async putSnapshot(_chatId, messageId, modelKey, state) {
      // A message that is gone meanwhile leaves nothing behind.
      if (chatOfMessage.has(messageId)) snapshots.put(messageId, modelKey, state.slice())
    },
    getSnapshot: async (messageId, modelKey) => snapshots.get(messageId, modelKey),
    snapshotModels: async messageId => snapshots.models(messageId),
    deleteSnapshot: async (messageId, modelKey) => snapshots.delete(messageId, modelKey),
    stateUse: async () => snapshots.use,
    async setStateBudget(maxBytes) {
      snapshots.budget = maxBytes
    },
  }
}
