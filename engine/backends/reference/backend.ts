/**
 * The reference backend: plain TypeScript, one thread, the living definition of the model's arithmetic. Short, slow and
 * obvious; it is for holding others against, and a last resort. It skips nothing and caches nothing.
 */
import { bytesPerState, type ModelConfig } from '../../model/config.ts'
import { embed, forward, head, type ModelWeights } from '../../model/forward.ts'
import type { ModelSource } from '../../model/source.ts'
import { checkTokenIds } from '../../model/token-ids.ts'
import type { Backend, BackendCapabilities, Head, LoadOptions, RunnerMemory, WantedLogits } from '../backend.ts'
import { DeviceRunner } from '../device-runner.ts'
import { ALL_OPS } from '../ops.ts'
import { CHUNK_TOKENS, ProcessDevice } from '../process-device.ts'
import { referenceOps } from './ops.ts'
import { readWeights, weightBytesOf } from './weights.ts'

const CAPABILITIES: BackendCapabilities = { numericMode: 'float32', arithmetic: 'definition', ops: ALL_OPS }

export function createReferenceBackend(): Backend {
  return {
    info: {
      name: 'reference',
      description: 'plain TypeScript, one thread: exact and slow',
      threads: 1,
      kernel: 'float32 TypeScript',
    },
    capabilities: CAPABILITIES,
    ops: referenceOps,
    load: async (source: ModelSource, options?: LoadOptions) =>
      new DeviceRunner(new ReferenceDevice(source.config, await readWeights(source, options))),
    dispose: async () => {},
  }
}

/** Embedding and logits of a model by the definition, for a device that computes only what lies between. */
export async function createReferenceHead(source: ModelSource, options?: LoadOptions): Promise<Head> {
  const weights = await readWeights(source, options)
  const { config } = source
  return {
    async embed(token) {
      checkTokenIds([token], config.vocabularySize)
      return embed(weights, [token], config.hiddenSize)
    },
    logits: hidden => head(referenceOps, weights, config, hidden),
  }
}

class ReferenceDevice extends ProcessDevice<Float32Array> {
  private readonly weights: ModelWeights

  constructor(config: ModelConfig, weights: ModelWeights) {
    super(config, CAPABILITIES)
    this.weights = weights
  }

  createSlot(): Float32Array {
    return new Float32Array(this.config.layerCount * this.config.stateWidth)
  }

  readSlot(slot: Float32Array): Float32Array {
    return slot.slice()
  }

  writeSlot(slot: Float32Array, values: Float32Array): void {
    slot.set(values)
  }

  async readChunk(slot: Float32Array, tokens: ArrayLike<number>, want: WantedLogits): Promise<Float32Array | null> {
    const { weights, config } = this
    const x = await forward(referenceOps, weights, config, tokens, slot)
    if (want === 'none') return null
    return head(referenceOps, weights, config, want === 'all' ? x : x.subarray(x.length - config.hiddenSize))
  }

  memory(liveSlots: number): RunnerMemory {
    const { intermediateSize, vocabularySize } = this.config
    return {
      weightBytes: weightBytesOf(this.config),
      bytesOfAllStates: liveSlots * bytesPerState(this.config),
      /** The largest single result of an operation; all of them are garbage after use. */
      scratchBytes: Math.max(2 * intermediateSize, vocabularySize) * CHUNK_TOKENS * 4,
    }
  }
}
