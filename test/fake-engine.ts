/**
 * An engine that computes nothing: it answers the engine's contract with a fixed vocabulary of words, one token each, so
 * that hosts and windows can be tested without a model. Its sessions are real in what matters: they know what they have
 * read, export and import it, and refuse what the true engine refuses.
 */

import type { EngineEvent } from '../contract/engine/events.ts'
import type { SessionInput } from '../contract/engine/session.ts'
import type { EngineApi } from '../contract/engine-api.ts'
import { TernError } from '../contract/errors.ts'
import type { Handlers } from '../contract/rpc.ts'
import { createEventFeed } from '../main/engine-process/event-feed.ts'
import { systemTime, type Time } from '../main/time.ts'

const WORDS =
  'the tern flies from the Arctic to the Antarctic and back every year , it weighs about a hundred grams .'.split(' ')

/** Text that the fake treats as commands when a message contains it. */
export const FAKE_COMMANDS = {
  /** The engine process ends without a word after a few tokens. */
  crash: 'CRASH',
  /** The reply fails with an error of the engine. */
  fail: 'FAIL',
  /** The model moves to another backend after a few tokens, and the reply goes on. */
  move: 'MOVE',
} as const

export interface FakeEngineOptions {
  /** Between two tokens, milliseconds. */
  tokenMs?: number
  /** Words in a reply that nothing cuts short. */
  replyWords?: number
  loadMs?: number
  onCrash?: () => void
  /** The clock that its pauses follow. */
  time?: Time
}

interface FakeSession {
  /** What the state has read, as text: one token a word. */
  text: string
  generated: number
  busy: boolean
  stopRequested: boolean
}

const tokenCount = (text: string) => text.split(' ').filter(word => word !== '').length

export const fakeModel = {
  name: 'Fake 1B',
  path: '/models/fake.gguf',
  fileBytes: 37_000_000,
  parameterCount: 98_000_000,
  ternaryParameterCount: 91_000_000,
  vocabularySize: WORDS.length,
  hiddenSize: 1024,
  stateWidth: 1024,
  layerCount: 24,
  intermediateSize: 2816,
  trainingContextLength: 2048,
  bytesPerState: 98_304,
  packing: 'TQ2_0',
  embeddingType: 'F16',
  license: 'Apache-2.0',
  description: 'Words in a row.',
  hasChatTemplate: true,
}

export interface FakeEngine {
  handlers: Handlers<EngineApi>
  /** Every `generate` so far: what was read (as text) and how many of its tokens were reused. */
  readonly reads: { kind: SessionInput['kind']; read: string; reused: number }[]
  readonly sessionCount: number
  /** Every import is refused as coming from another model. */
  refuseStates: boolean
  /** What the engine tells by itself. */
  tell(event: EngineEvent): void
}

export function createFakeEngine(options: FakeEngineOptions = {}): FakeEngine {
  const { tokenMs = 2, replyWords = 40, loadMs = 20, onCrash = () => process.exit(70), time = systemTime } = options
  const pause = (durationMs: number) => new Promise<void>(resolve => time.after(durationMs, resolve))
  const sessions = new Map<string, FakeSession>()
  let nextSession = 1
  let loaded = false
  let now: EngineEvent = { kind: 'unloaded' }
  const feed = createEventFeed()
  const tell = (event: EngineEvent) => {
    if (event.kind === 'loaded' || event.kind === 'unloaded') now = event
    feed.tell(event)
  }

  const add = (session: Omit<FakeSession, 'busy' | 'stopRequested'>) => {
    const id = `s${nextSession++}`
    sessions.set(id, { ...session, busy: false, stopRequested: false })
    return id
  }
  const find = (sessionId: string) => {
    const session = sessions.get(sessionId)
    if (session === undefined) throw new TernError({ code: 'session-not-found', message: `No session ${sessionId}.` })
    return session
  }
  const idle = (sessionId: string) => {
    const session = find(sessionId)
    if (session.busy) throw new TernError({ code: 'session-busy', message: `Session ${sessionId} is busy.` })
    return session
  }
  const needModel = () => {
    if (!loaded) throw new TernError({ code: 'model-not-loaded', message: 'No model is loaded.' })
  }
  const render = (input: SessionInput): string => {
    if (input.kind === 'text') return input.text
    if (input.kind === 'tokens') return input.tokens.map(token => `${WORDS[token]} `).join('')
    const turns = input.messages.map(({ role, content }) => `<${role}> ${content}`)
    return input.addGenerationPrompt ? `${turns.join(' ')} <assistant> ` : turns.join(' ')
  }

  const fake: FakeEngine = {
    reads: [],
    get sessionCount() {
      return sessions.size
    },
    refuseStates: false,
    tell,
    handlers: {
      calls: {
        'model.info': () => fakeModel,
        'accelerator.estimate': () => [],
        'model.unload': () => {
          loaded = false
          sessions.clear()
          tell({ kind: 'unloaded' })
        },
        'session.create': () => {
          needModel()
          return add({ text: '', generated: 0 })
        },
        'session.clone': ({ sessionId }) => add(idle(sessionId)),
        'session.dispose': ({ sessionId }) => {
          find(sessionId)
          sessions.delete(sessionId)
        },
        'session.stop': ({ sessionId }) => {
          find(sessionId).stopRequested = true
        },
        'session.export': ({ sessionId, stored }) => {
          const { text, generated } = idle(sessionId)
          const conversation = typeof stored === 'object' ? stored : null
          return new TextEncoder().encode(JSON.stringify({ text, generated, conversation }))
        },
        'state.describe': ({ state }) => {
          const { text, conversation } = JSON.parse(new TextDecoder().decode(state))
          const misfit = { code: 'state-mismatch', message: 'Another model made this state.' } as const
          const tokens = tokenCount(text)
          return { modelName: 'Fake', tokenCount: tokens, conversation, misfit: fake.refuseStates ? misfit : null }
        },
        'session.import': ({ state }) => {
          needModel()
          if (fake.refuseStates)
            throw new TernError({ code: 'state-mismatch', message: 'Another model made this state.' })
          return add(JSON.parse(new TextDecoder().decode(state)))
        },
        'tokenizer.encode': ({ text }) => text.split(' ').map((_, index) => index % WORDS.length),
        memory: () => ({
          weightBytes: 23_000_000,
          bytesOfAllStates: sessions.size * 98_304,
          scratchBytes: 1_200_000,
          sessionCount: sessions.size,
          bytesPerState: 98_304,
          processRssBytes: process.memoryUsage.rss(),
        }),
        'backend.adapters': () => [],
        'model.move': () => {
          const backend = { name: 'reference', description: 'words in a row', kernel: 'none', threads: 1 } as const
          tell({ kind: 'moved', cause: 'asked', backend, loadMs, reason: 'As asked.', isExact: true })
          return backend
        },
      },
      streams: {
        'engine.events': (_params, emit, { signal }) => feed.subscribe(now, emit, signal),
        'model.load': async ({ path }, emit) => {
          if (path.includes('missing')) {
            throw new TernError({
              code: 'file-not-found',
              message: `${path} does not exist.`,
              remedy: 'Choose another.',
            })
          }
          for (let step = 1; step <= 4; step++) {
            await pause(loadMs / 4)
            emit({ kind: 'progress', stage: 'load', fraction: step / 4 })
          }
          loaded = true
          sessions.clear()
          const backend = { name: 'reference', description: 'words in a row', kernel: 'none', threads: 1 } as const
          const event = { kind: 'loaded', loaded: { model: { ...fakeModel, path }, backend, loadMs } } as const
          emit(event)
          tell(event)
        },
        generate: async ({ sessionId, input, sampling }, emit, { signal }) => {
          needModel()
          const session = idle(sessionId)
          session.busy = true
          session.stopRequested = false
          const startedAtMs = time.nowMs()
          const stopping = () => session.stopRequested || signal.aborted
          try {
            const wanted = input.kind === 'messages' ? render(input) : session.text + render(input)
            const fits = wanted.startsWith(session.text)
            const read = fits ? wanted.slice(session.text.length) : wanted
            const reused = fits ? tokenCount(session.text) : 0
            fake.reads.push({ kind: input.kind, read, reused })
            const promptTokens = tokenCount(read)
            session.text = wanted
            emit({ kind: 'prefill', tokensDone: 0, tokensTotal: promptTokens, reusedTokens: reused })
            if (promptTokens > 0) {
              await pause(tokenMs)
              emit({ kind: 'prefill', tokensDone: promptTokens, tokensTotal: promptTokens, reusedTokens: reused })
            }
            let generatedTokens = 0
            const ttftMs = time.nowMs() - startedAtMs
            const finish = (reason: 'end-of-text' | 'max-tokens' | 'cancelled') =>
              emit({
                kind: 'finish',
                reason,
                stats: {
                  promptTokens,
                  generatedTokens,
                  ttftMs,
                  prefillTokensPerSecond: promptTokens > 0 ? 1000 : null,
                  decodeTokensPerSecond: generatedTokens > 1 ? 1000 / tokenMs : null,
                },
              })
            const prompt = session.text.slice(session.text.lastIndexOf('<user>'))
            const maxTokens = sampling.maxTokens ?? replyWords
            for (;;) {
              if (stopping()) return finish('cancelled')
              if (generatedTokens === maxTokens) return finish('max-tokens')
              if (session.generated > 0 && session.generated % replyWords === 0 && generatedTokens > 0) {
                return finish('end-of-text')
              }
              await pause(tokenMs)
              if (stopping()) return finish('cancelled')
              if (generatedTokens === 5 && prompt.includes(FAKE_COMMANDS.crash)) onCrash()
              if (generatedTokens === 5 && prompt.includes(FAKE_COMMANDS.fail)) {
                throw new TernError({ code: 'backend-failed', message: 'The fake failed.', remedy: 'Ask another way.' })
              }
              if (generatedTokens === 5 && prompt.includes(FAKE_COMMANDS.move)) {
                const backend = { name: 'wasm', description: 'words elsewhere', kernel: 'none', threads: 1 } as const
                const reason = 'The device was lost. The reply goes on elsewhere.'
                emit({ kind: 'moved', backend, reason })
                tell({ kind: 'moved', cause: 'lost', backend, loadMs, reason, isExact: true })
              }
              const token = session.generated % WORDS.length
              session.generated += 1
              generatedTokens += 1
              const text = `${WORDS[token]} `
              session.text += text
              emit({ kind: 'text', text, tokens: [token] })
            }
          } finally {
            session.busy = false
          }
        },
        convert: async (_params, emit) => emit({ kind: 'done', outputBytes: 0 }),
        evaluate: async (_params, emit) =>
          emit({ kind: 'done', tokens: 0, lossNats: null, perplexity: null, bitsPerByte: null }),
        score: async () => {},
        selftest: async (_params, emit) => emit({ kind: 'done', passed: true }),
        bench: async (_params, emit) =>
          emit({
            kind: 'done',
            decodeTokensPerSecond: 0,
            prefillTokensPerSecond: 0,
            bytesReadPerToken: 0,
            memoryReadBytesPerSecond: 0,
            peakRssBytes: 0,
            loadMs: 0,
          }),
      },
    },
  }
  return fake
}
