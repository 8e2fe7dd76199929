/**
 * The chats as the window shows them: the list, the open chat, what is being streamed into it, and drafts.
 * The host holds the truth; nothing here survives it but drafts and which chat was open (in the injected memo, so that a
 * reload finds both). Text that streams in is gathered and applied once a frame; finished messages keep their identity,
 * so that a view can skip them. A new chat exists only here until its first message is sent.
 */
import * as v from 'valibot'
import { createStore, type StoreApi } from 'zustand/vanilla'
import type { Chat, ChatEvent, ChatMessage, ChatSummary } from '../../contract/app/chats.ts'
import { type TernErrorData, toErrorData } from '../../contract/errors.ts'
import type { Subscription } from '../../contract/rpc.ts'
import type { AppClient } from './connection.ts'
import type { Schedule } from './frame.ts'
import type { Memo } from './preferences.ts'

/** Figures of the reply in flight. */
export interface LiveReply {
  messageId: string
  generatedTokens: number
  tokensPerSecond: number | null
  prefill: { tokensDone: number; tokensTotal: number; reusedTokens: number } | null
}

export interface ChatsState {
  /** null until the host has answered. Newest first. */
  summaries: ChatSummary[] | null
  /** null: a new chat that the host does not know yet. */
  currentId: string | null
  /** The open chat; null while it is fetched, and for a new chat. */
  chat: Chat | null
  live: LiveReply | null
  /** Unsent text per chat id; NEW_CHAT for the new one. */
  drafts: Readonly<Record<string, string>>
  /** A message is on its way to the host. */
  sending: boolean
  /** Deleted on screen, not yet at the host: can be undone until the pause ends. */
  removing: { chatId: string; title: string } | null
  /** The last action that failed. */
  failure: TernErrorData | null
}

export const NEW_CHAT = ''
export const UNDO_MS = 8_000
const OPEN_CHAT_KEY = 'tern.openChat'
const DRAFTS_KEY = 'tern.drafts'

/** Whether the open chat waits for a reply or receives one. */
export const isReplying = (state: Pick<ChatsState, 'chat' | 'sending'>): boolean => {
  const last = state.chat?.messages.at(-1)
  return state.sending || (last?.role === 'assistant' && (last.status === 'pending' || last.status === 'streaming'))
}

/** Whether the last reply was cut short in a way that it can go on from. */
export const canContinue = (message: ChatMessage): boolean =>
  message.role === 'assistant' &&
  message.content !== '' &&
  (message.status === 'stopped' ||
    message.status === 'interrupted' ||
    (message.status === 'complete' && message.finishReason === 'max-tokens'))

export const draftOf = (state: Pick<ChatsState, 'drafts' | 'currentId'>): string =>
  state.drafts[state.currentId ?? NEW_CHAT] ?? ''

export interface ChatsStore {
  state: StoreApi<ChatsState>
  /** Fetches the list and reopens the chat that was open. Call again after the line to the host was repaired. */
  refresh(): Promise<void>
  newChat(): void
  open(chatId: string): void
  setDraft(text: string): void
  /** Sends the draft. Does nothing when it is blank or a reply is in flight. */
  send(): Promise<void>
  stop(): Promise<void>
  regenerate(): Promise<void>
  continueReply(): Promise<void>
  /** Takes the chat off the list; the host is told after UNDO_MS, or when another chat is deleted. */
  remove(chatId: string): void
  undoRemove(): void
  dismissFailure(): void
  /** The window goes: a pending delete is told to the host now. */
  dispose(): void
}

export function createChatsStore(client: AppClient, schedule: Schedule, memo: Memo): ChatsStore {
  const state = createStore<ChatsState>(() => ({
    summaries: null,
    currentId: memo.getItem(OPEN_CHAT_KEY) || null,
    chat: null,
    live: null,
    drafts: readDrafts(memo),
    sending: false,
    removing: null,
    failure: null,
  }))
  const { getState, setState } = state
  let watching: Subscription | null = null
  let removeTimer: ReturnType<typeof setTimeout> | undefined
  const remember = (key: string, value: string) => {
    try {
      memo.setItem(key, value)
    } catch {}
  }

  // ---- what the host streams into the open chat

  let appended = new Map<string, Extract<ChatEvent, { kind: 'append' }>>()

  const flush = () => {
    const { chat } = getState()
    if (appended.size === 0 || chat === null) return
    const batch = appended
    appended = new Map()
    let live = getState().live
    const messages = chat.messages.map(message => {
      const event = batch.get(message.id)
      if (event === undefined) return message
      live = {
        messageId: message.id,
        generatedTokens: event.generatedTokens,
        tokensPerSecond: event.tokensPerSecond,
        prefill: null,
      }
      return { ...message, content: message.content + event.text, status: 'streaming' as const }
    })
    setState({ chat: { ...chat, messages }, live })
  }

  const receive = (event: ChatEvent) => {
    switch (event.kind) {
      case 'chat':
        appended.clear()
        setState({ chat: event.chat, live: null })
        break
      case 'message': {
        // The message is whole: text still waiting for its frame is already in it.
        appended.delete(event.message.id)
        flush()
        const { chat, live } = getState()
        if (chat === null) return
        const index = chat.messages.findIndex(message => message.id === event.message.id)
        const messages = index === -1 ? [...chat.messages, event.message] : chat.messages.with(index, event.message)
        const inFlight = event.message.status === 'pending' || event.message.status === 'streaming'
        setState({
          chat: { ...chat, messages },
          live: live?.messageId === event.message.id && !inFlight ? null : live,
        })
        if (!inFlight) void list()
        break
      }
      case 'append': {
        const before = appended.get(event.messageId)
        appended.set(event.messageId, before === undefined ? event : { ...event, text: before.text + event.text })
        schedule(flush)
        break
      }
      case 'prefill': {
        const { messageId, tokensDone, tokensTotal, reusedTokens } = event
        setState({
          live: {
            messageId,
            generatedTokens: 0,
            tokensPerSecond: null,
            prefill: { tokensDone, tokensTotal, reusedTokens },
          },
        })
        break
      }
    }
  }

  const unwatch = () => {
    const before = watching
    watching = null
    before?.cancel()
    appended.clear()
  }

  const watch = (chatId: string) => {
    const subscription = client.subscribe('chat.watch', { chatId }, receive)
    watching = subscription
    subscription.ended.then(
      () => {
        // Not ended by us: the chat was deleted, in another window.
        if (watching !== subscription) return
        show(null)
        void list()
      },
      error => {
        if (watching !== subscription) return
        show(null)
        setState({ failure: toErrorData(error) })
      },
    )
  }

  const show = (chatId: string | null) => {
    unwatch()
    setState({ currentId: chatId, chat: null, live: null })
    remember(OPEN_CHAT_KEY, chatId ?? '')
    if (chatId !== null) watch(chatId)
  }

  // ---- calls

  const list = async () => {
    try {
      const summaries = await client.call('chat.list', undefined)
      const { removing } = getState()
      setState({
        summaries: summaries
          .filter(summary => summary.id !== removing?.chatId)
          .sort((a, b) => b.updatedAtMs - a.updatedAtMs),
      })
    } catch {
      // The banner of the lost line speaks for it.
    }
  }

  /** Runs a call and shows its error instead of throwing it. Whether it went well. */
  const attempt = async (call: () => Promise<unknown>): Promise<boolean> => {
    setState({ failure: null })
    try {
      await call()
      return true
    } catch (error) {
      setState({ failure: toErrorData(error) })
      return false
    }
  }

  const setDraftOf = (chatId: string, text: string) => {
    const { [chatId]: _, ...others } = getState().drafts
    const drafts = text === '' ? others : { ...others, [chatId]: text }
    setState({ drafts })
    remember(DRAFTS_KEY, JSON.stringify(drafts))
  }

  const finishRemove = async () => {
    clearTimeout(removeTimer)
    const { removing } = getState()
    if (removing === null) return
    setState({ removing: null })
    setDraftOf(removing.chatId, '')
    await attempt(() => client.call('chat.delete', { chatId: removing.chatId }))
    await list()
  }

  return {
    state,

    async refresh() {
      await list()
      const { summaries, currentId } = getState()
      if (currentId === null || watching !== null || summaries === null) return
      if (summaries.some(summary => summary.id === currentId)) show(currentId)
      else show(null)
    },

    newChat() {
      if (getState().currentId !== null) show(null)
    },

    open(chatId) {
      if (getState().currentId !== chatId) show(chatId)
    },

    setDraft: text => setDraftOf(getState().currentId ?? NEW_CHAT, text),

    async send() {
      const before = getState()
      const text = draftOf(before)
      if (text.trim() === '' || isReplying(before)) return
      setState({ sending: true })
      let chatId = before.currentId
      const sent = await attempt(async () => {
        if (chatId === null) {
          const chat = await client.call('chat.create', undefined)
          chatId = chat.id
          // The reader may have opened another chat meanwhile.
          if (getState().currentId === null) {
            setDraftOf(chatId, text)
            setDraftOf(NEW_CHAT, '')
            show(chatId)
            setState({ chat })
          }
        }
        await client.call('chat.send', { chatId, text })
      })
      setState({ sending: false })
      if (sent && chatId !== null && getState().drafts[chatId] === text) setDraftOf(chatId, '')
      await list()
    },

    async stop() {
      const { currentId } = getState()
      if (currentId !== null) await attempt(() => client.call('chat.stop', { chatId: currentId }))
    },

    async regenerate() {
      const { currentId } = getState()
      if (currentId !== null && !isReplying(getState()))
        await attempt(() => client.call('chat.regenerate', { chatId: currentId }))
    },

    async continueReply() {
      const { currentId } = getState()
      if (currentId !== null && !isReplying(getState()))
        await attempt(() => client.call('chat.continue', { chatId: currentId }))
    },

    remove(chatId) {
      void finishRemove()
      const { summaries, currentId } = getState()
      const title = summaries?.find(summary => summary.id === chatId)?.title ?? ''
      if (currentId === chatId) show(null)
      setState({
        removing: { chatId, title },
        summaries: summaries?.filter(summary => summary.id !== chatId) ?? null,
      })
      removeTimer = setTimeout(() => void finishRemove(), UNDO_MS)
    },

    undoRemove() {
      clearTimeout(removeTimer)
      const { removing } = getState()
      if (removing === null) return
      setState({ removing: null })
      void list()
      show(removing.chatId)
    },

    dismissFailure: () => setState({ failure: null }),

    dispose() {
      void finishRemove()
      unwatch()
    },
  }
}

function readDrafts(memo: Memo): Record<string, string> {
  try {
    const parsed = v.safeParse(v.record(v.string(), v.string()), JSON.parse(memo.getItem(DRAFTS_KEY) ?? '{}'))
    return parsed.success ? parsed.output : {}
  } catch {
    return {}
  }
}
