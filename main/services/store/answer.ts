/** One call on the databases. */
import { toErrorData } from '../../../contract/errors.ts'
import type { ChatStore } from '../chats/ports.ts'
import type { ChatDatabase } from './chat-database.ts'
import type { StoreMessage, StoreRequest } from './protocol.ts'
import type { StateDatabase } from './state-database.ts'
import { storeError } from './store-errors.ts'

export interface Databases {
  chats: ChatDatabase
  states: StateDatabase
}

export function answer({ id, method, args }: StoreRequest, databases: Databases, path: string): StoreMessage {
  try {
    const call = callsOn(databases)[method] as (...args: unknown[]) => unknown
    return { kind: 'result', id, result: call(...args) }
  } catch (thrown) {
    return { kind: 'error', id, error: toErrorData(storeError.of(path, thrown)) }
  }
}

type Calls = {
  [Method in keyof ChatStore]: (...args: Parameters<ChatStore[Method]>) => Awaited<ReturnType<ChatStore[Method]>>
}

const callsOn = ({ chats, states }: Databases): Calls & { close(): void } => ({
  list: () => chats.list(),
  open: chatId => chats.open(chatId),
  addChat: chat => chats.addChat(chat),
  setChat: (chatId, patch) => chats.setChat(chatId, patch),
  addMessages: (chatId, messages, patch) => chats.addMessages(chatId, messages, patch),
  setMessage: (messageId, patch) => chats.setMessage(messageId, patch),
  appendText: (messageId, text, atOffset) => chats.appendText(messageId, text, atOffset),
  removeMessages(chatId, messageIds, patch) {
    const removed = chats.removeMessages(chatId, messageIds, patch)
    for (const id of removed) states.delete(id)
    states.compact()
  },
  find: (words, limit) => chats.find(words, limit),
  purge(chatId) {
    const messages = chats.open(chatId)?.messages ?? []
    chats.purge(chatId)
    for (const { id } of messages) states.delete(id)
    states.compact()
  },
  putSnapshot(_chatId, messageId, state) {
    // A message that is gone meanwhile leaves nothing behind.
    if (chats.hasMessage(messageId)) states.put(messageId, state)
  },
  getSnapshot: messageId => states.get(messageId),
  deleteSnapshot: messageId => states.delete(messageId),
  close() {
    chats.close()
    states.close()
  },
})
