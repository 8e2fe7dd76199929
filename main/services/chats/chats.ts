/**
 * The truth about chats: messages, the reply in flight, and the engine sessions behind them. A chat survives the window
 * (which asks again) and the engine process (its states are kept as snapshots around every reply). It draws nothing,
 * stores through ChatStore only, and never looks into a state.
 */
import { randomUUID } from 'node:crypto'
import type { Chat, ChatEvent, ChatMessage, ChatSummary } from '../../../contract/app/chats.ts'
import type { GenerationEvent, SessionInput } from '../../../contract/engine/session.ts'
import { TernError, toErrorData } from '../../../contract/errors.ts'
import type { AbortSignalLike } from '../../../contract/rpc.ts'
import {
  DEFAULT_CHAT_SAMPLING,
  type FinishReason,
  type GenerationStats,
  type Sampling,
} from '../../../contract/words/sampling.ts'
import type { EngineConnection } from '../../host/supervisor.ts'
import { createAppendBatch } from './append-batch.ts'
import type { ChatStore, SnapshotPoint, StoredChat } from './chat-store.ts'

/** What chats need of the supervisor. */
export interface EngineAccess {
  whenReady(signal?: AbortSignalLike): Promise<EngineConnection>
}

export interface Chats {
  list(): ChatSummary[]
  create(): Chat
  /** Stops a reply in flight; the watchers' streams end. */
  delete(chatId: string): void
  send(chatId: string, text: string, sampling?: Sampling): void
  stop(chatId: string): void
  regenerate(chatId: string, sampling?: Sampling): void
  continue(chatId: string, sampling?: Sampling): void
  /** The whole chat at once, then its changes until `signal` fires or the chat is deleted. */
  watch(chatId: string, emit: (event: ChatEvent) => void, signal: AbortSignalLike): Promise<void>
}

/** Sessions kept alive in the engine process; the chats beyond them live as snapshots. */
const LIVE_SESSION_LIMIT = 4
const TITLE_LENGTH = 48
const NEW_CHAT_TITLE = 'New chat'

/** An engine session that stands at a known point of a chat. */
interface LiveSession {
  connection: EngineConnection
  sessionId: string
  /** The session's state is that of this point. */
  messageId: string
  point: SnapshotPoint
}

interface Finish {
  reason: FinishReason
  stats: GenerationStats
}

interface ReplyInFlight {
  stop: AbortController
  /** Hands the text that waits for the next batch to the watchers. */
  flush(): void
}

interface OpenChat {
  stored: StoredChat
  watchers: Set<(event: ChatEvent) => void>
  deleted: AbortController
  reply: ReplyInFlight | null
}

/** How a reply begins. */
type ReplyStart =
  /** Read the conversation, then write. */
  | 'read'
  /** Write again from the state before the reply. */
  | 'regenerate'
  /** Go on after the text that stands. */
  | 'continue'

export function createChats(engine: EngineAccess, store: ChatStore): Chats {
  const open = new Map<string, OpenChat>()
  /** By chat id, least recently used first. */
  const live = new Map<string, LiveSession>()

  const openChat = (chatId: string): OpenChat => {
    const known = open.get(chatId)
    if (known !== undefined) return known
    const stored = store.chat(chatId)
    if (stored === undefined) {
      throw new TernError({ code: 'chat-not-found', message: 'This chat does not exist any more.' })
    }
    const chat: OpenChat = {
      stored,
      watchers: new Set(),
      deleted: new AbortController(),
      reply: null,
    }
    open.set(chatId, chat)
    return chat
  }

  const idleChat = (chatId: string): OpenChat => {
    const chat = openChat(chatId)
    if (chat.reply !== null) {
      throw new TernError({
        code: 'chat-busy',
        message: 'A reply is being written in this chat.',
        remedy: 'Wait until it ends, or stop it.',
      })
    }
    return chat
  }

  const lastReply = (chat: OpenChat): ChatMessage => {
    const message = chat.stored.messages.at(-1)
    if (message?.role !== 'assistant') {
      throw new TernError({ code: 'message-not-found', message: 'This chat has no reply yet.' })
    }
    return message
  }

  const broadcast = (chat: OpenChat, event: ChatEvent) => {
    for (const watcher of [...chat.watchers]) watcher(event)
  }

  const changed = (chat: OpenChat, message: ChatMessage) => {
    chat.stored.updatedAtMs = Date.now()
    if (chat.deleted.signal.aborted) return
    store.save(chat.stored)
    broadcast(chat, { kind: 'message', message: { ...message } })
  }

  /** Forgets a chat's engine session; the engine frees it. */
  const dropSession = (chatId: string) => {
    const session = live.get(chatId)
    if (session === undefined) return
    live.delete(chatId)
    // A session of a dead process is gone already.
    session.connection.client.call('session.dispose', { sessionId: session.sessionId }).catch(() => {})
  }

  const keepSession = (chatId: string, session: LiveSession) => {
    live.delete(chatId)
    live.set(chatId, session)
    for (const oldest of [...live.keys()]) {
      if (live.size <= LIVE_SESSION_LIMIT) break
      if (open.get(oldest)?.reply == null) dropSession(oldest)
    }
  }

  /**
   * A session that stands at `point` of `messageId`: the live one, else the snapshot's. null when neither exists or the
   * engine refuses the snapshot (another model, damaged): the conversation is then read again.
   */
  const sessionAt = async (
    chatId: string,
    connection: EngineConnection,
    messageId: string,
    point: SnapshotPoint,
  ): Promise<LiveSession | null> => {
    const current = live.get(chatId)
    if (current?.connection === connection && current.messageId === messageId && current.point === point) return current
    dropSession(chatId)
    const state = store.snapshot(messageId, point)
    if (state === undefined) return null
    try {
      const sessionId = await connection.client.call('session.import', { state })
      return { connection, sessionId, messageId, point }
    } catch (thrown) {
      const { code } = toErrorData(thrown)
      if (code !== 'state-mismatch' && code !== 'state-corrupt') throw thrown
      store.deleteSnapshot(messageId, point)
      return null
    }
  }

  const newSession = async (connection: EngineConnection, messageId: string): Promise<LiveSession> => {
    const sessionId = await connection.client.call('session.create', undefined)
    return { connection, sessionId, messageId, point: 'before' }
  }

  const takeSnapshot = async (chat: OpenChat, session: LiveSession) => {
    const { sessionId, messageId, point } = session
    const state = await session.connection.client.call('session.export', { sessionId })
    if (!chat.deleted.signal.aborted) store.saveSnapshot(chat.stored.id, messageId, point, state)
  }

  /** The conversation up to `message`, that one left out or, as the reply to go on with, included. */
  const conversation = (chat: OpenChat, message: ChatMessage, withMessage: boolean): SessionInput => {
    const end = chat.stored.messages.indexOf(message) + (withMessage ? 1 : 0)
    return {
      kind: 'messages',
      // A reply that failed before its first word is no part of the conversation.
      messages: chat.stored.messages
        .slice(0, end)
        .filter(({ role, content }) => role !== 'assistant' || content !== '')
        .map(({ role, content }) => ({ role, content })),
      addGenerationPrompt: !withMessage,
    }
  }

  /** Runs `generate` and passes its events on; resolves with the finish event, soon after `stop` fires too. */
  const generate = async (
    session: LiveSession,
    input: SessionInput,
    sampling: Sampling,
    stop: AbortSignalLike,
    onEvent: (event: GenerationEvent) => void,
  ): Promise<Finish> => {
    const { sessionId, connection } = session
    const { client } = connection
    let finish: Finish | null = null
    const stream = client.subscribe('generate', { sessionId, input, sampling }, event => {
      if (event.kind === 'finish') finish = event
      else onEvent(event)
    })
    const onStop = () => void client.call('session.stop', { sessionId }).catch(() => {})
    stop.addEventListener('abort', onStop)
    if (stop.aborted) onStop()
    try {
      await stream.ended
    } finally {
      stop.removeEventListener('abort', onStop)
    }
    if (finish === null)
      throw new TernError({ code: 'internal', message: 'The engine ended a reply without a reason.' })
    return finish
  }

  /** Writes into `message` until its end, whatever that is; never rejects. */
  const reply = async (
    chat: OpenChat,
    message: ChatMessage,
    start: ReplyStart,
    sampling: Sampling,
    { stop, flush }: ReplyInFlight,
    onText: (text: string, tokenCount: number) => void,
  ): Promise<void> => {
    const startedAtMs = performance.now()
    const earlier = message.stats
    let firstTextAtMs: number | null = null
    let prompt: GenerationStats | null = null
    let writtenTokens = 0

    /** Of the whole reply: what an earlier part of it took, and this one. */
    const statsNow = (decodeTokensPerSecond: number | null): GenerationStats => ({
      promptTokens: (earlier?.promptTokens ?? 0) + (prompt?.promptTokens ?? 0),
      generatedTokens: (earlier?.generatedTokens ?? 0) + writtenTokens,
      ttftMs: earlier?.ttftMs ?? (firstTextAtMs ?? performance.now()) - startedAtMs,
      prefillTokensPerSecond: prompt?.prefillTokensPerSecond ?? earlier?.prefillTokensPerSecond ?? null,
      decodeTokensPerSecond,
    })

    const onMoved = (reason: string) => {
      message.notice = reason
      changed(chat, message)
    }
    const onRead = (event: GenerationEvent) => {
      if (event.kind === 'moved') onMoved(event.reason)
      if (event.kind !== 'prefill') return
      const { tokensDone, tokensTotal, reusedTokens } = event
      broadcast(chat, { kind: 'prefill', messageId: message.id, tokensDone, tokensTotal, reusedTokens })
    }
    const onWritten = (event: GenerationEvent) => {
      if (event.kind === 'moved') onMoved(event.reason)
      if (event.kind !== 'text') return
      firstTextAtMs ??= performance.now()
      if (message.status !== 'streaming') {
        message.status = 'streaming'
        // Its first token's time is known from now on.
        message.stats = statsNow(null)
        changed(chat, message)
      }
      message.content += event.text
      writtenTokens += event.tokens.length
      onText(event.text, event.tokens.length)
    }

    try {
      const connection = await engine.whenReady(stop.signal)
      const { session, toRead } = await beginAt(chat, message, start, connection)
      keepSession(chat.stored.id, session)
      if (toRead !== null) {
        const read = await generate(session, toRead, { maxTokens: 0 }, stop.signal, onRead)
        prompt = read.stats
        // The state then stands somewhere inside the prompt.
        if (read.reason === 'cancelled') throw new TernError({ code: 'cancelled', message: 'Stopped.' })
        if (message.content === '') await takeSnapshot(chat, session)
      }
      session.point = 'after'
      store.deleteSnapshot(message.id, 'after')
      const { reason, stats } = await generate(
        session,
        { kind: 'tokens', tokens: [] },
        sampling,
        stop.signal,
        onWritten,
      )
      flush()
      // Without it the reply stands as well: its text leads back to that state.
      await takeSnapshot(chat, session).catch(() => dropSession(chat.stored.id))
      message.status = reason === 'cancelled' ? 'stopped' : 'complete'
      message.finishReason = reason
      writtenTokens = stats.generatedTokens
      message.stats = statsNow(stats.decodeTokensPerSecond)
    } catch (thrown) {
      flush()
      dropSession(chat.stored.id)
      const error = toErrorData(thrown)
      if (writtenTokens > 0) message.stats = statsNow(null)
      if (error.code === 'cancelled' || stop.signal.aborted) {
        message.status = 'stopped'
        message.finishReason = 'cancelled'
      } else {
        message.status = error.code === 'engine-lost' ? 'interrupted' : 'failed'
        message.error = error
      }
    }
  }

  /** The session that a reply begins on, and what it has to read first (null: nothing). */
  const beginAt = async (
    chat: OpenChat,
    message: ChatMessage,
    start: ReplyStart,
    connection: EngineConnection,
  ): Promise<{ session: LiveSession; toRead: SessionInput | null }> => {
    const chatId = chat.stored.id
    if (start === 'continue' && message.content !== '') {
      const after = await sessionAt(chatId, connection, message.id, 'after')
      if (after !== null) return { session: after, toRead: null }
      const before = await sessionAt(chatId, connection, message.id, 'before')
      const fresh = before ?? (await newSession(connection, message.id))
      return { session: fresh, toRead: conversation(chat, message, true) }
    }
    const before = await sessionAt(chatId, connection, message.id, 'before')
    if (before !== null) return { session: before, toRead: null }
    const toRead = conversation(chat, message, false)
    const previous = chat.stored.messages.slice(0, chat.stored.messages.indexOf(message)).findLast(isReplyWithText)
    const earlier =
      previous === undefined
        ? null
        : ((await sessionAt(chatId, connection, previous.id, 'after')) ??
          (await sessionAt(chatId, connection, previous.id, 'before')))
    const session = earlier ?? (await newSession(connection, message.id))
    return { session: { ...session, messageId: message.id, point: 'before' }, toRead }
  }

  /** Marks the chat busy and lets the reply run; errors end up in the message. */
  const startReply = (chat: OpenChat, message: ChatMessage, start: ReplyStart, sampling: Sampling | undefined) => {
    message.status = 'pending'
    message.error = null
    message.finishReason = null
    delete message.notice
    if (start !== 'continue') {
      message.content = ''
      message.stats = null
    }
    const earlierTokens = message.stats?.generatedTokens ?? 0
    const batch = createAppendBatch((text, tokens, tokensPerSecond) =>
      broadcast(chat, {
        kind: 'append',
        messageId: message.id,
        text,
        generatedTokens: earlierTokens + tokens,
        tokensPerSecond,
      }),
    )
    const inFlight: ReplyInFlight = { stop: new AbortController(), flush: batch.flush }
    chat.reply = inFlight
    void reply(chat, message, start, { ...DEFAULT_CHAT_SAMPLING, ...sampling }, inFlight, batch.add).then(() => {
      chat.reply = null
      changed(chat, message)
      if (chat.deleted.signal.aborted) dropSession(chat.stored.id)
    })
  }

  const createMessage = (role: ChatMessage['role'], content: string): ChatMessage => ({
    id: randomUUID(),
    role,
    content,
    status: 'complete',
    createdAtMs: Date.now(),
    finishReason: null,
    stats: null,
    error: null,
  })

  return {
    list: () =>
      store
        .chats()
        .map(({ id, title, updatedAtMs, messages }) => ({ id, title, updatedAtMs, messageCount: messages.length }))
        .sort((a, b) => b.updatedAtMs - a.updatedAtMs),

    create() {
      const nowMs = Date.now()
      const stored: StoredChat = {
        id: randomUUID(),
        title: NEW_CHAT_TITLE,
        createdAtMs: nowMs,
        updatedAtMs: nowMs,
        messages: [],
      }
      store.save(stored)
      return snapshotOf(stored)
    },

    delete(chatId) {
      const chat = openChat(chatId)
      chat.deleted.abort()
      chat.reply?.stop.abort()
      if (chat.reply === null) dropSession(chatId)
      store.delete(chatId)
      open.delete(chatId)
    },

    send(chatId, text, sampling) {
      const chat = idleChat(chatId)
      const { stored } = chat
      if (stored.messages.length === 0) stored.title = titleOf(text)
      const message = createMessage('assistant', '')
      stored.messages.push(createMessage('user', text), message)
      startReply(chat, message, 'read', sampling)
      stored.updatedAtMs = Date.now()
      store.save(stored)
      broadcast(chat, { kind: 'chat', chat: snapshotOf(stored) })
    },

    stop(chatId) {
      openChat(chatId).reply?.stop.abort()
    },

    regenerate(chatId, sampling) {
      const chat = idleChat(chatId)
      const message = lastReply(chat)
      message.createdAtMs = Date.now()
      startReply(chat, message, 'regenerate', sampling)
      changed(chat, message)
    },

    continue(chatId, sampling) {
      const chat = idleChat(chatId)
      const message = lastReply(chat)
      startReply(chat, message, 'continue', sampling)
      changed(chat, message)
    },

    watch(chatId, emit, signal) {
      const chat = openChat(chatId)
      return new Promise(resolve => {
        const end = () => {
          chat.watchers.delete(emit)
          chat.deleted.signal.removeEventListener('abort', end)
          resolve()
        }
        // What the others have not been told yet, the new one gets with the whole.
        chat.reply?.flush()
        chat.watchers.add(emit)
        signal.addEventListener('abort', end)
        chat.deleted.signal.addEventListener('abort', end)
        emit({ kind: 'chat', chat: snapshotOf(chat.stored) })
      })
    },
  }
}

const isReplyWithText = (message: ChatMessage): boolean => message.role === 'assistant' && message.content !== ''

/** A copy: what is handed out must not change later. */
const snapshotOf = ({ id, title, messages }: StoredChat): Chat => structuredClone({ id, title, messages })

/** The first line of the first message, cut at a word. */
function titleOf(text: string): string {
  const line = text.trim().split('\n', 1)[0]!.trim()
  if (line === '') return NEW_CHAT_TITLE
  if (line.length <= TITLE_LENGTH) return line
  const cut = line.slice(0, TITLE_LENGTH)
  const space = cut.lastIndexOf(' ')
  return `${cut.slice(0, space > TITLE_LENGTH / 2 ? space : TITLE_LENGTH).trimEnd()}…`
}
