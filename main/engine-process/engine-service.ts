/**
 * The engine's contract over the engine itself: one loaded model at a time, its sessions by id, files and threads of this
 * machine. Everything thrown crosses to the caller as data. It keeps no chats and repeats nothing.
 */
import type { EngineApi } from '../../contract/engine-api.ts'
import { toErrorData } from '../../contract/errors.ts'
import type { AbortSignalLike, Handlers } from '../../contract/rpc.ts'
import { estimate } from '../../engine/backends/fpga/estimate.ts'
import type { LoadedModel } from '../../engine/engine.ts'
import type { ByteSink } from '../../engine/engine-environment.ts'
import { EngineError } from '../../engine/errors.ts'
import type { Evaluation } from '../../engine/evaluate.ts'
import { convertCheckpoint } from '../../engine/formats/convert.ts'
import { writeSafetensorsHeader } from '../../engine/formats/safetensors.ts'
import { encodePairs } from '../../engine/score.ts'
import { sessionBusy } from '../../engine/session.ts'
import { runBench } from './bench-service.ts'
import { defaultCacheDirectory } from './conversion-cache.ts'
import { nodeEngineEnvironment } from './engine-environment.ts'
import { moveReason } from './event-feed.ts'
import { createSink } from './file-sink.ts'
import { readModelInfo } from './model-files.ts'
import { ModelSlot } from './model-slot.ts'
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

export function createEngineService(options: EngineServiceOptions = {}): EngineService {
  const cacheDirectory = options.cacheDirectory ?? defaultCacheDirectory()
  const slot = new ModelSlot({ cacheDirectory, hashAfterLoad: options.hashAfterLoad === true })
  const handlers: Handlers<EngineApi> = {
    calls: {
      'model.info': ({ path }) => readModelInfo(path),
      'accelerator.estimate': async ({ path, boards }) => {
        const shape = await readModelInfo(path)
        return boards.map(board => estimate(shape, board))
      },
      'model.unload': () => slot.unload(),
      'model.move': slot.move,
      'session.create': () => slot.adopt(slot.loaded().model.createSession()),
      'session.clone': async ({ sessionId }) => slot.adopt(await slot.session(sessionId).session.clone()),
      'session.dispose': ({ sessionId }) => slot.disposeSession(sessionId),
      'session.stop': ({ sessionId }) => slot.session(sessionId).stop?.abort(),
      'session.export': ({ sessionId, stored }) => slot.session(sessionId).session.serialize(stored),
      'state.describe': async ({ state }) => {
        const { misfit, ...description } = await slot.loaded().model.describeState(state)
        return { ...description, misfit: misfit === null ? null : toErrorData(misfit) }
      },
      'session.import': async ({ state, conversation }) =>
        slot.adopt(await slot.loaded().model.importSession(state, conversation)),
      'tokenizer.encode': ({ text, parseSpecial }) =>
        tokenizerOf(slot.loaded().model).encode(text, { parseSpecial, continuation: false }),
      memory: () => ({ ...slot.memory(), processRssBytes: rssBytes() }),
      'backend.adapters': () => listAdapters(),
    },
    streams: {
      'engine.events': slot.events,
      'model.load': slot.load,
      generate: generateIn(slot),
      convert,
      evaluate: evaluateIn(slot),
      score: scoreIn(slot),
      selftest: ({ path, ...request }, emit, { signal }) => runSelfTest(path, request, cacheDirectory, emit, signal),
      bench: (params, emit, { signal }) => runBench(params, cacheDirectory, emit, signal),
    },
  }
  return { handlers, dispose: () => slot.unload() }
}

type StreamHandlers = Handlers<EngineApi>['streams']

const generateIn =
  (slot: ModelSlot): StreamHandlers['generate'] =>
  async ({ sessionId, input, sampling }, emit, { signal }) => {
    const open = slot.session(sessionId)
    if (open.stop !== null) throw sessionBusy()
    const stop = new AbortController()
    const onAbort = () => stop.abort()
    open.stop = stop
    signal.addEventListener('abort', onAbort)
    const stopListening = slot.loaded().model.onEvent(event => {
      if (event.kind !== 'moved') return
      emit({ kind: 'moved', backend: event.backend, reason: moveReason(event) })
    })
    try {
      await open.session.generate(input, sampling, { signal: stop.signal, onEvent: emit })
    } finally {
      open.stop = null
      stopListening()
      signal.removeEventListener('abort', onAbort)
    }
  }

const convert: StreamHandlers['convert'] = async ({ input, output, packing, replace }, emit, { signal }) => {
  const { outputBytes } = await convertCheckpoint(await openFolder(input), await createSink(output, { replace }), {
    packing,
    signal,
    yieldToEventLoop: nodeEngineEnvironment.yieldToEventLoop,
    onProgress: (fraction, tensor) => emit({ kind: 'progress', fraction, tensor }),
  })
  emit({ kind: 'done', outputBytes })
}

const evaluateIn =
  (slot: ModelSlot): StreamHandlers['evaluate'] =>
  async ({ input, saveLogits }, emit, { signal }) => {
    const { model } = slot.loaded()
    const tokens = input.kind === 'tokens' ? input.tokens : encodeDocument(model, input.text)
    const sink = saveLogits === undefined ? null : await createSink(saveLogits.path, saveLogits)
    try {
      const evaluation = await evaluate(model, tokens, sink, signal, (tokensDone, tokensTotal) =>
        emit({ kind: 'progress', tokensDone, tokensTotal }),
      )
      await sink?.finish()
      const { lossNats } = evaluation
      const perplexity = lossNats === null ? null : Math.exp(lossNats)
      const bitsPerByte = input.kind === 'text' ? bitsPerByteOf(model, input.text, evaluation) : null
      emit({ kind: 'done', tokens: evaluation.tokens, lossNats, perplexity, bitsPerByte })
    } catch (error) {
      await sink?.abort()
      throw error
    }
  }

const scoreIn =
  (slot: ModelSlot): StreamHandlers['score'] =>
  async ({ items, beginWithFirstToken }, emit, { signal }) => {
    const { model } = slot.loaded()
    const tokenizer = tokenizerOf(model)
    const firstToken = beginWithFirstToken ? model.file.config.bosTokenId : null
    for (const [index, item] of items.entries()) {
      const { context, continuations } = encodePairs(tokenizer, item.context, item.continuations, firstToken)
      const scores = await model.score(context, continuations, { signal })
      emit({ kind: 'scored', index, contextTokens: context.length, scores })
    }
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

/** Only where a first token stands before the text, so that all of it is foretold. */
function bitsPerByteOf(model: LoadedModel, text: string, { tokens, lossNats }: Evaluation): number | null {
  const bytes = Buffer.byteLength(text)
  if (model.file.config.bosTokenId === null || lossNats === null || bytes === 0) return null
  return (lossNats * (tokens - 1)) / Math.LN2 / bytes
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

/** null where the system does not tell, as when no file can be opened any more. */
function rssBytes(): number | null {
  try {
    return process.memoryUsage.rss()
  } catch {
    return null
  }
}
