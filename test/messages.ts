/** Chats and messages for tests: complete and empty, but for what is said. */
import type { Chat, ChatMessage, ChatSummary } from '../contract/app/chats.ts'
import type { MessageNode } from '../main/services/chats/message-tree.ts'
import type { ChatRecord } from '../main/services/chats/ports.ts'

export const chatRecord = (over: Partial<ChatRecord>): ChatRecord => ({
  id: 'c',
  title: '',
  createdAtMs: 0,
  updatedAtMs: 0,
  deletedAtMs: null,
  activeLeafId: null,
  isTemporary: false,
  isPinned: false,
  isArchived: false,
  folder: null,
  tags: [],
  ...over,
})

/** As the window sees it. */
export const shownChat = (over: Partial<Chat>): Chat => ({
  id: 'c',
  title: '',
  messages: [],
  reply: null,
  comparison: null,
  deleted: null,
  isDeleted: false,
  isTemporary: false,
  ...over,
})

export const summaryOf = (chat: Chat): ChatSummary => ({
  id: chat.id,
  title: chat.title,
  updatedAtMs: chat.messages.at(-1)?.createdAtMs ?? 0,
  messageCount: chat.messages.length,
  isReplying: chat.reply !== null,
  isDeleted: chat.isDeleted,
  isTemporary: chat.isTemporary,
  isPinned: false,
  isArchived: false,
  folder: null,
  tags: [],
})

export function messageNode(over: Partial<MessageNode>): MessageNode {
  return {
    id: 'm',
    parentId: null,
    role: 'assistant',
    content: '',
    status: 'complete',
    createdAtMs: 0,
    finishReason: null,
    stats: null,
    energy: null,
    error: null,
    notice: null,
    ...over,
  }
}

export function chatMessage(over: Partial<ChatMessage>): ChatMessage {
  const { parentId: _, ...message } = messageNode({})
  return { ...message, start: null, actions: [], versions: ['m'], ...over }
}
