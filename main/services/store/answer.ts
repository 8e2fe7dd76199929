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

/** The setting that holds the bytes of all states. */
export const STATE_BUDGET = 'state-budget'

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
    for (const id of removed) states.delete(id, null)
    states.compact()
  },
  find: (words, limit) => chats.find(words, limit),
  purge(chatId) {
    const messages = chats.open(chatId)?.messages ?? []
    chats.purge(chatId)
    for (const { id } of messages) states.delete(id, null)
    states.compact()
  },
  putSnapshot(_chatId, messageId, modelKey, state) {
    // A message that is gone meanwhile leaves nothing behind.
    if (!chats.hasMessage(messageId)) return
    states.put(messageId, modelKey, state)
    states.trim(() => chats.stateRanks())
  },
  getSnapshot: (messageId, modelKey) => states.get(messageId, modelKey),
  snapshotModels: messageId => states.models(messageId),
  deleteSnapshot: (messageId, modelKey) => states.delete(messageId, modelKey),
  stateUse: () => states.use,
  setStateBudget(maxBytes) {
    chats.setSetting(STATE_BUDGET, maxBytes)
    states.setBudget(maxBytes)
    states.trim(() => chats.stateRanks())
    states.compact()
  },
  close() {
    chats.close()
    states.close()
  },
})
