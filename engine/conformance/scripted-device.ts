/**
 * A backend that is no model: its state is the list of tokens it was fed, and what it wants next is a function of that
 * list. So a test can say which reply comes and see exactly what entered the state. As a device it is stricter than any real
 * one: it keeps every rule of `Runner` against its callers, leaves nonsense behind wherever the rules allow it, and can be
 * lost before, within and after any of its calls.
 */
import type { Backend, BackendInfo, DecodeAheadOptions, NumericMode, Runner } from '../backends/backend.ts'
import { MAX_DEVICE_PENALTY_WINDOW } from '../backends/backend.ts'
import { DeviceRunner, type RunnerDevice } from '../backends/device-runner.ts'
import { EngineError } from '../errors.ts'
import type { ModelConfig } from '../model/config.ts'
import { createSampler } from '../sampling/sampler.ts'
import { createRandom, wholeBelow } from '../seeded-random.ts'

/**
 * When a call loses the device: before anything happened; when the states have changed and the answer is lost with them; or
 * when the answer has arrived.
 */
export type LossMoment = 'before' | 'applied' | 'answered'
export const LOSS_MOMENTS: readonly LossMoment[] = ['before', 'applied', 'answered']

export interface ScriptedOptions {
  /** It samples by itself and runs ahead. */
  samples?: boolean
  /** Its states die with it; by default only where it samples. */
  isDevice?: boolean
  residentStates?: number
  batch?: number
  numericMode?: NumericMode
  copyCostMs?: number
  /** What it waits for before each token of a run ahead: a turn of the event loop, as a real device does. */
  pause?: () => Promise<void>
  name?: BackendInfo['name']
}

export interface ScriptedBackend extends Backend {
  /** The token wanted after those fed. */
  next: (fed: readonly number[]) => number
  /** Called before every step and chunk; may throw. */
  beforeStep: () => void
  /** Every live state's tokens. */
  readonly states: Set<readonly number[]>
  steps: number
  chunkTokens: number
  /** Whether it leaves the token after so many of a run ahead to the CPU. */
  asksCpu: (told: number) => boolean
  /** What every call throws from now on. */
  deviceFailure: EngineError | null
  /** Loses the device in the call of this number, from 0. */
  loss: { call: number; moment: LossMoment } | null
  /** Calls on all its runners so far, by name. */
  calls: string[]
  /** States that were ever created. */
  createdStates: number
  /** Runners that were disposed. */
  disposedRunners: number
}

/** Tokens that a device computes beyond the one it has told. */
const AHEAD = 5

/** Wants the token 2 until `next` is set. */
export function createScriptedBackend(options: ScriptedOptions = {}): ScriptedBackend {
  const { numericMode = 'float32', name = 'reference' } = options
  const capabilities = { numericMode, arithmetic: 'own', ops: [] } as const
  const backend: ScriptedBackend = {
    info: { name, description: 'scripted', threads: 1, kernel: 'scripted' },
    capabilities,
    ops: {},
    states: new Set(),
    next: () => 2,
    beforeStep: () => {},
    steps: 0,
    chunkTokens: 16,
    asksCpu: () => false,
    deviceFailure: null,
    loss: null,
    calls: [],
    createdStates: 0,
    disposedRunners: 0,
    load: async source => scriptedRunner(backend, source.config, options),
    dispose: async () => {},
  }
  return backend
}

const scriptedLoss = (): EngineError => new EngineError('device-lost', 'The scripted device was lost.')

const scriptedRunner = (backend: ScriptedBackend, config: ModelConfig, options: ScriptedOptions): Runner =>
  new DeviceRunner(new ScriptedDevice(backend, config, options))

/** A state: the tokens fed. */
type Slot = number[]

class ScriptedDevice implements RunnerDevice<Slot> {
  readonly config: ModelConfig
  readonly capabilities: Runner['capabilities']
  readonly measurable = null
  private readonly backend: ScriptedBackend
  private readonly isDevice: boolean
  private readonly pause: () => Promise<void>
  /** What it has returned, which ends with the next call. */
  private returned: Float32Array[] = []

  constructor(backend: ScriptedBackend, config: ModelConfig, options: ScriptedOptions) {
    const { samples = false, residentStates = Number.POSITIVE_INFINITY, batch = 1, copyCostMs = 0 } = options
    this.backend = backend
    this.config = config
    this.isDevice = options.isDevice ?? samples
    this.pause = options.pause ?? (() => Promise.resolve())
    this.capabilities = {
      ...backend.capabilities,
      statesDieWithDevice: this.isDevice,
      residentStates,
      batch,
      samples: samples ? { maxPenaltyWindow: MAX_DEVICE_PENALTY_WINDOW } : null,
      chunkTokens: () => backend.chunkTokens,
      memoryPlace: this.isDevice ? 'board' : 'system',
      copyCostMs,
    }
  }

  get failure(): EngineError | null {
    return this.isDevice ? this.backend.deviceFailure : null
  }

  createSlot(): Promise<Slot> {
    return this.call('createState', [], () => {
      const slot: Slot = []
      this.backend.states.add(slot)
      this.backend.createdStates++
      return slot
    })
  }

  freeSlot(slot: Slot): void {
    this.backend.states.delete(slot)
  }

  copySlot(from: Slot, to: Slot): Promise<void> {
    return this.call('cloneState', [to], () => fill(to, from))
  }

  readSlot(slot: Slot): Promise<Float32Array> {
    return this.call('exportState', [], () => {
      const values = new Float32Array(this.config.layerCount * this.config.stateWidth)
      values[0] = slot.length
      values.set(slot, 1)
      return values
    })
  }

  writeSlot(slot: Slot, values: Float32Array): Promise<void> {
    return this.call('importState', [slot], () => fill(slot, values.subarray(1, 1 + values[0])))
  }

  readChunk(slot: Slot, tokens: ArrayLike<number>, want: 'none' | 'last' | 'all'): Promise<Float32Array | null> {
    return this.call('readChunk', [slot], () => {
      this.backend.beforeStep()
      const rows: Float32Array[] = []
      for (let t = 0; t < tokens.length; t++) {
        slot.push(tokens[t])
        if (want === 'all' || (want === 'last' && t === tokens.length - 1)) rows.push(this.logitsAfter(slot))
      }
      return want === 'none' ? null : this.returning(Float32Array.from(rows.flatMap(row => [...row])))
    })
  }

  decodeBatch(slots: readonly Slot[], tokens: readonly number[]): Promise<Float32Array[]> {
    return this.call('decodeBatch', slots, () => {
      this.backend.beforeStep()
      this.backend.steps += tokens.length
      return slots.map((slot, i) => {
        slot.push(tokens[i])
        return this.returning(this.logitsAfter(slot))
      })
    })
  }

  decodeAhead(slot: Slot, start: number | Float32Array, options: DecodeAheadOptions): Promise<number> {
    return this.call('decodeAhead', [slot], async () => {
      const { backend } = this
      const before = slot.length
      const fed = typeof start === 'number' ? [...slot, start] : [...slot]
      const told: number[] = []
      let use: string = 'feed'
      let hasLogits = typeof start !== 'number'
      while (use === 'feed') {
        if (!hasLogits) backend.beforeStep()
        hasLogits = false
        if (backend.deviceFailure) throw backend.deviceFailure
        if (backend.asksCpu(told.length)) break
        const token = this.sample([...fed, ...told], told, options)
        told.push(token)
        await this.pause()
        use = options.onToken(token)
        if (options.signal?.aborted || told.length === options.maxTokens) use = use === 'feed' ? 'keep' : use
      }
      backend.steps += told.length + AHEAD
      if (told.length > 0) {
        const sequence = [...fed, ...told]
        fill(slot, sequence.slice(0, Math.max(before, sequence.length - (use === 'drop' ? 2 : 1))))
      }
      return told.length
    })
  }

  memory(liveSlots: number) {
    const bytesOfAllStates = liveSlots * this.config.layerCount * this.config.stateWidth * 4
    return { weightBytes: 0, bytesOfAllStates, scratchBytes: 0 }
  }

  dispose(): void {
    this.backend.disposedRunners++
  }

  /** Every call passes here; `changing` are the states that it leaves as nonsense when it fails. */
  private async call<T>(name: string, changing: readonly Slot[], work: () => T | Promise<T>): Promise<T> {
    const { backend } = this
    for (const logits of this.returned) logits.fill(Number.NaN)
    this.returned = []
    const index = backend.calls.push(name) - 1
    const moment = this.isDevice && backend.loss?.call === index ? backend.loss.moment : null
    await Promise.resolve()
    if (moment === 'before') throw this.lose()
    try {
      const result = await work()
      if (moment === 'applied') throw this.lose()
      if (moment === 'answered') this.lose()
      return result
    } catch (error) {
      for (const slot of changing) fill(slot, [NONSENSE, ...slot])
      throw error
    }
  }

  private lose(): EngineError {
    this.backend.deviceFailure ??= scriptedLoss()
    this.backend.states.clear()
    return this.backend.deviceFailure
  }

  private returning(logits: Float32Array): Float32Array {
    this.returned.push(logits)
    return logits
  }

  /** A clear favourite, and a little of everything else for the random draws. */
  private logitsAfter(fed: readonly number[]): Float32Array {
    const { vocabularySize } = this.config
    const logits = Float32Array.from({ length: vocabularySize }, (_, i) => ((i * 7919 + fed.length * 104729) % 13) / 13)
    logits[this.backend.next(fed)] += 1
    return logits
  }

  /** As a device's own sampling: exact at temperature 0, else a function of seed, index and logits. */
  private sample(fed: readonly number[], told: readonly number[], { sampling }: DecodeAheadOptions): number {
    const after = this.logitsAfter(fed)
    const { temperature, topK, penalties, seed, drawn } = sampling
    if (temperature === 0) {
      const sampler = createSampler(
        {
          repetitionPenalty: penalties?.repetition,
          presencePenalty: penalties?.presence,
          frequencyPenalty: penalties?.frequency,
          penaltyWindow: penalties?.window,
        },
        this.config.vocabularySize,
      )
      for (const token of [...Array.from(penalties?.history ?? []), ...told]) sampler.accept(token)
      return sampler.sample(after)
    }
    const all = Array.from(after.entries()).sort((a, b) => b[1] - a[1])
    const random = createRandom(seed ^ Math.imul(drawn + told.length + 1, 0x9e3779b1))
    return all[wholeBelow(random, topK > 0 ? topK : all.length)][0]
  }
}

/** A token that no test feeds. */
const NONSENSE = 1

function fill(slot: Slot, tokens: ArrayLike<number>): void {
  slot.splice(0, slot.length, ...Array.from(tokens))
}
