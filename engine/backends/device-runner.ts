/**
 * What is the same in every runner, around a device that is not: handles of states, one call at a time, checks before
 * anything changes, a failure that stays. The rules of `Runner` are kept here once; a device has slots for states and
 * computes.
 */

import type { MaybePromise } from '../engine-environment.ts'
import { EngineError } from '../errors.ts'
import type { ModelConfig } from '../model/config.ts'
import { checkStateShape } from '../model/state-shape.ts'
import { checkTokenIds } from '../model/token-ids.ts'
import type {
  DecodeAheadOptions,
  DecodeStep,
  Measurable,
  OpTime,
  PortableState,
  Runner,
  RunnerCapabilities,
  RunnerMemory,
  StateHandle,
  WantedLogits,
} from './backend.ts'

/** Called one at a time, with arguments that are checked, and not after its failure. */
export interface RunnerDevice<Slot> {
  readonly config: ModelConfig
  readonly capabilities: RunnerCapabilities
  readonly failure: EngineError | null
  readonly measurable: Measurable | null
  /** Zeros. Throws `out-of-memory`. */
  createSlot(): MaybePromise<Slot>
  /** Must not throw; also called after a failure. */
  freeSlot(slot: Slot): void
  copySlot(from: Slot, to: Slot): MaybePromise<void>
  /** [L, E], a fresh array. */
  readSlot(slot: Slot): MaybePromise<Float32Array>
  writeSlot(slot: Slot, values: Float32Array): MaybePromise<void>
  readChunk(slot: Slot, tokens: ArrayLike<number>, want: WantedLogits): MaybePromise<Float32Array | null>
  decodeBatch(slots: readonly Slot[], tokens: readonly number[]): MaybePromise<Float32Array[]>
  decodeAhead?(slot: Slot, start: number | Float32Array, options: DecodeAheadOptions): Promise<number>
  timeOps?(tokens: number | null, repeats: number): Promise<OpTime[] | null>
  memory(liveSlots: number): RunnerMemory
  dispose(): MaybePromise<void>
}

export class DeviceRunner<Slot> implements Runner {
  readonly config: ModelConfig
  readonly decodeAhead: Runner['decodeAhead']
  readonly timeOps: Runner['timeOps']
  private readonly device: RunnerDevice<Slot>
  private readonly slots = new Map<StateHandle, Slot>()
  private nextStateId = 1
  /** The call that runs; settles with it and never rejects. */
  private running: Promise<void> | null = null
  private readonly released: StateHandle[] = []
  private isDisposed = false

  constructor(device: RunnerDevice<Slot>) {
    this.device = device
    this.config = device.config
    this.decodeAhead = device.capabilities.samples ? (...args) => this.runAhead(...args) : undefined
    this.timeOps = device.timeOps && ((...args) => this.alone(() => device.timeOps!(...args)))
  }

  get capabilities(): RunnerCapabilities {
    return this.device.capabilities
  }

  get failure(): EngineError | null {
    return this.device.failure
  }

  get measurable(): Measurable | null {
    return this.device.measurable
  }

  createState(): Promise<StateHandle> {
    return this.alone(() => this.add())
  }

  cloneState(state: StateHandle): Promise<StateHandle> {
    return this.alone(async () => {
      const from = this.slotOf(state)
      const clone = await this.add()
      try {
        await this.device.copySlot(from, this.slotOf(clone))
      } catch (error) {
        this.free(clone)
        throw error
      }
      return clone
    })
  }

  releaseState(state: StateHandle): void {
    if (this.running === null) this.free(state)
    else this.released.push(state)
  }

  exportState(state: StateHandle): Promise<PortableState> {
    return this.alone(async () => {
      const { layerCount, stateWidth } = this.config
      const values = await this.device.readSlot(this.slotOf(state))
      return { layerCount, stateWidth, values, numericMode: this.capabilities.numericMode }
    })
  }

  importState(state: StateHandle, portable: PortableState): Promise<{ isExact: boolean }> {
    return this.alone(async () => {
      const slot = this.slotOf(state)
      checkStateShape(this.config, portable)
      await this.device.writeSlot(slot, portable.values)
      return { isExact: portable.numericMode === this.capabilities.numericMode }
    })
  }

  readChunk(state: StateHandle, tokens: ArrayLike<number>, want: WantedLogits): Promise<Float32Array | null> {
    return this.alone(() => {
      const slot = this.slotOf(state)
      const most = this.capabilities.chunkTokens(want)
      if (!(tokens.length >= 1 && tokens.length <= most)) {
        throw new EngineError('invalid-argument', 'These tokens are not a chunk.', {
          expected: `1 to ${most} tokens`,
          actual: `${tokens.length} tokens`,
        })
      }
      checkTokenIds(tokens, this.config.vocabularySize)
      return this.device.readChunk(slot, tokens, want)
    })
  }

  decodeBatch(steps: readonly DecodeStep[]): Promise<Float32Array[]> {
    return this.alone(() => {
      const slots = steps.map(({ state }) => this.slotOf(state))
      const { batch } = this.capabilities
      if (!(steps.length >= 1 && steps.length <= batch) || new Set(slots).size !== steps.length) {
        throw new EngineError('invalid-argument', 'These sequences cannot be decoded together.', {
          expected: `1 to ${batch} different states`,
          actual: `${steps.length} steps of ${new Set(slots).size} states`,
        })
      }
      const tokens = steps.map(({ token }) => token)
      checkTokenIds(tokens, this.config.vocabularySize)
      return this.device.decodeBatch(slots, tokens)
    })
  }

  private runAhead(state: StateHandle, start: number | Float32Array, options: DecodeAheadOptions): Promise<number> {
    return this.alone(() => {
      const slot = this.slotOf(state)
      if (typeof start === 'number') checkTokenIds([start], this.config.vocabularySize)
      return this.device.decodeAhead!(slot, start, options)
    })
  }

  memory(): RunnerMemory {
    return this.device.memory(this.slots.size)
  }

  async dispose(): Promise<void> {
    if (this.isDisposed) return
    this.isDisposed = true
    await this.running
    try {
      for (const state of [...this.slots.keys()]) this.free(state)
      await this.device.dispose()
    } catch {
      // What cannot be freed is gone with its device.
    }
  }

  /** Runs a call when no other runs. */
  private async alone<T>(work: () => MaybePromise<T>): Promise<T> {
    if (this.running !== null) {
      throw new EngineError('internal', 'The runner was called while another call runs.')
    }
    if (this.isDisposed) throw new EngineError('model-not-loaded', 'The model was unloaded.')
    if (this.failure !== null) throw this.failure
    let end = (): void => {}
    this.running = new Promise(resolve => {
      end = resolve
    })
    try {
      return await work()
    } catch (error) {
      // What a device says first may be a consequence of what ended it.
      throw this.failure ?? error
    } finally {
      this.running = null
      for (const state of this.released.splice(0)) this.free(state)
      end()
    }
  }

  private async add(): Promise<StateHandle> {
    const { residentStates } = this.capabilities
    if (this.slots.size >= residentStates) {
      throw new EngineError('out-of-memory', 'The device has no room for another conversation.', {
        expected: `at most ${residentStates} at a time`,
        remedy: 'Close some conversations.',
      })
    }
    const slot = await this.device.createSlot()
    const state = { id: this.nextStateId++ }
    this.slots.set(state, slot)
    return state
  }

  private free(state: StateHandle): void {
    const slot = this.slots.get(state)
    if (slot === undefined) return
    this.slots.delete(state)
    this.device.freeSlot(slot)
  }

  private slotOf(state: StateHandle): Slot {
    const slot = this.slots.get(state)
    if (slot === undefined) throw new EngineError('internal', `The state ${state.id} was released.`)
    return slot
  }
}
