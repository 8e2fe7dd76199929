/**
 * A runner whose sequences can move to another backend: when asked to, or because the device is lost in mid-reply. Of each
 * state on a device it keeps a copy in the host's memory and the tokens read since: what a lost device takes with it is
 * read again elsewhere. Backends without a device are passed through; it makes and frees no backends.
 */
import type {
  Backend,
  DecodeManyOptions,
  PortableState,
  PrefillOptions,
  Runner,
  RunnerMemory,
  RunnerState,
  SampledTokenUse,
} from './backends/backend.ts'
import { EngineError } from './errors.ts'
import type { MaybePromise } from './host.ts'
import type { ModelConfig } from './model/config.ts'
import type { ModelSource } from './model/source.ts'

/** Gives a backend to go on with; rejects when there is none. */
export type Recover = (failure: EngineError) => Promise<Backend>

/** Tokens that a state may have read since it was last copied from a device: reading them again is a moment's work. */
const TOKENS_BETWEEN_COPIES = 64

interface Sequence {
  /** Where it is computed now; null: nowhere, it is `copy` and `since`. */
  placed: { runner: Runner; state: RunnerState } | null
  /** On a device, or nowhere: the state at an earlier point (null: empty), and the tokens read since then. */
  copy: PortableState | null
  since: number[]
}

export interface MovableRunnerOptions {
  recover: Recover | null
  /** The device is lost; the states wait. */
  onRecovering(failure: EngineError): void
  /** The states are on this backend from now on. */
  onRecovered(backend: Backend, failure: EngineError): void
}

export class MovableRunner implements Runner {
  readonly config: ModelConfig
  private readonly source: ModelSource
  private readonly options: MovableRunnerOptions
  private runner: Runner
  private readonly sequences = new Map<number, Sequence>()
  private nextStateId = 1
  private isDisposed = false

  constructor(runner: Runner, source: ModelSource, options: MovableRunnerOptions) {
    this.config = runner.config
    this.runner = runner
    this.source = source
    this.options = options
  }

  get chunkTokens(): number {
    return this.runner.chunkTokens ?? 0
  }

  createState(): RunnerState {
    return this.add({ placed: null, copy: null, since: [] }, runner => runner.createState())
  }

  cloneState(state: RunnerState): RunnerState {
    const { placed, copy, since } = this.sequenceOf(state)
    return this.add({ placed: null, copy, since: [...since] }, runner =>
      placed?.runner === runner ? runner.cloneState(placed.state) : null,
    )
  }

  /** `place` may fail with the device: the sequence is then placed when it is next used. */
  private add(sequence: Sequence, place: (runner: Runner) => RunnerState | null): RunnerState {
    const { runner } = this
    try {
      const state = place(runner)
      if (state !== null) sequence.placed = { runner, state }
    } catch (error) {
      if (!isDeviceFailure(runner, error)) throw error
    }
    const id = this.nextStateId++
    this.sequences.set(id, sequence)
    return { id }
  }

  disposeState(state: RunnerState): void {
    const sequence = this.sequences.get(state.id)
    this.sequences.delete(state.id)
    if (sequence?.placed) sequence.placed.runner.disposeState(sequence.placed.state)
  }

  exportState(state: RunnerState): MaybePromise<PortableState> {
    const sequence = this.sequenceOf(state)
    return this.attempt(async runner => runner.exportState(await this.place(sequence, runner)))
  }

  async importState(state: RunnerState, portable: PortableState): Promise<void> {
    const sequence = this.sequenceOf(state)
    await this.attempt(async runner => runner.importState(await this.place(sequence, runner), portable))
    if (!isDevice(this.runner)) return
    sequence.copy = { ...portable, values: portable.values.slice() }
    sequence.since = []
  }

  async prefill(state: RunnerState, tokens: ArrayLike<number>, options: PrefillOptions): Promise<Float32Array | null> {
    const sequence = this.sequenceOf(state)
    let done = 0
    const logits = await this.attempt(async runner => {
      const inner = await this.place(sequence, runner)
      const first = done
      return runner.prefill(inner, first === 0 ? tokens : Array.from(tokens).slice(first), {
        ...options,
        ...(options.onLogits && {
          onLogits: (rows, firstToken, count) => options.onLogits!(rows, first + firstToken, count),
        }),
        onProgress: tokensDone => {
          for (const read = first + tokensDone; done < read; done++) this.note(sequence, tokens[done])
          return options.onProgress?.(done)
        },
      })
    })
    await this.copyIfDue(sequence)
    return logits
  }

  decode(state: RunnerState, token: number): MaybePromise<Float32Array> {
    const sequence = this.sequenceOf(state)
    const { runner } = this
    if (!isDevice(runner) && sequence.placed?.runner === runner) return runner.decode(sequence.placed.state, token)
    return this.decodeMovably(sequence, token)
  }

  private async decodeMovably(sequence: Sequence, token: number): Promise<Float32Array> {
    const logits = await this.attempt(async runner => runner.decode(await this.place(sequence, runner), token))
    this.note(sequence, token)
    await this.copyIfDue(sequence)
    return logits
  }

  /** There only while the backend has it. */
  get decodeBatch(): Runner['decodeBatch'] {
    if (this.runner.decodeBatch === undefined) return undefined
    return (states, tokens) =>
      this.decodeTogether(
        states.map(state => this.sequenceOf(state)),
        tokens,
      )
  }

  get decodeBatchMost(): number {
    return this.runner.decodeBatchMost ?? 1
  }

  private async decodeTogether(sequences: readonly Sequence[], tokens: readonly number[]): Promise<Float32Array[]> {
    const { runner } = this
    const states: RunnerState[] = []
    for (const sequence of sequences) states.push(await this.place(sequence, runner))
    const logits = await runner.decodeBatch!(states, tokens)
    for (const [i, sequence] of sequences.entries()) this.note(sequence, tokens[i])
    return logits
  }

  /** There only while the backend has it. It tells no token, and feeds none, when the device is lost before the first. */
  get decodeMany(): Runner['decodeMany'] {
    if (this.runner.decodeMany === undefined) return undefined
    return (state, start, options) => this.decodeSeveral(this.sequenceOf(state), start, options)
  }

  private async decodeSeveral(
    sequence: Sequence,
    start: number | Float32Array,
    options: DecodeManyOptions,
  ): Promise<number> {
    const { runner } = this
    const told: number[] = []
    let lastUse: SampledTokenUse = 'feed'
    const onToken = (token: number): SampledTokenUse => {
      told.push(token)
      lastUse = options.onToken(token)
      return lastUse
    }
    let isRecovered = false
    try {
      await runner.decodeMany!(await this.place(sequence, runner), start, { ...options, onToken })
    } catch (error) {
      if (!(await this.recoverFrom(runner, error))) throw error
      isRecovered = true
    }
    if (told.length === 0) return 0
    const sequenceTokens = typeof start === 'number' ? [start, ...told] : told
    const read = sequenceTokens.slice(0, Math.max(0, sequenceTokens.length - ((lastUse as string) === 'drop' ? 2 : 1)))
    // After a recovery the state is made of these when it is next used.
    if (isRecovered) sequence.since.push(...read)
    else for (const token of read) this.note(sequence, token)
    await this.copyIfDue(sequence)
    return told.length
  }

  /** What ended the backend for good. */
  get failure(): EngineError | null {
    return this.runner.failure ?? this.runner.deviceFailure ?? null
  }

  memory(): RunnerMemory {
    return this.runner.memory()
  }

  async dispose(): Promise<void> {
    this.isDisposed = true
    this.sequences.clear()
    await this.runner.dispose()
  }

  /** Takes all sequences to `next`, a runner of the same model, and disposes the runner before it. */
  async moveTo(next: Runner): Promise<void> {
    const copies = new Map<Sequence, PortableState>()
    for (const sequence of this.sequences.values()) {
      copies.set(sequence, await this.attempt(async runner => runner.exportState(await this.place(sequence, runner))))
    }
    const before = this.runner
    this.runner = next
    for (const [sequence, copy] of copies) Object.assign(sequence, { placed: null, copy, since: [] })
    await before.dispose()
  }

  /** Runs work on the backend, and once more elsewhere when the device was lost. */
  private async attempt<T>(work: (runner: Runner) => MaybePromise<T>): Promise<T> {
    const { runner } = this
    try {
      return await work(runner)
    } catch (error) {
      if (!(await this.recoverFrom(runner, error))) throw error
      return work(this.runner)
    }
  }

  /** Whether the sequences have somewhere to go on; false: `error` stands. */
  private async recoverFrom(lost: Runner, error: unknown): Promise<boolean> {
    const { recover, onRecovering, onRecovered } = this.options
    if (this.isDisposed || recover === null || !isDeviceFailure(lost, error)) return false
    onRecovering(error)
    let backend: Backend
    let next: Runner
    try {
      backend = await recover(error)
      next = await backend.load(this.source)
    } catch {
      return false
    }
    this.runner = next
    for (const sequence of this.sequences.values()) sequence.placed = null
    await lost.dispose()
    onRecovered(backend, error)
    return true
  }

  private async place(sequence: Sequence, runner: Runner): Promise<RunnerState> {
    if (sequence.placed?.runner === runner) return sequence.placed.state
    const state = runner.createState()
    try {
      if (sequence.copy) await runner.importState(state, sequence.copy)
      if (sequence.since.length > 0) await runner.prefill(state, sequence.since, { logits: 'none' })
    } catch (error) {
      runner.disposeState(state)
      throw error
    }
    sequence.placed = { runner, state }
    if (!isDevice(runner)) Object.assign(sequence, { copy: null, since: [] })
    return state
  }

  private note(sequence: Sequence, token: number): void {
    if (isDevice(this.runner)) sequence.since.push(token)
  }

  private async copyIfDue(sequence: Sequence): Promise<void> {
    const { runner } = this
    if (sequence.since.length < TOKENS_BETWEEN_COPIES || sequence.placed?.runner !== runner) return
    try {
      const copy = await runner.exportState(sequence.placed.state)
      Object.assign(sequence, { copy, since: [] })
    } catch (error) {
      // The next call finds the same failure, and the older copy.
      if (!isDeviceFailure(runner, error)) throw error
    }
  }

  private sequenceOf(state: RunnerState): Sequence {
    const sequence = this.sequences.get(state.id)
    if (sequence !== undefined) return sequence
    throw new EngineError('internal', `The state ${state.id} was disposed.`)
  }
}

const isDevice = (runner: Runner): boolean => runner.deviceFailure !== undefined

const isDeviceFailure = (runner: Runner, error: unknown): error is EngineError =>
  error instanceof EngineError && error === runner.deviceFailure
