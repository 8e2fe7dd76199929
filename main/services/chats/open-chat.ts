/** A chat that is open: its messages, who watches it, and the reply that is being written in it. */
import type {
  Chat,
  ChatEvent,
  ChatMessage,
  Comparison,
  ReplyInFlight,
  ReplyStart,
} from '../../../contract/app/chats.ts'
import type { DeletedMessages } from './deleted-messages.ts'
import { type MessageNode, type MessagePatch, MessageTree } from './message-tree.ts'
import type { ChatRecord } from './ports.ts'

export interface RunningReply {
  readonly stop: AbortController
  figures: ReplyInFlight
  /** Hands the text that waits for the next batch to the watchers. */
  flush(): void
}

/** Replies that are compared. */
interface Compared {
  questionId: string
  /** Temperatures by message, in the order in which they are shown. */
  temperatures: Map<string, number | null>
}

export class OpenChat {
  record: ChatRecord
  readonly tree: MessageTree
  /** By message. More than one only while they are compared. */
  readonly replies = new Map<string, RunningReply>()
  compared: Compared | null = null
  deleted: DeletedMessages | null = null
  /** By message: how the memory of those written since the chat was opened began. */
  private readonly starts = new Map<string, ReplyStart>()
  private readonly watchers = new Map<(event: ChatEvent) => void, () => void>()

  constructor(record: ChatRecord, messages: readonly MessageNode[]) {
    this.record = record
    this.tree = new MessageTree(messages, record.activeLeafId)
  }

  get isInUse(): boolean {
    return this.watchers.size > 0 || this.isReplying || this.deleted !== null
  }

  get isReplying(): boolean {
    return this.replies.size > 0
  }

  view(): Chat {
    const { id, title, deletedAtMs, isTemporary } = this.record
    const { compared } = this
    const path = compared === null ? this.tree.activePath() : this.tree.pathTo(compared.questionId)
    const leafId = path.at(-1)?.id ?? ''
    return {
      id,
      title,
      messages: path.map(node => this.messageView(node)),
      reply: this.replies.get(leafId)?.figures ?? null,
      comparison: compared === null ? null : this.comparisonView(compared),
      deleted: this.deleted === null ? null : { messageCount: this.deleted.messages.length },
      isDeleted: deletedAtMs !== null,
      isTemporary,
    }
  }

  private comparisonView({ questionId, temperatures }: Compared): Comparison {
    return {
      questionId,
      replies: [...temperatures].map(([messageId, temperature]) => ({
        message: this.messageView(this.tree.node(messageId)!),
        temperature,
        reply: this.replies.get(messageId)?.figures ?? null,
      })),
    }
  }

  /** What can be done with a message does not depend on a reply in flight: until it ends, nothing can. */
  messageView({ parentId: _, ...message }: MessageNode): ChatMessage {
    const actions: ChatMessage['actions'] = message.role === 'user' ? ['edit'] : ['regenerate']
    if (message.id === this.tree.activeLeafId && canContinue(message)) actions.push('continue')
    return {
      ...message,
      start: this.starts.get(message.id) ?? null,
      actions,
      versions: [...this.tree.siblings(message.id)],
    }
  }

  patch(messageId: string, patch: MessagePatch): void {
    const node = this.tree.patch(messageId, patch)
    this.broadcast({ kind: 'message', message: this.messageView(node) })
  }

  /** Told with the message. */
  setStart(messageId: string, start: ReplyStart): void {
    this.starts.set(messageId, start)
    const node = this.tree.node(messageId)
    if (node !== undefined) this.broadcast({ kind: 'message', message: this.messageView(node) })
  }

  setFigures(figures: ReplyInFlight): void {
    const reply = this.replies.get(figures.messageId)
    if (reply !== undefined) reply.figures = figures
    this.broadcast({ kind: 'reply', messageId: figures.messageId, reply: figures })
  }

  endReply(messageId: string): void {
    this.replies.delete(messageId)
    this.broadcast({ kind: 'reply', messageId, reply: null })
  }

  /** One of those that are compared is gone. */
  forgetCompared(messageId: string): void {
    this.compared?.temperatures.delete(messageId)
    if (this.compared?.temperatures.size === 0) this.compared = null
  }

  /** All, or all but one. */
  stopReplies(but?: string): void {
    for (const [messageId, reply] of this.replies) if (messageId !== but) reply.stop.abort()
  }

  broadcast(event: ChatEvent): void {
    for (const watcher of [...this.watchers.keys()]) watcher(event)
  }

  tellWhole(): void {
    this.broadcast({ kind: 'chat', chat: this.view() })
  }

  /** Begins with the whole; `onEnd` is called when the chat is gone for good. */
  watch(emit: (event: ChatEvent) => void, onEnd: () => void): void {
    // What the others have not been told yet, the new one gets with the whole.
    for (const reply of this.replies.values()) reply.flush()
    this.watchers.set(emit, onEnd)
    emit({ kind: 'chat', chat: this.view() })
  }

  unwatch(emit: (event: ChatEvent) => void): void {
    this.watchers.delete(emit)
  }

  endWatching(): void {
    for (const end of [...this.watchers.values()]) end()
    this.watchers.clear()
  }
}

/** Whether a reply was cut short in a way that it can go on from. */
export const canContinue = ({
  role,
  content,
  status,
  finishReason,
}: Pick<MessageNode, 'role' | 'content' | 'status' | 'finishReason'>): boolean =>
  role === 'assistant' &&
  content !== '' &&
  (status === 'stopped' ||
    status === 'interrupted' ||
    status === 'failed' ||
    (status === 'complete' && finishReason === 'max-tokens'))
