/**
 * A backend that is no model: its state is the list of tokens it was fed, and what it wants next is a function of that
 * list. So a test can say which reply comes and see exactly what entered the state.
 */
import type {
  Backend,
  DecodeManyOptions,
  PortableState,
  PrefillOptions,
  Runner,
  RunnerState,
} from '../../engine/backends/backend.ts'
import { referenceOps } from '../../engine/backends/reference/ops.ts'
import { createRandom, wholeBelow } from '../../engine/conformance/random.ts'
import { cancelled, EngineError } from '../../engine/errors.ts'
import type { GgufModel } from '../../engine/formats/gguf.ts'
import type { ModelConfig } from '../../engine/model/config.ts'
import { createSampler } from '../../engine/sampling/sampler.ts'
import { randomModel } from './random-model.ts'
import { BOS, END, EOS, TINY_CHAT_TEMPLATE, TINY_TOKENIZER_JSON, TINY_VOCABULARY_SIZE } from './tiny-tokenizer.ts'

/** Room for the list of tokens: value 0 is its length. */
const STATE_WIDTH = 512

export const SCRIPTED_CONFIG: Partial<ModelConfig> = {
  vocabularySize: TINY_VOCABULARY_SIZE,
  hiddenSize: 4,
  stateWidth: STATE_WIDTH,
  layerCount: 1,
  intermediateSize: 4,
  useLowerBound: false,
  bosTokenId: BOS,
  eosTokenIds: [EOS, END],
}

export const scriptedModelFile = (
  changes: { seed?: number; chatTemplate?: null; tokenizerJson?: string | null } = {},
): GgufModel => ({
  ...randomModel({ seed: changes.seed ?? 1, config: SCRIPTED_CONFIG }),
  tokenizerJson: changes.tokenizerJson === undefined ? TINY_TOKENIZER_JSON : changes.tokenizerJson,
  chatTemplate: changes.chatTemplate === null ? null : TINY_CHAT_TEMPLATE,
})

export interface ScriptedBackend extends Backend {
  /** The token wanted after those fed. */
  next: (fed: readonly number[]) => number
  /** Called before every step and prefill chunk; may throw. */
  beforeStep: () => void
  /** Every live state's tokens. */
  readonly states: Map<number, number[]>
  steps: number
  chunkTokens: number
  /** Of a device: whether it leaves the token after so many of a call to the host. */
  asksHost: (told: number) => boolean
  /** Of a device: what every call throws from now on. */
  deviceFailure: EngineError | null
  /** Runners that were disposed. */
  disposedRunners: number
}

/** Tokens that a device computes beyond the one it has told. */
const AHEAD = 5

/** Wants the end token until `next` is set. With `samples` it is a device that samples by itself and runs ahead. */
export function createScriptedBackend({ samples = false } = {}): ScriptedBackend {
  const states = new Map<number, number[]>()
  let nextId = 1
  const backend: ScriptedBackend = {
    info: { name: 'reference', description: 'scripted', threads: 1, kernel: 'scripted' },
    ops: referenceOps,
    states,
    next: () => EOS,
    beforeStep: () => {},
    steps: 0,
    chunkTokens: 16,
    asksHost: () => false,
    deviceFailure: null,
    disposedRunners: 0,
    load: async source => makeRunner(source.config),
    dispose: async () => {},
  }
  const fedOf = (state: RunnerState): number[] => {
    if (samples && backend.deviceFailure) throw backend.deviceFailure
    const fed = states.get(state.id)
    if (!fed) throw new EngineError('internal', 'disposed')
    return fed
  }
  const add = (fed: number[]): RunnerState => {
    states.set(nextId, fed)
    return { id: nextId++ }
  }

  const makeRunner = (config: ModelConfig): Runner => {
    const logits = new Float32Array(config.vocabularySize)
    /** A clear favourite, and a little of everything else for the random draws. */
    const logitsAfter = (fed: readonly number[]): Float32Array => {
      for (let i = 0; i < logits.length; i++) logits[i] = ((i * 7919 + fed.length * 104729) % 13) / 13
      logits[backend.next(fed)] += 1
      return logits
    }
    /** As a device's own sampling: exact at temperature 0, else a function of seed, index and logits. */
    const sample = (fed: readonly number[], told: readonly number[], { sampling }: DecodeManyOptions): number => {
      const after = logitsAfter([...fed, ...told])
      const { temperature, topK, penalties, seed, drawn } = sampling
      if (temperature === 0) {
        const host = createSampler(
          {
            repetitionPenalty: penalties?.repetition,
            presencePenalty: penalties?.presence,
            frequencyPenalty: penalties?.frequency,
            penaltyWindow: penalties?.window,
          },
          config.vocabularySize,
        )
        for (const token of [...Array.from(penalties?.history ?? []), ...told]) host.accept(token)
        return host.sample(after)
      }
      const all = Array.from(after.entries()).sort((a, b) => b[1] - a[1])
      const random = createRandom(seed ^ Math.imul(drawn + told.length + 1, 0x9e3779b1))
      return all[wholeBelow(random, topK > 0 ? topK : all.length)][0]
    }
    const decodeMany: Runner['decodeMany'] = async (state, start, options) => {
      const fed = [...fedOf(state)]
      if (typeof start === 'number') fed.push(start)
      const told: number[] = []
      let use: string = 'feed'
      let isFirst = typeof start !== 'number'
      while (use === 'feed') {
        if (!isFirst) backend.beforeStep()
        if (backend.deviceFailure) throw backend.deviceFailure
        isFirst = false
        if (backend.asksHost(told.length)) break
        const token = sample(fed, told, options)
        told.push(token)
        await new Promise(resolve => setTimeout(resolve))
        use = options.onToken(token)
        if (options.signal?.aborted || told.length === options.maxTokens) use = use === 'feed' ? 'keep' : use
      }
      backend.steps += told.length + AHEAD
      if (told.length === 0) return 0
      const sequence = [...fed, ...told]
      const unread = use === 'drop' ? 2 : 1
      states.set(state.id, sequence.slice(0, Math.max(fedOf(state).length, sequence.length - unread)))
      return told.length
    }
    const runner: Runner = {
      config,
      createState: () => add([]),
      cloneState: state => add([...fedOf(state)]),
      disposeState: state => void states.delete(state.id),
      exportState(state): PortableState {
        const fed = fedOf(state)
        const values = new Float32Array(STATE_WIDTH)
        values[0] = fed.length
        values.set(fed, 1)
        return { layerCount: 1, stateWidth: STATE_WIDTH, values, numericMode: 'float32' }
      },
      importState(state, { values }) {
        states.set(state.id, Array.from(values.subarray(1, 1 + values[0])))
      },
      async prefill(state, tokens, options: PrefillOptions) {
        const fed = fedOf(state)
        for (let first = 0; first < tokens.length; first += backend.chunkTokens) {
          if (options.signal?.aborted) throw cancelled()
          backend.beforeStep()
          if (samples && backend.deviceFailure) throw backend.deviceFailure
          const count = Math.min(backend.chunkTokens, tokens.length - first)
          fed.push(...Array.from(tokens).slice(first, first + count))
          if (options.logits === 'all') {
            await options.onLogits?.(new Float32Array(count * config.vocabularySize), first, count)
          }
          await options.onProgress?.(Math.min(tokens.length, first + backend.chunkTokens))
        }
        return options.logits === 'last' ? logitsAfter(fed) : null
      },
      decode(state, token) {
        backend.beforeStep()
        backend.steps++
        const fed = fedOf(state)
        fed.push(token)
        return logitsAfter(fed)
      },
      memory: () => ({ weightBytes: 0, stateBytes: states.size * STATE_WIDTH * 4, scratchBytes: 0 }),
      async dispose() {
        backend.disposedRunners++
        states.clear()
      },
    }
    if (!samples) return runner
    return Object.defineProperty({ ...runner, decodeMany }, 'deviceFailure', { get: () => backend.deviceFailure })
  }
  return backend
}

/** Wants these tokens once the state has read `promptTokens`, and the end of the turn after them. */
export function reply(promptTokens: number, tokens: readonly number[]): (fed: readonly number[]) => number {
  return fed => tokens[fed.length - promptTokens] ?? EOS
}
