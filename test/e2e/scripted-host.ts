/**
 * A host that plays a script: the app's API without an engine, so that the window's states can be reached at will and its
 * replies are known to the letter. It stands behind the real server of the browser shell.
 */
import { fileURLToPath } from 'node:url'
import type { Chat, ChatEvent, ChatMessage, ChatSummariesEvent, ReplyInFlight } from '../../contract/app/chats.ts'
import type { EngineStatus } from '../../contract/app/engine.ts'
import type { PowerSample } from '../../contract/app/power.ts'
import { appApi } from '../../contract/app-api.ts'
import { TernError } from '../../contract/errors.ts'
import { type Server, serve, type Transport } from '../../contract/rpc.ts'
import type { EngineMemory } from '../../contract/words/memory.ts'
import type { LoadedModel } from '../../contract/words/model.ts'
import type { GenerationStats } from '../../contract/words/sampling.ts'
import { startWindowServer } from '../../main/browser-shell/server.ts'
import { shownChat, summaryOf } from '../messages.ts'
import { UNUSED } from '../unused-handlers.ts'

const MIB = 1024 * 1024
const BUILT_WINDOW = fileURLToPath(new URL('../../out/renderer', import.meta.url))

export const LOADED: LoadedModel = {
  model: {
    name: 'Tern 98M',
    path: '/models/tern-98m-v2.gguf',
    fileBytes: 37 * MIB,
    parameterCount: 97_626_624,
    ternaryParameterCount: 91_226_112,
    vocabularySize: 8192,
    hiddenSize: 768,
    stateWidth: 768,
    layerCount: 12,
    intermediateSize: 2048,
    trainingContextLength: 1024,
    bytesPerState: 36 * 1024,
    packing: 'TQ2_0',
    embeddingType: 'F16',
    license: 'CC-BY-SA-4.0',
    description: null,
    hasChatTemplate: true,
  },
  backend: { name: 'wasm', description: 'relaxed SIMD, 2 threads', kernel: 'relaxed', threads: 2 },
  loadMs: 412,
}

export const READY: EngineStatus = { phase: 'ready', loaded: LOADED, isMoving: false }

const MEMORY: EngineMemory = {
  weightBytes: 35.2 * MIB,
  bytesOfAllStates: 36 * 1024,
  scratchBytes: 0.9 * MIB,
  sessionCount: 1,
  bytesPerState: 36 * 1024,
  place: 'system',
  processRssBytes: 121 * MIB,
}

/** Listeners of one stream. */
class Channel<T> {
  readonly #listeners = new Set<(event: T) => void>()
  emit(event: T) {
    for (const listener of this.#listeners) listener(event)
  }
  /** Forwards events until the signal fires. */
  forward(
    emit: (event: T) => void,
    signal: { aborted: boolean; addEventListener(type: 'abort', f: () => void): void },
  ): Promise<void> {
    this.#listeners.add(emit)
    return new Promise(resolve => {
      signal.addEventListener('abort', () => {
        this.#listeners.delete(emit)
        resolve()
      })
    })
  }
}

export interface ScriptedHost {
  url: string
  chats: Map<string, Chat>
  setStatus(status: EngineStatus): void
  /** The next replies' text; then 'OK.' again. */
  script(...replies: string[]): void
  /** Pieces of text a second, about four characters each. */
  setPace(piecesPerSecond: number): void
  /** Ends the reply in flight as a lost engine does. */
  interrupt(): void
  /** What prefill reports before the first piece. */
  setPrefill(tokensTotal: number, milliseconds: number): void
  setMessage(chatId: string, messageId: string, change: Partial<ChatMessage>): void
  setPower(sample: PowerSample): void
  /** null: the figure is not measured. */
  setProcessRss(bytes: number | null): void
  close(): Promise<void>
}

export async function startScriptedHost(rendererDirectory = BUILT_WINDOW): Promise<ScriptedHost> {
  const chats = new Map<string, Chat>()
  /** Messages that are not shown now. */
  const versions = new Map<string, ChatMessage>()
  const statusChannel = new Channel<EngineStatus>()
  const chatChannel = new Channel<{ chatId: string; event: ChatEvent }>()
  const powerChannel = new Channel<PowerSample>()
  let power: PowerSample = { sampledAtMs: Date.now(), readings: [], closed: [], idleWatts: null }
  const listChannel = new Channel<ChatSummariesEvent>()
  const memory = { ...MEMORY }
  let status: EngineStatus = READY
  let replies: string[] = []
  let pace = 120
  let prefill = { tokensTotal: 0, milliseconds: 0 }
  let running: { end(how: 'stopped' | 'interrupted'): void } | null = null
  let ids = 0
  const id = () => `id-${ids++}`

  const chatOf = (chatId: string): Chat => {
    const chat = chats.get(chatId)
    if (chat === undefined) throw new TernError({ code: 'chat-not-found', message: 'This chat is no longer there.' })
    return chat
  }
  const setDeleted = (chatId: string, isDeleted: boolean) => {
    const chat = chatOf(chatId)
    chat.isDeleted = isDeleted
    tellWhole(chat)
  }
  const say = (chatId: string, event: ChatEvent) => chatChannel.emit({ chatId, event })
  const tellWhole = (chat: Chat) => {
    say(chat.id, { kind: 'chat', chat: structuredClone(chat) })
    listChannel.emit({ kind: 'changed', summary: summaryOf(chat) })
  }
  const put = (chat: Chat, message: ChatMessage) => {
    const at = chat.messages.findIndex(other => other.id === message.id)
    if (at === -1) {
      chat.messages.push(message)
      tellWhole(chat)
      return
    }
    chat.messages[at] = message
    say(chat.id, { kind: 'message', message: { ...message } })
  }
  const setReply = (chat: Chat, reply: ReplyInFlight | null) => {
    const messageId = reply?.messageId ?? chat.reply?.messageId ?? ''
    chat.reply = reply
    say(chat.id, { kind: 'reply', messageId, reply: reply === null ? null : { ...reply } })
    listChannel.emit({ kind: 'changed', summary: summaryOf(chat) })
  }
  const newMessage = (role: 'user' | 'assistant', content: string): ChatMessage => ({
    id: id(),
    role,
    content,
    status: role === 'user' ? 'complete' : 'pending',
    createdAtMs: Date.now(),
    finishReason: null,
    stats: null,
    energy: null,
    error: null,
    notice: null,
    start: null,
    actions: role === 'user' ? ['edit'] : ['regenerate'],
    versions: [`id-${ids - 1}`],
  })

  /** Streams the next scripted text into `reply`, as a host does. */
  const play = async (chat: Chat, reply: ChatMessage) => {
    const text = replies.shift() ?? 'OK.'
    const pieces = text.match(/[\s\S]{1,4}/g) ?? []
    let end: 'stopped' | 'interrupted' | null = null
    running = {
      end(how) {
        end = how
      },
    }
    const inFlight = (over: Partial<ReplyInFlight>): ReplyInFlight => ({
      messageId: reply.id,
      phase: 'waiting',
      prefill: null,
      generatedTokens: 0,
      tokensPerSecond: null,
      ...over,
    })
    chat.reply = inFlight({})
    put(chat, reply)
    setReply(chat, inFlight({}))
    for (let step = 1; step <= 4 && prefill.tokensTotal > 0 && end === null; step++) {
      const tokensDone = Math.round((prefill.tokensTotal * step) / 4)
      const { tokensTotal } = prefill
      setReply(chat, inFlight({ phase: 'reading', prefill: { tokensDone, tokensTotal, reusedTokens: 0 } }))
      await pause(prefill.milliseconds / 4)
    }
    const startMs = performance.now()
    let sent = 0
    while (sent < pieces.length && end === null) {
      await pause(16)
      const due = Math.min(pieces.length, Math.max(1, Math.floor(((performance.now() - startMs) / 1000) * pace)))
      if (due <= sent) continue
      const piece = pieces.slice(sent, due).join('')
      if (sent === 0) put(chat, Object.assign(reply, { status: 'streaming', stats: stats(0, null) }))
      sent = due
      reply.content += piece
      say(chat.id, { kind: 'append', messageId: reply.id, text: piece })
      const tokensPerSecond = sent < 10 ? null : pace
      setReply(chat, inFlight({ phase: 'writing', generatedTokens: sent, tokensPerSecond }))
    }
    running = null
    const canContinue = end !== null && reply.content !== ''
    put(chat, {
      ...reply,
      actions: canContinue ? ['regenerate', 'continue'] : ['regenerate'],
      status: end ?? 'complete',
      finishReason: end === null ? 'end-of-text' : null,
      stats: stats(sent, sent < 10 ? null : pace),
    })
    setReply(chat, null)
  }

  const connect = (transport: Transport): Server =>
    serve(appApi, transport, {
      calls: {
        ...UNUSED.calls,
        'app.info': () => ({ version: '0.1.0', shell: 'browser' as const, platform: 'linux' }),
        'engine.retry': () => host.setStatus(READY),
        'engine.useEmbedded': () => host.setStatus(READY),
        'chat.create': ({ isTemporary }) => {
          const chat = shownChat({ id: id(), isTemporary })
          chats.set(chat.id, chat)
          listChannel.emit({ kind: 'changed', summary: summaryOf(chat) })
          return structuredClone(chat)
        },
        'chat.delete': ({ chatId }) => setDeleted(chatId, true),
        'chat.restore': ({ chatId }) => setDeleted(chatId, false),
        'chat.edit': ({ chatId, messageId, text }) => {
          const chat = chatOf(chatId)
          const [before] = chat.messages.splice(chat.messages.findIndex(message => message.id === messageId))
          versions.set(before.id, before)
          const edited = newMessage('user', text)
          put(chat, { ...edited, versions: [...before.versions, edited.id] })
          void play(chat, newMessage('assistant', ''))
        },
        'chat.select': ({ chatId, messageId }) => {
          const chat = chatOf(chatId)
          const version = versions.get(messageId)!
          const at = chat.messages.findIndex(message => message.versions.includes(messageId))
          const { versions: all } = chat.messages[at]
          versions.set(chat.messages[at].id, chat.messages[at])
          chat.messages[at] = { ...version, versions: all }
          tellWhole(chat)
        },
        'chat.send': ({ chatId, text }) => {
          const chat = chatOf(chatId)
          if (chat.title === '') chat.title = text.slice(0, 48)
          put(chat, newMessage('user', text))
          void play(chat, newMessage('assistant', ''))
        },
        'chat.rename': ({ chatId, title }) => {
          chatOf(chatId).title = title
        },
        'chat.branch': () => Promise.reject(new Error('not scripted')),
        'chat.stop': () => running?.end('stopped'),
        'chat.regenerate': ({ chatId }) => {
          const chat = chatOf(chatId)
          const before = chat.messages.pop()!
          versions.set(before.id, before)
          const reply = newMessage('assistant', '')
          void play(chat, { ...reply, versions: [...before.versions, reply.id] })
        },
        'chat.continue': ({ chatId }) => {
          const chat = chatOf(chatId)
          const last = chat.messages.at(-1)!
          void play(chat, { ...last, status: 'pending', stats: null })
        },
      },
      streams: {
        ...UNUSED.streams,
        'app.storage': (_, emit, { signal }) => {
          emit({ path: null, problem: null, recovery: null })
          return new Promise(resolve => signal.addEventListener('abort', () => resolve()))
        },
        'engine.status': (_, emit, { signal }) => {
          emit(status)
          return statusChannel.forward(emit, signal)
        },
        'power.watch': (_, emit, { signal }) => {
          emit(power)
          return powerChannel.forward(emit, signal)
        },
        'engine.memory': async (_, emit, { signal }) => {
          while (!signal.aborted) {
            emit({ sampledAtMs: Date.now(), memory, hostRssBytes: 90 * MIB })
            await pause(500)
          }
        },
        'chat.summaries': (_, emit, { signal }) => {
          emit({ kind: 'all', summaries: [...chats.values()].map(summaryOf) })
          return listChannel.forward(emit, signal)
        },
        'chat.watch': ({ chatId }, emit, { signal }) => {
          emit({ kind: 'chat', chat: structuredClone(chatOf(chatId)) })
          return chatChannel.forward(({ chatId: of, event }) => {
            if (of === chatId) emit(event)
          }, signal)
        },
      },
    })

  const server = await startWindowServer({ rendererDirectory, connect })

  const host: ScriptedHost = {
    url: server.url,
    chats,
    setStatus(next) {
      status = next
      statusChannel.emit(next)
    },
    script: (...texts) => void (replies = texts),
    setPace: piecesPerSecond => void (pace = piecesPerSecond),
    interrupt: () => running?.end('interrupted'),
    setPrefill: (tokensTotal, milliseconds) => void (prefill = { tokensTotal, milliseconds }),
    setMessage(chatId, messageId, change) {
      const chat = chatOf(chatId)
      const message = chat.messages.find(({ id: of }) => of === messageId)!
      put(chat, { ...message, ...change })
    },
    setPower(sample) {
      power = sample
      powerChannel.emit(sample)
    },
    setProcessRss: bytes => void (memory.processRssBytes = bytes),
    close: () => server.close(),
  }
  return host
}

const stats = (generatedTokens: number, decodeTokensPerSecond: number | null): GenerationStats => ({
  promptTokens: 12,
  generatedTokens,
  ttftMs: 38,
  prefillTokensPerSecond: 314,
  decodeTokensPerSecond,
})

const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds))
