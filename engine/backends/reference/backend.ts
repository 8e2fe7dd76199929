/**
 * The reference backend: plain TypeScript, one thread, the living definition of the model's arithmetic. Short, slow and
 * obvious; it is for holding others against, and a last resort. It skips nothing and caches nothing.
 */
import { cancelled, EngineError } from '../../errors.ts'
import type { ModelConfig } from '../../model/config.ts'
import { forward, head, type ModelWeights } from '../../model/forward.ts'
import type { ModelSource } from '../../model/source.ts'
import { checkStateShape } from '../../model/state-shape.ts'
import { checkTokenIds } from '../../model/token-ids.ts'
import type {
  Backend,
  LoadOptions,
  PortableState,
  PrefillOptions,
  Runner,
  RunnerMemory,
  RunnerState,
} from '../backend.ts'
import { referenceOps } from './ops.ts'
import { readWeights, weightBytes } from './weights.ts'

/** Tokens between two looks at the cancel signal: about a second for a model of 100M weights. */
const CHUNK_TOKENS = 8

export function createReferenceBackend(): Backend {
  return {
    info: {
      name: 'reference',
      description: 'plain TypeScript, one thread: exact and slow',
      threads: 1,
      kernel: 'float32 TypeScript',
    },
    ops: referenceOps,
    load: async (source: ModelSource, options?: LoadOptions) =>
      new ReferenceRunner(source.config, await readWeights(source, options)),
    dispose: async () => {},
  }
}

class ReferenceRunner implements Runner {
  readonly config: ModelConfig
  private readonly weights: ModelWeights
  /** [L, E] of each live sequence */
  private readonly states = new Map<number, Float32Array>()
  private nextStateId = 1

  constructor(config: ModelConfig, weights: ModelWeights) {
    this.config = config
    this.weights = weights
  }

  createState(): RunnerState {
    return this.addState(new Float32Array(this.config.layerCount * this.config.stateWidth))
  }

  cloneState(state: RunnerState): RunnerState {
    return this.addState(this.valuesOf(state).slice())
  }

  disposeState(state: RunnerState): void {
    this.states.delete(state.id)
  }

  exportState(state: RunnerState): PortableState {
    const { layerCount, stateWidth } = this.config
    return { layerCount, stateWidth, values: this.valuesOf(state).slice(), numericMode: 'float32' }
  }

  importState(state: RunnerState, portable: PortableState): void {
    checkStateShape(this.config, portable)
    this.valuesOf(state).set(portable.values)
  }

  async prefill(state: RunnerState, tokens: ArrayLike<number>, options: PrefillOptions): Promise<Float32Array | null> {
    checkTokenIds(tokens, this.config.vocabularySize)
    const { weights, config } = this
    const values = this.valuesOf(state)
    let last: Float32Array | null = null
    for (let first = 0; first < tokens.length; first += CHUNK_TOKENS) {
      if (options.signal?.aborted) throw cancelled()
      const chunk = Array.from(tokens).slice(first, first + CHUNK_TOKENS)
      const x = await forward(referenceOps, weights, config, chunk, values)
      const done = first + chunk.length
      if (options.logits === 'all') {
        await options.onLogits?.(await head(referenceOps, weights, config, x), first, chunk.length)
      } else if (options.logits === 'last' && done === tokens.length) {
        last = await head(referenceOps, weights, config, x.subarray(x.length - config.hiddenSize))
      }
      await options.onProgress?.(done)
    }
    return last
  }

  async decode(state: RunnerState, token: number): Promise<Float32Array> {
    checkTokenIds([token], this.config.vocabularySize)
    const x = await forward(referenceOps, this.weights, this.config, [token], this.valuesOf(state))
    return head(referenceOps, this.weights, this.config, x)
  }

  memory(): RunnerMemory {
    const { layerCount, stateWidth, intermediateSize, vocabularySize } = this.config
    return {
      weightBytes: weightBytes(this.weights),
      stateBytes: this.states.size * layerCount * stateWidth * 4,
      /** The largest single result of an operation; all of them are garbage after use. */
      scratchBytes: Math.max(2 * intermediateSize, vocabularySize) * CHUNK_TOKENS * 4,
    }
  }

  async dispose(): Promise<void> {
    this.states.clear()
  }

  private addState(values: Float32Array): RunnerState {
    const id = this.nextStateId++
    this.states.set(id, values)
    return { id }
  }

  private valuesOf(state: RunnerState): Float32Array {
    const values = this.states.get(state.id)
    if (!values) throw new EngineError('internal', `The state ${state.id} was disposed.`)
    return values
  }
}
