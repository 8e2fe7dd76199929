/**
 * The accelerator without a board: its integers computed by this processor, slowly. It is what the gateware is held against,
 * and a place where a conversation of a board can go on bit for bit.
 */
import type { MaybePromise } from '../../engine-environment.ts'
import { bytesPerState, type ModelConfig } from '../../model/config.ts'
import type { ModelSource } from '../../model/source.ts'
import type { Backend, BackendCapabilities, Head, LoadOptions, RunnerMemory, WantedLogits } from '../backend.ts'
import { DeviceRunner } from '../device-runner.ts'
import { ProcessDevice } from '../process-device.ts'
import { blocks } from './fixed-point/block.ts'
import type { SaturationFlags } from './fixed-point/flags.ts'
import { residualFromFloat, residualToFloat, stateFromFloat, stateToFloat } from './fixed-point/state.ts'
import { type FixedWeights, fixedWeightBytes, readFixedWeights } from './fixed-point/weights.ts'

const CAPABILITIES: BackendCapabilities = { numericMode: 'tern-fixed-1', arithmetic: 'own', ops: [] }

export interface FunctionalFpgaOptions {
  /** Embedding, last norm and logits, which the accelerator leaves to the CPU. */
  createHead(source: ModelSource, options?: LoadOptions): Promise<FpgaHead>
}

interface FpgaHead extends Head {
  dispose?(): MaybePromise<void>
}

export function createFunctionalFpgaBackend({ createHead }: FunctionalFpgaOptions): Backend {
  return {
    info: {
      name: 'fpga',
      description: 'the accelerator’s arithmetic on this processor: exact and slow',
      threads: 1,
      kernel: 'functional',
    },
    capabilities: CAPABILITIES,
    ops: {},
    async load(source, options = {}) {
      const weights = await readFixedWeights(source, options)
      return new DeviceRunner(new FunctionalDevice(source.config, weights, await createHead(source, options)))
    },
    dispose: async () => {},
  }
}

/** States are s28.16. */
class FunctionalDevice extends ProcessDevice<Int32Array> {
  /** Every clamped value since the load. */
  private readonly saturations: SaturationFlags = new Set()
  private readonly weights: FixedWeights
  private readonly head: FpgaHead

  constructor(config: ModelConfig, weights: FixedWeights, head: FpgaHead) {
    super(config, CAPABILITIES)
    this.weights = weights
    this.head = head
  }

  createSlot(): Int32Array {
    return new Int32Array(this.config.layerCount * this.config.stateWidth)
  }

  readSlot(slot: Int32Array): Float32Array {
    return stateToFloat(slot)
  }

  writeSlot(slot: Int32Array, values: Float32Array): void {
    slot.set(stateFromFloat(values))
  }

  async readChunk(slot: Int32Array, tokens: ArrayLike<number>, want: WantedLogits): Promise<Float32Array | null> {
    const { vocabularySize: V } = this.config
    const logits = want === 'all' ? new Float32Array(tokens.length * V) : null
    let hidden: Float32Array = new Float32Array()
    for (let t = 0; t < tokens.length; t++) {
      hidden = await this.step(slot, tokens[t])
      logits?.set(await this.head.logits(hidden), t * V)
    }
    return want === 'last' ? this.head.logits(hidden) : logits
  }

  /** The hidden state [D] after the token. */
  private async step(state: Int32Array, token: number): Promise<Float32Array> {
    const { blocks: weights, residualFraction } = this.weights
    const x = residualFromFloat(await this.head.embed(token), residualFraction)
    return residualToFloat(blocks(x, state, weights, this.saturations), residualFraction)
  }

  memory(liveSlots: number): RunnerMemory {
    const { intermediateSize } = this.config
    return {
      weightBytes: fixedWeightBytes(this.weights),
      bytesOfAllStates: liveSlots * bytesPerState(this.config),
      /** The largest single result of an operation; all of them are garbage after use. */
      scratchBytes: 2 * intermediateSize * 8,
    }
  }

  override async dispose(): Promise<void> {
    await this.head.dispose?.()
  }
}
