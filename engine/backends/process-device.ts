/** What devices have in common that compute in this process, one token after another: states are arrays in its memory. */

import type { MaybePromise } from '../engine-environment.ts'
import type { EngineError } from '../errors.ts'
import type { ModelConfig } from '../model/config.ts'
import type { BackendCapabilities, RunnerCapabilities, RunnerMemory, WantedLogits } from './backend.ts'
import type { RunnerDevice } from './device-runner.ts'

/** Tokens between two looks at the cancel signal: about a second for a model of 100M weights. */
export const CHUNK_TOKENS = 8

/** A slot is a state [L, E]. */
export abstract class ProcessDevice<State extends Float32Array | Int32Array> implements RunnerDevice<State> {
  readonly config: ModelConfig
  readonly capabilities: RunnerCapabilities
  readonly failure: EngineError | null = null
  readonly measurable = null

  constructor(config: ModelConfig, capabilities: BackendCapabilities) {
    this.config = config
    this.capabilities = {
      ...capabilities,
      statesDieWithDevice: false,
      residentStates: Number.POSITIVE_INFINITY,
      batch: 1,
      samples: null,
      chunkTokens: () => CHUNK_TOKENS,
      memoryPlace: 'system',
      copyCostMs: 0,
    }
  }

  abstract createSlot(): State
  abstract readSlot(slot: State): Float32Array
  abstract writeSlot(slot: State, values: Float32Array): void
  abstract readChunk(slot: State, tokens: ArrayLike<number>, want: WantedLogits): Promise<Float32Array | null>
  abstract memory(liveSlots: number): RunnerMemory

  freeSlot(): void {}

  copySlot(from: State, to: State): void {
    to.set(from)
  }

  async decodeBatch([slot]: readonly State[], tokens: readonly number[]): Promise<Float32Array[]> {
    return [(await this.readChunk(slot, tokens, 'last'))!]
  }

  dispose(): MaybePromise<void> {}
}
