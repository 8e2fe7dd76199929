/**
 * The chats as the window shows them: the list, the open chat, what is being streamed into it, and drafts.
 * The host holds the truth; nothing here survives it but drafts and which chat was open (in the injected memo, so that a
 * reload finds both). Text that streams in is gathered and applied once a frame; finished messages keep their identity,
 * so that a view can skip them. A new chat exists only here until its first message is sent.
 */
import { createStore, type StoreApi } from 'zustand/vanilla'
import type { Chat, ChatEvent, ChatSummariesEvent, ChatSummary, ReplyInFlight } from '../../contract/app/chats.ts'
import { type TernErrorData, toErrorData } from '../../contract/errors.ts'
import type { Subscription } from '../../contract/rpc.ts'
import { applyChatEvent, applySummariesEvent, WaitingEvents } from './chat-events.ts'
import type { AppClient } from './connection.ts'
import { type Drafts, keepDrafts, readDrafts, withDraft } from './drafts.ts'
import type { Schedule } from './frame.ts'
import type { Memo } from './preferences.ts'

export interface ChatsState {
  /** Of chats that are not deleted, latest first. null until the host has answered. */
  summaries: readonly ChatSummary[] | null
  /** null: a new chat that the host does not know yet. */
  currentId: string | null
  /** The open chat; null while it is fetched for the first time, and for a new chat. */
  chat: Chat | null
  /** The new chat is to be a temporary one. */
  isNewTemporary: boolean
  /** The host does not have the open chat any more; what was fetched of it can still be read and copied. */
  isGone: boolean
  /** Unsent text per chat id; NEW_CHAT for the new one. */
  drafts: Drafts
  /** Other words for messages that were sent, while they are written: per message id. */
  edits: Readonly<Record<string, string>>
  /** A message is on its way to the host. */
  sending: boolean
  /** Deleted, here (`isOurs`) or while it was open here in another window: can be restored. */
  removed: { chatId: string; title: string; isOurs: boolean } | null
  /** The last action that failed, per chat. */
  failures: Readonly<Record<string, TernErrorData>>
}

export const NEW_CHAT = ''
const OPEN_CHAT_KEY = 'tern.openChat'

/** The reply in flight in the open chat. */
export const replyOf = (state: Pick<ChatsState, 'chat'>): ReplyInFlight | null => state.chat?.reply ?? null

/** Whether the open chat waits for a reply or receives one. */
export const isReplying = (state: Pick<ChatsState, 'chat' | 'sending'>): boolean =>
  state.sending ||
  replyOf(state) !== null ||
  state.chat?.comparison?.replies.some(({ reply }) => reply !== null) === true

export const draftOf = (state: Pick<ChatsState, 'drafts' | 'currentId'>): string =>
  state.drafts[state.currentId ?? NEW_CHAT] ?? ''

/** Whether the open chat is temporary, or the new one is to be. */
export const isShownTemporary = (state: Pick<ChatsState, 'chat' | 'currentId' | 'isNewTemporary'>): boolean =>
  state.currentId === null ? state.isNewTemporary : state.chat?.isTemporary === true

export const failureOf = (state: Pick<ChatsState, 'failures' | 'currentId'>): TernErrorData | null =>
  state.failures[state.currentId ?? NEW_CHAT] ?? null

export interface ChatsStore {
  state: StoreApi<ChatsState>
  /** Follows the list, and reopens the chat that was open. Call again after the line to the host was repaired. */
  refresh(): void
  newChat(): void
  /** Whether the chat that begins next is temporary; of one that has begun it is fixed. */
  setNewTemporary(isTemporary: boolean): void
  open(chatId: string): void
  setDraft(text: string): void
  /** Sends the draft, or `text` and leaves the draft alone. Does nothing when it is blank or a reply is in flight. */
  send(text?: string): Promise<void>
  /** This reply, or all. */
  stop(messageId?: string): Promise<void>
  regenerate(messageId: string): Promise<void>
  continueReply(messageId: string): Promise<void>
  /** null: the message stays as it is. */
  setEdit(messageId: string, text: string | null): void
  /** Sends what was written for this message as another version of it, and drops it when the host has taken it. */
  sendEdit(messageId: string): Promise<void>
  rename(chatId: string, title: string): Promise<void>
  /** Where it stands in the list: what is left out stays. */
  arrange(
    chatId: string,
    order: Partial<Pick<ChatSummary, 'isPinned' | 'isArchived' | 'folder' | 'tags'>>,
  ): Promise<void>
  /** Goes on from this message in a chat of its own, which is shown then. */
  branch(messageId: string): Promise<void>
  /** Writes replies to this message of the user side by side, one for each temperature. */
  compare(questionId: string, temperatures: readonly number[]): Promise<void>
  /** Goes on with this one of the replies that are compared; null: with what was there before. */
  keep(messageId: string | null): Promise<void>
  /** Deletes a message and all that follows it. */
  deleteFrom(messageId: string): Promise<void>
  /** Brings back what `deleteFrom` took last. */
  restoreMessages(): Promise<void>
  /** Shows another version of a message. */
  select(messageId: string): Promise<void>
  remove(chatId: string): Promise<void>
  undoRemove(): Promise<void>
  dismissRemoved(): void
  dismissFailure(): void
  dispose(): void
}

export const createChatsStore = (client: AppClient, schedule: Schedule, memo: Memo): ChatsStore =>
  new HostChats(client, schedule, memo)

class HostChats implements ChatsStore {
  readonly state: StoreApi<ChatsState>
  private readonly client: AppClient
  private readonly schedule: Schedule
  private readonly memo: Memo
  private readonly waiting = new WaitingEvents()
  /** Of all chats that were open: readable while the line is down, and shown until the host has answered. */
  private readonly seen = new Map<string, Chat>()
  /** The host's list, deleted ones among them. */
  private all: readonly ChatSummary[] | null = null
  private watching: Subscription | null = null
  private listing: Subscription | null = null

  constructor(client: AppClient, schedule: Schedule, memo: Memo) {
    this.client = client
    this.schedule = schedule
    this.memo = memo
    this.state = createStore<ChatsState>(() => ({
      summaries: null,
      currentId: memo.getItem(OPEN_CHAT_KEY) || null,
      chat: null,
      isNewTemporary: false,
      isGone: false,
      drafts: readDrafts(memo),
      edits: {},
      sending: false,
      removed: null,
      failures: {},
    }))
  }

  refresh(): void {
    if (this.listing === null) {
      const listing = this.client.subscribe('chat.summaries', undefined, event => this.onSummaries(event))
      this.listing = listing
      const end = () => {
        if (this.listing === listing) this.listing = null
      }
      listing.ended.then(end, end)
    }
    const { currentId } = this.get()
    if (currentId !== null && this.watching === null) this.show(currentId)
  }

  newChat(): void {
    if (this.get().currentId !== null) this.show(null)
  }

  setNewTemporary(isTemporary: boolean): void {
    this.set({ isNewTemporary: isTemporary })
    this.keepDrafts()
  }

  open(chatId: string): void {
    if (this.get().currentId !== chatId) this.show(chatId)
  }

  setDraft(text: string): void {
    this.setDraftOf(this.get().currentId ?? NEW_CHAT, text)
  }

  async send(given?: string): Promise<void> {
    const before = this.get()
    const text = given ?? draftOf(before)
    if (text.trim() === '' || isReplying(before) || before.isGone) return
    this.set({ sending: true })
    let chatId = before.currentId
    const isSent = await this.attempt(chatId ?? NEW_CHAT, async () => {
      chatId ??= await this.createChat(given === undefined ? text : draftOf(before))
      await this.client.call('chat.send', { chatId, text })
    })
    this.set({ sending: false })
    const sentFrom = chatId ?? NEW_CHAT
    if (isSent && given === undefined && this.get().drafts[sentFrom] === text) this.setDraftOf(sentFrom, '')
  }

  async stop(messageId?: string): Promise<void> {
    await this.act(chatId => this.client.call('chat.stop', { chatId, messageId }))
  }

  async compare(questionId: string, temperatures: readonly number[]): Promise<void> {
    const samplings = temperatures.map(temperature => ({ temperature }))
    const call = (chatId: string) => this.client.call('chat.compare', { chatId, messageId: questionId, samplings })
    // One more may come beside those that are still being written.
    await (this.get().chat?.comparison?.questionId === questionId ? this.act(call) : this.actWhenIdle(call))
  }

  async keep(messageId: string | null): Promise<void> {
    await this.act(chatId => this.client.call('chat.keep', { chatId, messageId }))
  }

  async regenerate(messageId: string): Promise<void> {
    await this.actWhenIdle(chatId => this.client.call('chat.regenerate', { chatId, messageId }))
  }

  async continueReply(messageId: string): Promise<void> {
    await this.actWhenIdle(chatId => this.client.call('chat.continue', { chatId, messageId }))
  }

  setEdit(messageId: string, text: string | null): void {
    const { [messageId]: _, ...others } = this.get().edits
    this.set({ edits: text === null ? others : { ...others, [messageId]: text } })
  }

  async sendEdit(messageId: string): Promise<void> {
    const text = this.get().edits[messageId]
    if (text === undefined || text.trim() === '') return
    await this.actWhenIdle(async chatId => {
      await this.client.call('chat.edit', { chatId, messageId, text })
      this.setEdit(messageId, null)
    })
  }

  async select(messageId: string): Promise<void> {
    await this.actWhenIdle(chatId => this.client.call('chat.select', { chatId, messageId }))
  }

  async deleteFrom(messageId: string): Promise<void> {
    await this.actWhenIdle(chatId => this.client.call('chat.deleteFrom', { chatId, messageId }))
  }

  async restoreMessages(): Promise<void> {
    await this.actWhenIdle(chatId => this.client.call('chat.restoreMessages', { chatId }))
  }

  async rename(chatId: string, title: string): Promise<void> {
    await this.attempt(chatId, () => this.client.call('chat.rename', { chatId, title }))
  }

  async arrange(chatId: string, order: Parameters<ChatsStore['arrange']>[1]): Promise<void> {
    await this.attempt(chatId, () => this.client.call('chat.arrange', { chatId, ...order }))
  }

  async branch(messageId: string): Promise<void> {
    await this.actWhenIdle(async chatId => {
      const { id } = await this.client.call('chat.branch', { chatId, messageId })
      this.open(id)
    })
  }

  async remove(chatId: string): Promise<void> {
    const title = this.all?.find(summary => summary.id === chatId)?.title ?? ''
    const wasOpen = this.get().currentId === chatId
    // Before the host tells of it: this window need not be told of its own deed.
    if (wasOpen) this.show(null)
    this.set({ removed: { chatId, title, isOurs: true } })
    const isRemoved = await this.attempt(NEW_CHAT, () => this.client.call('chat.delete', { chatId }))
    if (isRemoved) return
    this.set({ removed: null })
    if (wasOpen) this.show(chatId)
  }

  async undoRemove(): Promise<void> {
    const { removed } = this.get()
    if (removed === null) return
    this.set({ removed: null })
    const isRestored = await this.attempt(removed.chatId, () =>
      this.client.call('chat.restore', { chatId: removed.chatId }),
    )
    if (isRestored) this.open(removed.chatId)
  }

  dismissRemoved(): void {
    this.set({ removed: null })
  }

  dismissFailure(): void {
    this.setFailure(this.get().currentId ?? NEW_CHAT, null)
  }

  dispose(): void {
    this.unwatch()
    this.listing?.cancel()
    this.listing = null
  }

  // ---- what the host streams

  private onSummaries(event: ChatSummariesEvent): void {
    const isFirst = this.all === null
    this.all = applySummariesEvent(this.all, event)
    const removed = this.get().removed ?? (isFirst ? this.lastRemoved() : null)
    const isKnown = (chatId: string) => this.all?.some(summary => summary.id === chatId) === true
    this.set({
      summaries: this.all.filter(summary => !summary.isDeleted),
      // Gone for good: nothing can be undone any more.
      removed: removed === null || isKnown(removed.chatId) ? removed : null,
    })
    if (event.kind === 'removed') this.seen.delete(event.chatId)
  }

  /** A window that was loaded again still offers to bring back what it has deleted. */
  private lastRemoved() {
    const deleted = this.all?.find(summary => summary.isDeleted)
    return deleted === undefined ? null : { chatId: deleted.id, title: deleted.title, isOurs: true }
  }

  private onChat(event: ChatEvent): void {
    if (this.waiting.add(event)) {
      this.schedule(() => this.flush())
      return
    }
    this.flush()
    this.apply([event])
    if (event.kind === 'chat') this.onWhole(event.chat)
    // Whatever could not be done while the reply was written can be done now.
    if (event.kind === 'reply' && failureOf(this.get())?.code === 'chat-busy') this.dismissFailure()
  }

  /** The open chat as a whole: this is how a window hears that another one deleted or restored it. */
  private onWhole({ id, title, isDeleted }: Chat): void {
    const { removed } = this.get()
    if (isDeleted) this.set({ removed: { chatId: id, title, isOurs: false } })
    else if (removed?.chatId === id) this.set({ removed: null })
  }

  private flush(): void {
    this.apply(this.waiting.take())
  }

  private apply(events: readonly ChatEvent[]): void {
    if (events.length === 0) return
    const chat = events.reduce(applyChatEvent, this.get().chat)
    if (chat !== null) this.seen.set(chat.id, chat)
    this.set({ chat })
  }

  private watch(chatId: string): void {
    const subscription = this.client.subscribe('chat.watch', { chatId }, event => {
      if (this.watching === subscription) this.onChat(event)
    })
    this.watching = subscription
    subscription.ended.then(
      // Not ended by us: the chat is gone for good.
      () => this.watching === subscription && this.show(null),
      error => {
        if (this.watching !== subscription) return
        const failure = toErrorData(error)
        if (failure.code === 'connection-closed') {
          // What was fetched stays readable until the line is back.
          this.watching = null
          return
        }
        // A host that was started anew, perhaps: this window may hold the last copy.
        if (failure.code === 'chat-not-found' && (this.get().chat?.messages.length ?? 0) > 0) {
          this.set({ isGone: true })
          return
        }
        this.show(null)
        // One that is gone since the last visit is no failure of anything.
        if (failure.code !== 'chat-not-found') this.setFailure(NEW_CHAT, failure)
      },
    )
  }

  private unwatch(): void {
    const before = this.watching
    this.watching = null
    before?.cancel()
    this.waiting.clear()
  }

  private show(chatId: string | null): void {
    this.unwatch()
    const { removed } = this.get()
    this.set({
      currentId: chatId,
      isGone: false,
      chat: chatId === null ? null : (this.seen.get(chatId) ?? null),
      ...(removed?.isOurs === false ? { removed: null } : {}),
    })
    try {
      this.memo.setItem(OPEN_CHAT_KEY, chatId ?? '')
    } catch {}
    if (chatId !== null) this.watch(chatId)
  }

  // ---- calls

  /** Creates the chat that a first message needs, and opens it where the reader still is. `draft` goes along. */
  private async createChat(draft: string): Promise<string> {
    const chat = await this.client.call('chat.create', { isTemporary: this.get().isNewTemporary })
    // The reader may have opened another chat meanwhile.
    if (this.get().currentId !== null) return chat.id
    this.seen.set(chat.id, chat)
    this.setDraftOf(chat.id, draft)
    this.setDraftOf(NEW_CHAT, '')
    this.setNewTemporary(false)
    this.show(chat.id)
    return chat.id
  }

  private async act(call: (chatId: string) => Promise<unknown>): Promise<void> {
    const { currentId } = this.get()
    if (currentId !== null) await this.attempt(currentId, () => call(currentId))
  }

  private async actWhenIdle(call: (chatId: string) => Promise<unknown>): Promise<void> {
    if (!isReplying(this.get())) await this.act(call)
  }

  /** Runs a call and shows its error, where it belongs, instead of throwing it. Whether it went well. */
  private async attempt(chatId: string, call: () => Promise<unknown>): Promise<boolean> {
    this.setFailure(chatId, null)
    try {
      await call()
      return true
    } catch (error) {
      this.setFailure(chatId, toErrorData(error))
      return false
    }
  }

  private setFailure(chatId: string, failure: TernErrorData | null): void {
    const { [chatId]: _, ...others } = this.get().failures
    this.set({ failures: failure === null ? others : { ...others, [chatId]: failure } })
  }

  private setDraftOf(chatId: string, text: string): void {
    this.set({ drafts: withDraft(this.get().drafts, chatId, text) })
    this.keepDrafts()
  }

  /** What is written in a temporary chat is kept nowhere. */
  private keepDrafts(): void {
    const isTemporary = (chatId: string) =>
      chatId === NEW_CHAT
        ? this.get().isNewTemporary
        : this.seen.get(chatId)?.isTemporary === true ||
          this.all?.some(({ id, isTemporary }) => id === chatId && isTemporary) === true
    const kept = Object.entries(this.get().drafts).filter(([chatId]) => !isTemporary(chatId))
    keepDrafts(this.memo, Object.fromEntries(kept))
  }

  private get(): ChatsState {
    return this.state.getState()
  }

  private set(change: Partial<ChatsState>): void {
    this.state.setState(change)
  }
}
