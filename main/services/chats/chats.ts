/**
 * The truth about chats: their messages, replies in flight, and the list of them. A chat survives the window (which asks
 * again), the engine process (its states are kept as snapshots) and the host (everything is handed to the store as it
 * happens). It never looks into a state.
 */
import type { Chat, ChatEvent, ChatSummariesEvent } from '../../../contract/app/chats.ts'
import { TernError, type TernErrorData, toErrorData } from '../../../contract/errors.ts'
import type { AbortSignalLike } from '../../../contract/rpc.ts'
import { DEFAULT_CHAT_SAMPLING, type Sampling } from '../../../contract/words/sampling.ts'
import { newId as drawId, type NewId } from '../../ids.ts'
import { type Cancel, systemTime, type Time } from '../../time.ts'
import type { MessageNode, MessagePatch } from './message-tree.ts'
import { canContinue, OpenChat } from './open-chat.ts'
import type { ChatPatch, ChatRecord, ChatStore, EngineAccess } from './ports.ts'
import { type ReplyContext, ReplyRun } from './reply-run.ts'
import { SessionStore } from './session-store.ts'
import { Summaries } from './summaries.ts'
import { NEW_CHAT_TITLE, titleOf } from './titles.ts'

/** A deleted chat can be restored for this long. */
export const KEEP_DELETED_MS = 60_000

export interface ChatsOptions {
  time?: Time
  newId?: NewId
  /** Told of every write that failed, with the chat it belongs to. */
  onStoreFailure?: (error: TernErrorData) => void
}

export class Chats {
  private readonly store: ChatStore
  private readonly time: Time
  private readonly newId: NewId
  private readonly onStoreFailure: (error: TernErrorData) => void
  private readonly sessions: SessionStore
  private readonly replyContext: ReplyContext
  private readonly open = new Map<string, Promise<OpenChat>>()
  private readonly summaries = new Summaries()
  private readonly purges = new Map<string, Cancel>()
  /** Everything that is stored, one after another; the list of chats first. */
  private writes: Promise<unknown>

  constructor(engine: EngineAccess, store: ChatStore, options: ChatsOptions = {}) {
    this.store = store
    this.time = options.time ?? systemTime
    this.newId = options.newId ?? drawId
    this.onStoreFailure = options.onStoreFailure ?? (() => {})
    this.sessions = new SessionStore(store)
    this.replyContext = {
      engine,
      sessions: this.sessions,
      time: this.time,
      store: {
        setMessage: (messageId, patch) => void this.write(() => store.setMessage(messageId, patch)).catch(() => {}),
        appendText: (messageId, text, at) =>
          void this.write(() => store.appendText(messageId, text, at)).catch(() => {}),
        deleteSnapshot: messageId => void this.write(() => store.deleteSnapshot(messageId)).catch(() => {}),
      },
      giveUp: (chat, messageId) => this.giveUp(chat, messageId),
    }
    this.writes = this.readList().catch(thrown => this.onStoreFailure(toErrorData(thrown)))
  }

  async watchSummaries(emit: (event: ChatSummariesEvent) => void, signal: AbortSignalLike): Promise<void> {
    await this.writes
    await this.summaries.watch(emit, signal)
  }

  async create(): Promise<Chat> {
    const nowMs = this.time.wallMs()
    const record: ChatRecord = {
      id: this.newId(),
      title: NEW_CHAT_TITLE,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
      deletedAtMs: null,
      activeLeafId: null,
    }
    await this.write(() => this.store.addChat(record))
    const chat = new OpenChat(record, [])
    this.open.set(record.id, Promise.resolve(chat))
    this.tellSummary(chat)
    return chat.view()
  }

  async delete(chatId: string): Promise<void> {
    const chat = await this.openChat(chatId)
    if (chat.record.deletedAtMs !== null) return
    chat.reply?.stop.abort()
    await this.setChat(chat, { deletedAtMs: this.time.wallMs() })
    chat.tellWhole()
    this.purgeAfter(chatId, KEEP_DELETED_MS)
  }

  async restore(chatId: string): Promise<void> {
    const chat = await this.openChat(chatId)
    if (chat.record.deletedAtMs === null) return
    this.purges.get(chatId)?.()
    this.purges.delete(chatId)
    await this.setChat(chat, { deletedAtMs: null })
    chat.tellWhole()
  }

  async send(chatId: string, text: string, sampling?: Sampling): Promise<void> {
    await this.restore(chatId)
    const chat = await this.idleChat(chatId)
    const title = chat.tree.size === 0 ? { title: titleOf(text) } : {}
    const question = this.newMessage('user', text, chat.tree.activeLeafId)
    await this.ask(chat, [question, this.newMessage('assistant', '', question.id)], title, sampling)
  }

  async stop(chatId: string): Promise<void> {
    const chat = await this.openChat(chatId)
    chat.reply?.stop.abort()
  }

  async regenerate(chatId: string, messageId: string, sampling?: Sampling): Promise<void> {
    const chat = await this.idleChat(chatId)
    const { parentId } = this.messageOf(chat, messageId, 'assistant')
    await this.ask(chat, [this.newMessage('assistant', '', parentId)], {}, sampling)
  }

  async edit(chatId: string, messageId: string, text: string, sampling?: Sampling): Promise<void> {
    const chat = await this.idleChat(chatId)
    const { parentId } = this.messageOf(chat, messageId, 'user')
    const question = this.newMessage('user', text, parentId)
    await this.ask(chat, [question, this.newMessage('assistant', '', question.id)], {}, sampling)
  }

  async continue(chatId: string, messageId: string, sampling?: Sampling): Promise<void> {
    const chat = await this.idleChat(chatId)
    this.checkIdle(chat)
    const message = this.messageOf(chat, messageId, 'assistant')
    if (messageId !== chat.tree.activeLeafId || !canContinue(message)) {
      throw new TernError({
        code: 'invalid-argument',
        message: 'This reply has come to its end: there is nothing to go on with.',
        remedy: 'Ask something, or write it again.',
      })
    }
    const patch: MessagePatch = { status: 'pending', error: null, finishReason: null, notice: null }
    chat.tree.patch(messageId, patch)
    this.replyContext.store.setMessage(messageId, patch)
    this.startReply(chat, messageId, sampling)
  }

  async select(chatId: string, messageId: string): Promise<void> {
    const chat = await this.idleChat(chatId)
    this.messageOf(chat, messageId)
    chat.tree.show(messageId)
    chat.tellWhole()
    await this.setChat(chat, { activeLeafId: chat.tree.activeLeafId })
  }

  /** The whole chat at once, then its changes until `signal` fires or the chat is gone for good. */
  async watch(chatId: string, emit: (event: ChatEvent) => void, signal: AbortSignalLike): Promise<void> {
    const chat = await this.openChat(chatId)
    if (signal.aborted) return
    await new Promise<void>(resolve => {
      signal.addEventListener('abort', () => resolve())
      chat.watch(emit, resolve)
    })
    chat.unwatch(emit)
    this.closeUnused(chat)
  }

  /** What was cut off when the host ended before is marked so; deleted chats go for good. */
  private async readList(): Promise<void> {
    for (const { chat, messageCount } of await this.store.list()) {
      if (chat.deletedAtMs !== null) await this.store.purge(chat.id)
      else this.summaries.set(chat, messageCount, false)
    }
  }

  private openChat(chatId: string): Promise<OpenChat> {
    const known = this.open.get(chatId)
    if (known !== undefined) return known
    const opening = this.write(() => this.load(chatId))
    this.open.set(chatId, opening)
    opening.catch(() => this.open.delete(chatId))
    return opening
  }

  private async load(chatId: string): Promise<OpenChat> {
    const stored = await this.store.open(chatId)
    if (stored === null) throw gone()
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

  private closeUnused(chat: OpenChat): void {
    if (!chat.isInUse) this.open.delete(chat.record.id)
  }

  private async idleChat(chatId: string): Promise<OpenChat> {
    const chat = await this.openChat(chatId)
    this.checkIdle(chat)
    return chat
  }

  private checkIdle(chat: OpenChat): void {
    if (chat.reply === null) return
    throw new TernError({
      code: 'chat-busy',
      message: 'A reply is being written in this chat.',
      remedy: 'Wait until it ends, or stop it.',
    })
  }

  private messageOf(chat: OpenChat, messageId: string, role?: MessageNode['role']): MessageNode {
    const message = chat.tree.node(messageId)
    if (message !== undefined && (role === undefined || message.role === role)) return message
    throw new TernError({ code: 'message-not-found', message: 'This message does not exist any more.' })
  }

  private newMessage(role: 'user' | 'assistant', content: string, parentId: string | null): MessageNode {
    return {
      id: this.newId(),
      parentId,
      role,
      content,
      status: role === 'user' ? 'complete' : 'pending',
      createdAtMs: this.time.wallMs(),
      finishReason: null,
      stats: null,
      error: null,
      notice: null,
    }
  }

  /** Adds messages that end in an empty reply, and lets that be written. When they cannot be stored, nothing has changed. */
  private async ask(chat: OpenChat, messages: MessageNode[], changes: ChatPatch, sampling?: Sampling): Promise<void> {
    this.checkIdle(chat)
    const before = { record: chat.record, leaf: chat.tree.activeLeafId }
    for (const message of messages) chat.tree.addChild(message)
    const patch = { ...changes, updatedAtMs: this.time.wallMs(), activeLeafId: messages.at(-1)!.id }
    chat.record = { ...chat.record, ...patch }
    const reply = new ReplyRun(chat, messages.at(-1)!.id, this.replyContext)
    // From here on the chat is busy for everybody else.
    chat.reply = reply
    try {
      await this.write(() => this.store.addMessages(chat.record.id, messages, patch))
    } catch (thrown) {
      chat.reply = null
      chat.record = before.record
      for (const { id } of messages.toReversed()) chat.tree.removeLeaf(id)
      if (before.leaf !== null) chat.tree.show(before.leaf)
      chat.tellWhole()
      throw thrown
    }
    this.runReply(chat, reply, sampling)
  }

  private startReply(chat: OpenChat, messageId: string, sampling?: Sampling): void {
    const reply = new ReplyRun(chat, messageId, this.replyContext)
    chat.reply = reply
    this.runReply(chat, reply, sampling)
  }

  private runReply(chat: OpenChat, reply: ReplyRun, sampling: Sampling = {}): void {
    chat.tellWhole()
    this.tellSummary(chat)
    // Deleted while its messages were being stored.
    if (chat.record.deletedAtMs !== null) reply.stop.abort()
    void reply.run({ ...DEFAULT_CHAT_SAMPLING, ...sampling }).then(() => {
      chat.reply = null
      chat.broadcast({ kind: 'reply', reply: null })
      void this.setChat(chat, { updatedAtMs: this.time.wallMs() }).catch(() => {})
      this.closeUnused(chat)
    })
  }

  private giveUp(chat: OpenChat, messageId: string): void {
    chat.tree.removeLeaf(messageId)
    void this.write(() => this.store.removeMessage(messageId)).catch(() => {})
    void this.setChat(chat, { activeLeafId: chat.tree.activeLeafId }).catch(() => {})
    chat.tellWhole()
  }

  private async setChat(chat: OpenChat, patch: ChatPatch): Promise<void> {
    chat.record = { ...chat.record, ...patch }
    this.tellSummary(chat)
    await this.write(() => this.store.setChat(chat.record.id, patch))
  }

  private tellSummary(chat: OpenChat): void {
    this.summaries.set(chat.record, chat.tree.size, chat.reply !== null)
  }

  private purgeAfter(chatId: string, delayMs: number): void {
    this.purges.set(
      chatId,
      this.time.after(delayMs, () => void this.purge(chatId).catch(() => {})),
    )
  }

  private async purge(chatId: string): Promise<void> {
    this.purges.delete(chatId)
    const chat = await this.openChat(chatId)
    chat.endWatching()
    this.open.delete(chatId)
    this.sessions.dropChat(chatId)
    this.summaries.remove(chatId)
    await this.write(() => this.store.purge(chatId))
  }

  private write<T>(work: () => Promise<T>): Promise<T> {
    const done = this.writes.then(work)
    this.writes = done.catch(thrown => {
      const error = toErrorData(thrown)
      if (error.code !== 'chat-not-found') this.onStoreFailure(error)
    })
    return done
  }
}

const gone = () => new TernError({ code: 'chat-not-found', message: 'This chat does not exist any more.' })

const CUT_OFF: TernErrorData = {
  code: 'engine-lost',
  message: 'Tern ended while this reply was being written.',
  remedy: 'Continue goes on where the text ends.',
}
