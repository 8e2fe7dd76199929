/** The chats that are in memory now: those that somebody watches, or in which something happens. */
import { MAX_COMPARED } from '../../../contract/app/chats.ts'
import { TernError, type TernErrorData } from '../../../contract/errors.ts'
import type { MessageNode, MessagePatch } from './message-tree.ts'
import { OpenChat } from './open-chat.ts'
import type { ChatStore } from './ports.ts'
import type { WriteQueue } from './write-queue.ts'

export class OpenChats {
  private readonly store: ChatStore
  private readonly writes: WriteQueue
  private readonly open = new Map<string, Promise<OpenChat>>()

  constructor(store: ChatStore, writes: WriteQueue) {
    this.store = store
    this.writes = writes
  }

  /** Throws `chat-not-found`. */
  get(chatId: string): Promise<OpenChat> {
    const known = this.open.get(chatId)
    if (known !== undefined) return known
    const opening = this.writes.add(() => this.load(chatId))
    this.open.set(chatId, opening)
    opening.catch(() => this.open.delete(chatId))
    return opening
  }

  /** Throws `chat-not-found`, and `chat-busy` while a reply is written in it. */
  async getIdle(chatId: string): Promise<OpenChat> {
    const chat = await this.get(chatId)
    checkIdle(chat)
    return chat
  }

  /** One that is new. */
  add(chat: OpenChat): void {
    this.open.set(chat.record.id, Promise.resolve(chat))
  }

  forget(chatId: string): void {
    this.open.delete(chatId)
  }

  closeUnused(chat: OpenChat): void {
    if (!chat.isInUse) this.open.delete(chat.record.id)
  }

  async stopReplies(): Promise<void> {
    for (const opening of this.open.values()) (await opening.catch(() => null))?.stopReplies()
  }

  private async load(chatId: string): Promise<OpenChat> {
    const stored = await this.store.open(chatId)
    if (stored === null) {
      throw new TernError({ code: 'chat-not-found', message: 'This chat does not exist any more.' })
    }
    // No reply is in flight in a chat that was not open: one that looks so was cut off with the host.
    const patch: MessagePatch = { status: 'interrupted', error: CUT_OFF }
    const messages = await Promise.all(
      stored.messages.map(async message => {
        if (message.status !== 'pending' && message.status !== 'streaming') return message
        await this.store.setMessage(message.id, patch)
        return { ...message, ...patch }
      }),
    )
    return new OpenChat(stored.chat, messages)
  }
}

/** Throws `chat-busy`. */
export function checkIdle(chat: OpenChat): void {
  if (!chat.isReplying) return
  throw new TernError({
    code: 'chat-busy',
    message: 'A reply is being written in this chat.',
    remedy: 'Wait until it ends, or stop it.',
  })
}

/** Throws `message-not-found`. */
export function messageOf(chat: OpenChat, messageId: string, role?: MessageNode['role']): MessageNode {
  const message = chat.tree.node(messageId)
  if (message !== undefined && (role === undefined || message.role === role)) return message
  throw new TernError({ code: 'message-not-found', message: 'This message does not exist any more.' })
}

const CUT_OFF: TernErrorData = {
  code: 'engine-lost',
  message: 'Tern ended while this reply was being written.',
  remedy: 'Continue goes on where the text ends.',
}

export const nothingToContinue = (): TernError =>
  new TernError({
    code: 'invalid-argument',
    message: 'This reply has come to its end: there is nothing to go on with.',
    remedy: 'Ask something, or write it again.',
  })

export const tooManyCompared = (count: number): TernError =>
  new TernError({
    code: 'invalid-argument',
    message: 'These are more replies than can be read side by side.',
    expected: `${MAX_COMPARED} at most`,
    actual: String(count),
    remedy: 'Keep one of them, and compare again.',
  })
