/** What the host streams into an open chat and into the list, applied: pure functions of what was there and what came. */
import type {
  Chat,
  ChatEvent,
  ChatMessage,
  ChatSummariesEvent,
  ChatSummary,
  Comparison,
  ReplyInFlight,
} from '../../contract/app/chats.ts'

/** Messages that nothing changed keep their identity, so that a view can skip them. */
export function applyChatEvent(chat: Chat | null, event: ChatEvent): Chat | null {
  if (event.kind === 'chat') return event.chat
  if (chat === null) return null
  switch (event.kind) {
    case 'message':
      return withMessage(chat, event.message.id, () => event.message)
    case 'append':
      return withMessage(chat, event.messageId, message => ({
        ...message,
        content: message.content + event.text,
        status: 'streaming',
      }))
    case 'reply':
      return withReply(chat, event.messageId, event.reply)
  }
}

/** Of a reply that is neither shown nor compared nothing changes here. */
function withReply(chat: Chat, messageId: string, reply: ReplyInFlight | null): Chat {
  if (chat.comparison?.replies.some(({ message }) => message.id === messageId)) {
    const change = (compared: ComparedReply) => (compared.message.id === messageId ? { ...compared, reply } : compared)
    return withCompared(chat, change)
  }
  const isShown = chat.messages.at(-1)?.id === messageId
  return isShown ? { ...chat, reply } : chat
}

type ComparedReply = Comparison['replies'][number]

const withCompared = (chat: Chat, change: (compared: ComparedReply) => ComparedReply): Chat =>
  chat.comparison === null
    ? chat
    : { ...chat, comparison: { ...chat.comparison, replies: chat.comparison.replies.map(change) } }

const withMessage = (chat: Chat, id: string, change: (message: ChatMessage) => ChatMessage): Chat => {
  const at = chat.messages.findIndex(message => message.id === id)
  if (at !== -1) return { ...chat, messages: chat.messages.with(at, change(chat.messages[at])) }
  return withCompared(chat, compared =>
    compared.message.id === id ? { ...compared, message: change(compared.message) } : compared,
  )
}

/** Latest first. */
export function applySummariesEvent(
  summaries: readonly ChatSummary[] | null,
  event: ChatSummariesEvent,
): readonly ChatSummary[] {
  if (event.kind === 'all') return [...event.summaries].sort(byTime)
  const id = event.kind === 'removed' ? event.chatId : event.summary.id
  const others = (summaries ?? []).filter(summary => summary.id !== id)
  return event.kind === 'removed' ? others : [...others, event.summary].sort(byTime)
}

const byTime = (a: ChatSummary, b: ChatSummary) => b.updatedAtMs - a.updatedAtMs

/** Events that may wait for the next frame, gathered: one change a message, the latest figures. */
export class WaitingEvents {
  private readonly appended = new Map<string, Extract<ChatEvent, { kind: 'append' }>>()
  private readonly figures = new Map<string, Extract<ChatEvent, { kind: 'reply' }>>()

  /** false: this one must not wait, and what waits comes before it. */
  add(event: ChatEvent): boolean {
    if (event.kind === 'append') {
      const before = this.appended.get(event.messageId)
      this.appended.set(event.messageId, before === undefined ? event : { ...event, text: before.text + event.text })
      return true
    }
    if (event.kind === 'reply' && event.reply !== null) {
      this.figures.set(event.messageId, event)
      return true
    }
    // A message that comes whole has the text that waits in it already, a chat all of it.
    if (event.kind === 'message') this.appended.delete(event.message.id)
    if (event.kind === 'chat') this.clear()
    return false
  }

  /** What waits, in the order to apply it. */
  take(): ChatEvent[] {
    const events = [...this.appended.values(), ...this.figures.values()]
    this.clear()
    return events
  }

  clear(): void {
    this.appended.clear()
    this.figures.clear()
  }
}
