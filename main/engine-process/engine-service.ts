/**
 * The engine's contract over the engine itself: one loaded model at a time, its sessions by id, files and threads of this
 * machine. Everything thrown crosses to the caller as data. It keeps no chats and repeats nothing.
 */
import { randomUUID } from 'node:crypto'
import type { EngineApi } from '../../contract/engine-api.ts'
import type { AbortSignalLike, Handlers } from '../../contract/rpc.ts'
import type { LoadedModel as LoadedModelInfo } from '../../contract/words/model.ts'
import type { LoadedModel } from '../../engine/engine.ts'
import { EngineError } from '../../engine/errors.ts'
import { convertCheckpoint } from '../../engine/formats/convert.ts'
import { writeSafetensorsHeader } from '../../engine/formats/safetensors.ts'
import type { ByteSink } from '../../engine/host.ts'
import type { Session } from '../../engine/session.ts'
import { type ChosenModel, loadChosen } from './backend-choice.ts'
import { runBench } from './bench-service.ts'
import { defaultCacheDirectory } from './conversion-cache.ts'
import { nodeEngineHost } from './engine-host.ts'
import { createEventFeed, engineEventOf, moveReason } from './event-feed.ts'
import { createSink } from './file-sink.ts'
import { ggufInfo, openModel, readModelInfo } from './model-files.ts'
import { openFolder } from './node-files.ts'
import { runSelfTest } from './selftest-service.ts'
import { listAdapters } from './webgpu-device.ts'

export interface EngineServiceOptions {
  /** For converted folders; the operating system's place for caches by default. */
  cacheDirectory?: string
  /**
   * true: computes the model's hash right after the load, so that the first state file does not wait for it. For
   * processes that live long.
   */
  hashAfterLoad?: boolean
}

export interface EngineService {
  handlers: Handlers<EngineApi>
  /** Ends all sessions and threads. */
  dispose(): Promise<void>
}

/** A model with all that has to be closed with it. */
interface Current {
  model: LoadedModel
  moveTo: ChosenModel['moveTo']
  sessions: Map<string, OpenSession>
  /** The model as it is now: its backend and load time change when it moves. */
  info: LoadedModelInfo
  dispose(): Promise<void>
}

interface OpenSession {
  session: Session
  /** Stops the `generate` in flight. */
  stop: AbortController | null
}

export function createEngineService(options: EngineServiceOptions = {}): EngineService {
  const cacheDirectory = options.cacheDirectory ?? defaultCacheDirectory()
  let current: Current | null = null
  const feed = createEventFeed()
  /** Loads and unloads, one after another. */
  let turn: Promise<unknown> = Promise.resolve()

  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = turn.then(work, work)
    turn = mine.catch(() => {})
    return mine
  }

  const unload = async () => {
    if (current === null) return
    const ended = current
    current = null
    feed.tell({ kind: 'unloaded' })
    await ended.dispose()
  }

  const loaded = (): Current => {
    if (current !== null) return current
    throw new EngineError('model-not-loaded', 'No model is loaded.', { remedy: 'Load a model first.' })
  }

  const find = (sessionId: string): OpenSession => {
    const open = loaded().sessions.get(sessionId)
    if (open !== undefined) return open
    throw new EngineError('session-not-found', 'This session does not exist any more.', {
      actual: sessionId,
      remedy: 'Start a new session, or import a saved state.',
    })
  }

  const adopt = (session: Session): string => {
    const id = randomUUID()
    loaded().sessions.set(id, { session, stop: null })
    return id
  }

  const load: Handlers<EngineApi>['streams']['model.load'] = async ({ path, ...request }, emit, { signal }) => {
    // First, so that two models never need memory at the same time.
    await unload()
    const file = await openModel(path, {
      cacheDirectory,
      signal,
      onConvertProgress: fraction => emit({ kind: 'progress', stage: 'convert', fraction }),
    })
    try {
      const chosen = await loadChosen(file, request, {
        signal,
        onProgress: fraction => emit({ kind: 'progress', stage: 'load', fraction }),
      })
      const { model, moveTo } = chosen
      const modelInfo = ggufInfo(file, path)
      current = {
        model,
        moveTo,
        sessions: new Map(),
        get info() {
          return { model: modelInfo, backend: model.backend, loadMs: model.loadMs }
        },
        async dispose() {
          await chosen.dispose()
          await file.close()
        },
      }
      emit({ kind: 'loaded', loaded: current.info })
      feed.tell({ kind: 'loaded', loaded: current.info })
      model.onEvent(event => feed.tell(engineEventOf(event)))
      if (options.hashAfterLoad === true) void computeHash(model)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  const handlers: Handlers<EngineApi> = {
    calls: {
      'model.info': ({ path }) => readModelInfo(path),
      'model.unload': () => inTurn(unload),
      'session.create': () => adopt(loaded().model.createSession()),
      'session.clone': async ({ sessionId }) => adopt(await find(sessionId).session.clone()),
      'session.dispose': ({ sessionId }) => {
        const { session } = find(sessionId)
        loaded().sessions.delete(sessionId)
        session.dispose()
      },
      'session.stop': ({ sessionId }) => find(sessionId).stop?.abort(),
      'session.export': ({ sessionId }) => find(sessionId).session.serialize(),
      'session.import': async ({ state }) => adopt(await loaded().model.importSession(state)),
      'tokenizer.encode': ({ text, parseSpecial }) =>
        tokenizerOf(loaded().model).encode(text, { parseSpecial, continuation: false }),
      memory: () => {
        const processRssBytes = rssBytes()
        if (current !== null) return { ...current.model.memory(), processRssBytes }
        const nothing = { weightBytes: 0, bytesOfAllStates: 0, scratchBytes: 0, sessionCount: 0, bytesPerState: 0 }
        return { ...nothing, processRssBytes }
      },
      'backend.adapters': () => listAdapters(),
      'model.move': request =>
        inTurn(async () => {
          const { model, moveTo } = loaded()
          await moveTo(request)
          return model.backend
        }),
    },

    streams: {
      'engine.events': (_, emit, { signal }) =>
        feed.subscribe(
          current === null ? { kind: 'unloaded' } : { kind: 'loaded', loaded: current.info },
          emit,
          signal,
        ),
      'model.load': (params, emit, context) => inTurn(() => load(params, emit, context)),

      generate: async ({ sessionId, input, sampling }, emit, { signal }) => {
        const open = find(sessionId)
        if (open.stop !== null) {
          throw new EngineError('session-busy', 'The session is still working on the request before this one.', {
            remedy: 'Wait until it has finished, or stop it first.',
          })
        }
        const stop = new AbortController()
        const onAbort = () => stop.abort()
        open.stop = stop
        signal.addEventListener('abort', onAbort)
        const stopListening = loaded().model.onEvent(event => {
          if (event.kind !== 'moved') return
          emit({ kind: 'moved', backend: event.backend, reason: moveReason(event.failure) })
        })
        try {
          await open.session.generate(input, sampling, { signal: stop.signal, onEvent: emit })
        } finally {
          open.stop = null
          stopListening()
          signal.removeEventListener('abort', onAbort)
        }
      },

      convert: async ({ input, output, packing, replace }, emit, { signal }) => {
        const { outputBytes } = await convertCheckpoint(
          await openFolder(input),
          await createSink(output, { replace }),
          {
            packing,
            signal,
            yieldToHost: nodeEngineHost.yieldToHost,
            onProgress: (fraction, tensor) => emit({ kind: 'progress', fraction, tensor }),
          },
        )
        emit({ kind: 'done', outputBytes })
      },

      evaluate: async ({ input, saveLogits }, emit, { signal }) => {
        const { model } = loaded()
        const tokens = input.kind === 'tokens' ? input.tokens : encodeDocument(model, input.text)
        const sink = saveLogits === undefined ? null : await createSink(saveLogits.path, saveLogits)
        try {
          const evaluation = await evaluate(model, tokens, sink, signal, (tokensDone, tokensTotal) =>
            emit({ kind: 'progress', tokensDone, tokensTotal }),
          )
          await sink?.finish()
          const { lossNats } = evaluation
          const perplexity = lossNats === null ? null : Math.exp(lossNats)
          emit({ kind: 'done', tokens: evaluation.tokens, lossNats, perplexity })
        } catch (error) {
          await sink?.abort()
          throw error
        }
      },

      selftest: ({ path, ...request }, emit, { signal }) => runSelfTest(path, request, cacheDirectory, emit, signal),

      bench: (params, emit, { signal }) => runBench(params, cacheDirectory, emit, signal),
    },
  }
  return { handlers, dispose: () => inTurn(unload) }
}

async function evaluate(
  model: LoadedModel,
  tokens: number[],
  sink: ByteSink | null,
  signal: AbortSignalLike,
  onProgress: (tokensDone: number, tokensTotal: number) => void,
) {
  if (sink === null) return model.evaluate(tokens, { signal, onProgress })
  const shape = [tokens.length, model.file.config.vocabularySize]
  await writeSafetensorsHeader(sink, [{ name: 'logits', dtype: 'F32', shape }])
  return model.evaluate(tokens, {
    signal,
    onProgress,
    onLogits: logits => sink.write(new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength)),
  })
}

/** A document begins with the model's first token, as in training. */
function encodeDocument(model: LoadedModel, text: string): number[] {
  const { bosTokenId } = model.file.config
  const tokens = tokenizerOf(model).encode(text, { parseSpecial: false, continuation: false })
  return bosTokenId === null ? tokens : [bosTokenId, ...tokens]
}

function tokenizerOf({ tokenizer }: LoadedModel) {
  if (tokenizer !== null) return tokenizer
  throw new EngineError('invalid-argument', 'This model file carries no tokenizer, so it cannot read text.', {
    remedy: 'Give token ids, or convert the original folder again with its tokenizer files in it.',
  })
}

/** An empty session's state file needs the hash and nothing else; the model keeps it. */
async function computeHash(model: LoadedModel): Promise<void> {
  const session = model.createSession()
  try {
    await session.serialize()
  } catch {
    // Unloaded meanwhile, or unreadable: whoever saves a state is told.
  } finally {
    session.dispose()
  }
}

/** null where the system does not tell, as when no file can be opened any more. */
function rssBytes(): number | null {
  try {
    return process.memoryUsage.rss()
  } catch {
    return null
  }
}
