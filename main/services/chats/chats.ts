/**
 * The truth about chats: their messages, replies in flight, and the list of them. A chat survives the window (which asks
 * again), the engine process (its states are kept as snapshots) and the host (everything is handed to the store as it
 * happens). It never looks into a state.
 */
import {
  type Chat,
  type ChatEvent,
  type ChatSummariesEvent,
  type Found,
  MAX_COMPARED,
  type MapNode,
} from '../../../contract/app/chats.ts'
import type { OpenedState } from '../../../contract/app/states.ts'
import { TernError, type TernErrorData } from '../../../contract/errors.ts'
import type { AbortSignalLike } from '../../../contract/rpc.ts'
import { DEFAULT_CHAT_SAMPLING, type Sampling } from '../../../contract/words/sampling.ts'
import { newId as drawId, type NewId } from '../../ids.ts'
import { type Cancel, systemTime, type Time } from '../../time.ts'
import type { EnergyMeter } from '../telemetry/ports.ts'
import { copyStates, statesOf, storeAgain } from './deleted-messages.ts'
import { findChats } from './find-chats.ts'
import type { MessageNode, MessagePatch } from './message-tree.ts'
import { canContinue, OpenChat } from './open-chat.ts'
import { checkIdle, messageOf, nothingToContinue, OpenChats, tooManyCompared } from './open-chats.ts'
import { type Order, tidied } from './order.ts'
import { type ChatPatch, type ChatRecord, type ChatStore, type EngineAccess, newChatRecord } from './ports.ts'
import { type ReplyContext, ReplyRun } from './reply-run.ts'
import { SessionStore } from './session-store.ts'
import { nodesOf, readStateToOpen, saveState } from './state-files.ts'
import { Summaries } from './summaries.ts'
import { withTemporaryChats } from './temporary-chats.ts'
import { givenTitle, openingOf, titleOf } from './titles.ts'
import { WriteQueue } from './write-queue.ts'

/** A deleted chat can be restored for this long. */
export const KEEP_DELETED_MS = 60_000

/** Of a message are looked at for its first words. */
const MAX_OPENING_CHARACTERS = 500

const NO_METER: EnergyMeter = { begin: () => ({ end: async () => null }) }

export interface ChatsOptions {
  time?: Time
  newId?: NewId
  /** Measures the energy of replies; none by default. */
  meter?: EnergyMeter
  /** Told of every write that failed, and null when one succeeds after that. */
  onStoreFailure?: (error: TernErrorData | null) => void
}

export class Chats {
  private readonly store: ChatStore
  private readonly time: Time
  private readonly newId: NewId
  private readonly sessions: SessionStore
  private readonly replyContext: ReplyContext
  private readonly open: OpenChats
  private readonly summaries = new Summaries()
  private readonly purges = new Map<string, Cancel>()
  private readonly writes: WriteQueue
  private readonly listed: Promise<unknown>

  constructor(engine: EngineAccess, store: ChatStore, options: ChatsOptions = {}) {
    this.store = withTemporaryChats(store)
    this.time = options.time ?? systemTime
    this.newId = options.newId ?? drawId
    this.writes = new WriteQueue(options.onStoreFailure ?? (() => {}))
    this.open = new OpenChats(this.store, this.writes)
    this.sessions = new SessionStore(this.store, () => this.time.nowMs())
    this.replyContext = {
      engine,
      sessions: this.sessions,
      time: this.time,
      meter: options.meter ?? NO_METER,
      store: {
        setMessage: (messageId, patch) => this.writes.add(() => this.store.setMessage(messageId, patch())),
        appendText: (messageId, text, at) => this.writes.add(() => this.store.appendText(messageId, text, at)),
        deleteSnapshot: messageId =>
          void this.writes.add(() => this.store.deleteSnapshot(messageId, null)).catch(() => {}),
      },
      giveUp: (chat, messageId) => this.giveUp(chat, messageId),
    }
    // Before all else; what it throws has been told.
    this.listed = this.writes.add(() => this.readList()).catch(() => {})
  }

  async watchSummaries(emit: (event: ChatSummariesEvent) => void, signal: AbortSignalLike): Promise<void> {
    await this.listed
    await this.summaries.watch(emit, signal)
  }

  async create(isTemporary: boolean): Promise<Chat> {
    const record = this.newRecord(isTemporary)
    await this.writes.add(() => this.store.addChat(record))
    const chat = new OpenChat(record, [])
    this.open.add(chat)
    this.tellSummary(chat)
    return chat.view()
  }

  async delete(chatId: string): Promise<void> {
    const chat = await this.open.get(chatId)
    if (chat.record.deletedAtMs !== null) return
    chat.stopReplies()
    await this.setChat(chat, { deletedAtMs: this.time.wallMs() })
    chat.tellWhole()
    this.purgeAfter(chatId, KEEP_DELETED_MS)
  }

  async restore(chatId: string): Promise<void> {
    const chat = await this.open.get(chatId)
    if (chat.record.deletedAtMs === null) return
    this.purges.get(chatId)?.()
    this.purges.delete(chatId)
    await this.setChat(chat, { deletedAtMs: null })
    chat.tellWhole()
  }

  async send(chatId: string, text: string, sampling?: Sampling): Promise<void> {
    await this.restore(chatId)
    const chat = await this.open.getIdle(chatId)
    const title = chat.tree.size === 0 ? { title: titleOf(text) } : {}
    const question = this.newMessage('user', text, chat.tree.activeLeafId)
    await this.ask(chat, [question, this.newMessage('assistant', '', question.id)], title, sampling)
  }

  async stop(chatId: string, messageId?: string): Promise<void> {
    const chat = await this.open.get(chatId)
    if (messageId === undefined) chat.stopReplies()
    else chat.replies.get(messageId)?.stop.abort()
  }

  async regenerate(chatId: string, messageId: string, sampling?: Sampling): Promise<void> {
    const chat = await this.open.getIdle(chatId)
    const { parentId } = messageOf(chat, messageId, 'assistant')
    await this.ask(chat, [this.newMessage('assistant', '', parentId)], {}, sampling)
  }

  async edit(chatId: string, messageId: string, text: string, sampling?: Sampling): Promise<void> {
    const chat = await this.open.getIdle(chatId)
    const { parentId } = messageOf(chat, messageId, 'user')
    const question = this.newMessage('user', text, parentId)
    await this.ask(chat, [question, this.newMessage('assistant', '', question.id)], {}, sampling)
  }

  async continue(chatId: string, messageId: string, sampling?: Sampling): Promise<void> {
    const chat = await this.open.getIdle(chatId)
    checkIdle(chat)
    const message = messageOf(chat, messageId, 'assistant')
    if (messageId !== chat.tree.activeLeafId || !canContinue(message)) {
      throw nothingToContinue()
    }
    chat.compared = null
    const patch: MessagePatch = { status: 'pending', error: null, finishReason: null, notice: null }
    chat.tree.patch(messageId, patch)
    this.replyContext.store.setMessage(messageId, () => patch).catch(() => {})
    const reply = this.replyTo(chat, messageId)
    this.tellStarted(chat)
    void this.writeReply(chat, reply, sampling)
  }

  async rename(chatId: string, text: string): Promise<void> {
    const title = givenTitle(text)
    if (title === null) {
      throw new TernError({
        code: 'invalid-argument',
        message: 'This title shows nothing.',
        remedy: 'Give the chat a name with letters in it.',
      })
    }
    const chat = await this.open.get(chatId)
    await this.setChat(chat, { title })
    chat.tellWhole()
  }

  async arrange(chatId: string, order: Order): Promise<void> {
    const chat = await this.open.get(chatId)
    await this.setChat(chat, tidied(order))
    this.open.closeUnused(chat)
  }

  has(chatId: string): boolean {
    return this.summaries.isKept(chatId)
  }

  /** A chat from elsewhere, with its own ids. All of it or nothing; one that was just deleted comes back. */
  async adopt(record: ChatRecord, messages: readonly MessageNode[]): Promise<void> {
    if (this.summaries.has(record.id)) return this.restore(record.id)
    const chat = { ...record, title: givenTitle(record.title) ?? titleOf(messages[0]?.content ?? '') }
    await this.writes.add(async () => {
      await this.store.addChat({ ...chat, activeLeafId: null })
      try {
        await this.store.addMessages(chat.id, messages, { activeLeafId: chat.activeLeafId })
      } catch (thrown) {
        await this.store.purge(chat.id)
        throw thrown
      }
    })
    this.summaries.set(chat, messages.length, false)
  }

  find(text: string): Promise<Found> {
    return findChats(text, this.summaries.all(), this.store)
  }

  async branch(chatId: string, messageId: string): Promise<Chat> {
    const chat = await this.open.getIdle(chatId)
    messageOf(chat, messageId)
    const path = chat.tree.pathTo(messageId)
    const { title, isTemporary, folder, tags } = chat.record
    const record = { ...this.newRecord(isTemporary), title, folder, tags }
    let parentId: string | null = null
    const copies = path.map(message => {
      const copy: MessageNode = { ...message, id: this.newId(), parentId }
      parentId = copy.id
      return copy
    })
    const branch = await this.begin(record, copies)
    // The latest state leads to all that follows; of those before it each is a place to branch off again.
    for (const [n, { id }] of path.entries()) {
      await this.writes.add(() => copyStates(this.store, id, record.id, copies[n].id))
    }
    return branch.view()
  }

  async saveState(chatId: string, messageId: string): Promise<Uint8Array> {
    const chat = await this.open.getIdle(chatId)
    messageOf(chat, messageId)
    return saveState(chat, messageId, this.replyContext)
  }

  async openState(state: Uint8Array, readAgain: boolean): Promise<OpenedState> {
    const found = await readStateToOpen(state, readAgain, this.replyContext)
    if ('kind' in found) return found
    const messages = nodesOf(found.messages, (role, text, parentId) => this.newMessage(role, text, parentId))
    const title = titleOf(found.messages.find(({ role }) => role === 'user')?.content ?? '')
    const { record } = await this.begin({ ...this.newRecord(false), title }, messages)
    const { modelKey } = found
    const last = messages.at(-1)!.id
    if (modelKey !== null) await this.writes.add(() => this.store.putSnapshot(record.id, last, modelKey, state))
    return { kind: 'opened', chatId: record.id }
  }

  async compare(chatId: string, questionId: string, samplings: readonly Sampling[]): Promise<void> {
    const chat = await this.open.get(chatId)
    const compared = chat.compared?.questionId === questionId ? chat.compared : null
    if (compared === null) checkIdle(chat)
    messageOf(chat, questionId, 'user')
    const temperatures = compared?.temperatures ?? new Map<string, number | null>()
    if (temperatures.size + samplings.length > MAX_COMPARED) {
      throw tooManyCompared(temperatures.size + samplings.length)
    }
    const messages = samplings.map(() => this.newMessage('assistant', '', questionId))
    const leaf = chat.tree.activeLeafId
    const ids = messages.map(({ id }) => id)
    const replies = await this.add(chat, messages, ids, {})
    // Until one is kept, the chat stands where it stood.
    if (leaf !== null) chat.tree.show(leaf)
    for (const [n, id] of ids.entries()) {
      temperatures.set(id, samplings[n].temperature ?? DEFAULT_CHAT_SAMPLING.temperature ?? null)
    }
    chat.compared = { questionId, temperatures }
    this.tellStarted(chat)
    const first = this.writeReply(chat, replies[0], samplings[0])
    // The others begin with the state that the first one leaves behind when it has read the question.
    await Promise.race([replies[0].hasRead, first])
    for (const [n, reply] of replies.entries()) if (n > 0) void this.writeReply(chat, reply, samplings[n])
  }

  async keep(chatId: string, messageId: string | null): Promise<void> {
    const chat = await this.open.get(chatId)
    const { compared } = chat
    if (compared === null) return
    if (messageId !== null) {
      messageOf(chat, compared.temperatures.has(messageId) ? messageId : '')
      chat.tree.show(messageId)
    }
    chat.compared = null
    chat.stopReplies(messageId ?? undefined)
    chat.tellWhole()
    await this.setChat(chat, { activeLeafId: chat.tree.activeLeafId })
  }

  async deleteFrom(chatId: string, messageId: string): Promise<void> {
    const chat = await this.open.getIdle(chatId)
    messageOf(chat, messageId)
    const leafId = chat.tree.activeLeafId
    const states = await statesOf(this.store, chat.tree.below(messageId))
    checkIdle(chat)
    const messages = chat.tree.removeFrom(messageId)
    const activeLeafId = chat.tree.activeLeafId
    const ids = messages.map(({ id }) => id)
    try {
      await this.writes.add(() => this.store.removeMessages(chatId, ids, { activeLeafId }))
    } catch (thrown) {
      chat.tree.addAgain(messages, leafId)
      throw thrown
    }
    chat.deleted?.forget()
    const forget = this.time.after(KEEP_DELETED_MS, () => this.forgetDeleted(chat))
    chat.deleted = { messages, states, leafId, forget }
    chat.compared = null
    chat.record = { ...chat.record, activeLeafId }
    this.tellChanged(chat)
  }

  async restoreMessages(chatId: string): Promise<void> {
    const chat = await this.open.getIdle(chatId)
    const { deleted } = chat
    if (deleted === null) return
    deleted.forget()
    chat.deleted = null
    chat.tree.addAgain(deleted.messages, deleted.leafId)
    chat.compared = null
    chat.record = { ...chat.record, activeLeafId: deleted.leafId }
    this.tellChanged(chat)
    await this.writes.add(() => storeAgain(this.store, chatId, deleted))
  }

  async map(chatId: string): Promise<MapNode[]> {
    const { tree } = await this.open.get(chatId)
    return tree.all().map(({ id, parentId, role, content, createdAtMs }) => {
      return { id, parentId, role, opening: openingOf(content.slice(0, MAX_OPENING_CHARACTERS)) ?? '', createdAtMs }
    })
  }

  async select(chatId: string, messageId: string): Promise<void> {
    const chat = await this.open.getIdle(chatId)
    messageOf(chat, messageId)
    chat.compared = null
    chat.tree.show(messageId)
    chat.tellWhole()
    await this.setChat(chat, { activeLeafId: chat.tree.activeLeafId })
  }

  /** The whole chat at once, then its changes until `signal` fires or the chat is gone for good. */
  async watch(chatId: string, emit: (event: ChatEvent) => void, signal: AbortSignalLike): Promise<void> {
    const chat = await this.open.get(chatId)
    if (signal.aborted) return
    await new Promise<void>(resolve => {
      signal.addEventListener('abort', () => resolve())
      chat.watch(emit, resolve)
    })
    chat.unwatch(emit)
    this.open.closeUnused(chat)
  }

  /** Replies are stopped and all that was written is stored: before the end. */
  async settle(): Promise<void> {
    await this.open.stopReplies()
    await this.writes.settled()
  }

  /** What was cut off when the host ended before is marked so; deleted chats go for good. */
  private async readList(): Promise<void> {
    for (const { chat, messageCount } of await this.store.list()) {
      if (chat.deletedAtMs !== null) await this.store.purge(chat.id)
      else this.summaries.set(chat, messageCount, false)
    }
  }

  private newRecord(isTemporary: boolean): ChatRecord {
    return newChatRecord(this.newId(), isTemporary, this.time.wallMs())
  }

  /** A new chat of these messages. */
  private async begin(record: ChatRecord, messages: MessageNode[]): Promise<OpenChat> {
    const activeLeafId = messages.at(-1)!.id
    await this.writes.add(() => this.store.addChat(record))
    await this.writes.add(() => this.store.addMessages(record.id, messages, { activeLeafId }))
    const chat = new OpenChat({ ...record, activeLeafId }, messages)
    this.open.add(chat)
    this.tellSummary(chat)
    return chat
  }

  private newMessage(role: MessageNode['role'], content: string, parentId: string | null): MessageNode {
    return {
      id: this.newId(),
      parentId,
      role,
      content,
      status: role === 'assistant' ? 'pending' : 'complete',
      createdAtMs: this.time.wallMs(),
      finishReason: null,
      stats: null,
      energy: null,
      error: null,
      notice: null,
    }
  }

  /** Adds messages that end in an empty reply, and lets that be written. When they cannot be stored, nothing has changed. */
  private async ask(chat: OpenChat, messages: MessageNode[], changes: ChatPatch, sampling?: Sampling): Promise<void> {
    checkIdle(chat)
    chat.compared = null
    const replyId = messages.at(-1)!.id
    const [reply] = await this.add(chat, messages, [replyId], { ...changes, activeLeafId: replyId })
    this.tellStarted(chat)
    void this.writeReply(chat, reply, sampling)
  }

  /**
   * Adds messages and what writes the replies among them. From here on the chat is busy for everybody else. When they
   * cannot be stored, nothing has changed.
   */
  private async add(
    chat: OpenChat,
    messages: MessageNode[],
    replyIds: string[],
    changes: ChatPatch,
  ): Promise<ReplyRun[]> {
    const before = { record: chat.record, leaf: chat.tree.activeLeafId }
    for (const message of messages) chat.tree.addChild(message)
    const patch = { ...changes, updatedAtMs: this.time.wallMs() }
    chat.record = { ...chat.record, ...patch }
    const replies = replyIds.map(messageId => this.replyTo(chat, messageId))
    try {
      await this.writes.add(() => this.store.addMessages(chat.record.id, messages, patch))
    } catch (thrown) {
      for (const messageId of replyIds) chat.replies.delete(messageId)
      chat.record = before.record
      for (const { id } of messages.toReversed()) chat.tree.removeLeaf(id)
      if (before.leaf !== null) chat.tree.show(before.leaf)
      chat.tellWhole()
      throw thrown
    }
    return replies
  }

  private replyTo(chat: OpenChat, messageId: string): ReplyRun {
    const reply = new ReplyRun(chat, messageId, this.replyContext)
    chat.replies.set(messageId, reply)
    return reply
  }

  private forgetDeleted(chat: OpenChat): void {
    chat.deleted = null
    chat.tellWhole()
    this.open.closeUnused(chat)
  }

  private tellChanged(chat: OpenChat): void {
    chat.tellWhole()
    this.tellSummary(chat)
  }

  private tellStarted(chat: OpenChat): void {
    this.tellChanged(chat)
    // Deleted while its messages were being stored.
    if (chat.record.deletedAtMs !== null) chat.stopReplies()
  }

  private async writeReply(chat: OpenChat, reply: ReplyRun, sampling: Sampling = {}): Promise<void> {
    await reply.run({ ...DEFAULT_CHAT_SAMPLING, ...sampling })
    chat.endReply(reply.figures.messageId)
    void this.setChat(chat, { updatedAtMs: this.time.wallMs() }).catch(() => {})
    this.open.closeUnused(chat)
  }

  private giveUp(chat: OpenChat, messageId: string): void {
    chat.forgetCompared(messageId)
    chat.tree.removeLeaf(messageId)
    const patch = { activeLeafId: chat.tree.activeLeafId }
    chat.record = { ...chat.record, ...patch }
    void this.writes.add(() => this.store.removeMessages(chat.record.id, [messageId], patch)).catch(() => {})
    this.tellChanged(chat)
  }

  private async setChat(chat: OpenChat, patch: ChatPatch): Promise<void> {
    chat.record = { ...chat.record, ...patch }
    this.tellSummary(chat)
    await this.writes.add(() => this.store.setChat(chat.record.id, patch))
  }

  private tellSummary(chat: OpenChat): void {
    this.summaries.set(chat.record, chat.tree.size, chat.isReplying)
  }

  private purgeAfter(chatId: string, delayMs: number): void {
    this.purges.set(
      chatId,
      this.time.after(delayMs, () => void this.purge(chatId).catch(() => {})),
    )
  }

  private async purge(chatId: string): Promise<void> {
    this.purges.delete(chatId)
    const chat = await this.open.get(chatId)
    chat.deleted?.forget()
    chat.endWatching()
    this.open.forget(chatId)
    this.sessions.dropChat(chatId)
    this.summaries.remove(chatId)
    await this.writes.add(() => this.store.purge(chatId))
  }
}
