/** A chat that is open: its messages, who watches it, and the reply that is being written in it. */
import type { Chat, ChatEvent, ChatMessage, ReplyInFlight } from '../../../contract/app/chats.ts'
import { type MessageNode, type MessagePatch, MessageTree } from './message-tree.ts'
import type { ChatRecord } from './ports.ts'

export interface RunningReply {
  readonly stop: AbortController
  figures: ReplyInFlight
  /** Hands the text that waits for the next batch to the watchers. */
  flush(): void
}

export class OpenChat {
  record: ChatRecord
  readonly tree: MessageTree
  reply: RunningReply | null = null
  private readonly watchers = new Map<(event: ChatEvent) => void, () => void>()

  constructor(record: ChatRecord, messages: readonly MessageNode[]) {
    this.record = record
    this.tree = new MessageTree(messages, record.activeLeafId)
  }

  get isInUse(): boolean {
    return this.watchers.size > 0 || this.reply !== null
  }

  view(): Chat {
    const { id, title, deletedAtMs } = this.record
    return {
      id,
      title,
      messages: this.tree.activePath().map(node => this.messageView(node)),
      reply: this.reply?.figures ?? null,
      isDeleted: deletedAtMs !== null,
    }
  }

  /** What can be done with a message does not depend on a reply in flight: until it ends, nothing can. */
  messageView({ parentId: _, ...message }: MessageNode): ChatMessage {
    const actions: ChatMessage['actions'] = message.role === 'user' ? ['edit'] : ['regenerate']
    if (message.id === this.tree.activeLeafId && canContinue(message)) actions.push('continue')
    return { ...message, actions, versions: [...this.tree.siblings(message.id)] }
  }

  patch(messageId: string, patch: MessagePatch): void {
    const node = this.tree.patch(messageId, patch)
    this.broadcast({ kind: 'message', message: this.messageView(node) })
  }

  setFigures(figures: ReplyInFlight): void {
    if (this.reply !== null) this.reply.figures = figures
    this.broadcast({ kind: 'reply', reply: figures })
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
    this.reply?.flush()
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
