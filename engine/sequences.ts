/**
 * The owner of all sequences of a loaded model, wherever it computes. Of each sequence it knows a copy of an earlier state
 * and the tokens read since; on the device there is at most that much more. So three things are one: a sequence that makes
 * room on a device with few states, one that moves to another backend, and one whose device is lost are each made again
 * from what is known. It takes one call at a time (turns.ts) and makes no backends.
 */
import type {
  Backend,
  DecodeAheadOptions,
  PortableState,
  Runner,
  RunnerCapabilities,
  RunnerMemory,
  SampledTokenUse,
  StateHandle,
  WantedLogits,
} from './backends/backend.ts'
import type { CancelWatch } from './cancel-watch.ts'
import type { CancelSignal, Clock, YieldToEventLoop } from './engine-environment.ts'
import { cancelled, EngineError } from './errors.ts'
import type { ModelConfig } from './model/config.ts'
import type { ModelSource } from './model/source.ts'
import { checkStateShape } from './model/state-shape.ts'
import { causeOf, type ModelEvents, type MoveCause } from './model-events.ts'
import { chunksOf, readTokens } from './reading.ts'
import { notLoaded } from './turns.ts'

/** Gives a backend to go on with, which is freed when the model cannot be loaded there; rejects when there is none. */
export type NextBackend = (failure: EngineError, options: NextBackendOptions) => Promise<Backend>
interface NextBackendOptions {
  /** Fires when the model is closed. */
  signal: CancelSignal
  /** A sign of life: replies that wait see their cancel then. */
  onProgress(fraction: number): void
}

/** Reading so few tokens again is a moment's work. */
const MIN_TOKENS_BETWEEN_COPIES = 64
/** Copies may take this share of the time. */
const COPY_TIME_SHARE = 0.02

/** One sequence; its fields are this file's business. */
export interface Sequence {
  /** On the present device; null: nowhere but in `copy` and `since`. */
  resident: StateHandle | null
  /** An earlier state, never written to; null: the empty one. */
  copy: PortableState | null
  /** Tokens read since `copy`. */
  since: number[]
  /** Time of computing since `copy`. */
  busyMs: number
  /** Larger: used later. */
  usedAt: number
}

/** A point of a sequence to go back to. Costs nothing to keep. */
export interface Mark {
  readonly copy: PortableState | null
  readonly since: readonly number[]
}

export interface SequenceStep {
  sequence: Sequence
  token: number
}

/** A model on a backend. */
export interface LoadedRunner {
  backend: Backend
  runner: Runner
  /** What making the runner took. */
  loadMs: number
}

export interface SequencesOptions {
  /** null: sequences of a lost device fail. */
  nextBackend: NextBackend | null
  events: ModelEvents
  watch: CancelWatch
  clock: Clock
  yieldToEventLoop: YieldToEventLoop
}

export class Sequences {
  readonly config: ModelConfig
  private place: LoadedRunner
  private readonly source: ModelSource
  private readonly options: SequencesOptions
  private readonly sequences = new Set<Sequence>()
  private uses = 0
  /** What the last copy took; at first what the runner says. */
  private copyMs: number
  /** The device is lost and the model on its way elsewhere. Never rejects. */
  private moving: Promise<void> | null = null
  /** Why there is nowhere to go on. */
  private stranded: EngineError | null = null
  private isDisposed = false

  constructor(place: LoadedRunner, source: ModelSource, options: SequencesOptions) {
    this.config = place.runner.config
    this.place = place
    this.source = source
    this.options = options
    this.copyMs = place.runner.capabilities.copyCostMs
  }

  /** Of the backend that computes now: they change with a move. */
  get capabilities(): RunnerCapabilities {
    return this.place.runner.capabilities
  }

  get present(): Pick<LoadedRunner, 'backend' | 'loadMs'> {
    return this.place
  }

  get memory(): RunnerMemory {
    return this.place.runner.memory()
  }

  /** An empty sequence. Takes nothing of the device until it reads. */
  create(): Sequence {
    return this.add(null, [])
  }

  /** A sequence at a state from elsewhere. Throws `state-mismatch`. */
  createFrom(portable: PortableState): Sequence {
    checkStateShape(this.config, portable)
    return this.add({ ...portable, values: portable.values.slice() }, [])
  }

  /** An independent sequence at the same point. */
  async fork(sequence: Sequence): Promise<Sequence> {
    const { copy, since } = await this.mark(sequence)
    const fork = this.add(copy, [...since])
    fork.busyMs = sequence.busyMs
    const { runner } = this.place
    if (sequence.resident === null || since.length === 0 || this.residentCount() >= this.capabilities.residentStates) {
      return fork
    }
    try {
      fork.resident = await runner.cloneState(sequence.resident)
    } catch {
      // No room, or a device that is lost: it is made when it is used.
    }
    return fork
  }

  /** Never throws. */
  release(sequence: Sequence): void {
    this.forget(sequence)
    this.sequences.delete(sequence)
  }

  /** Where the sequence stands now. */
  async mark(sequence: Sequence): Promise<Mark> {
    await this.copyIfDue(sequence, 1)
    return { copy: sequence.copy, since: [...sequence.since] }
  }

  goBack(sequence: Sequence, { copy, since }: Mark): void {
    // Both only grow: nothing was read since.
    if (sequence.copy === copy && sequence.since.length === since.length) return
    this.forget(sequence)
    sequence.copy = copy
    sequence.since = [...since]
  }

  async export(sequence: Sequence, signal?: CancelSignal): Promise<PortableState> {
    if (sequence.since.length > 0) {
      const copy = await this.attempt([sequence], signal, (runner, [state]) => runner.exportState(state))
      this.copied(sequence, copy)
    }
    const { layerCount, stateWidth } = this.config
    const { numericMode } = this.capabilities
    return sequence.copy ?? { layerCount, stateWidth, values: new Float32Array(layerCount * stateWidth), numericMode }
  }

  /** Reads at least one token: resolves when it has read all. Logits as `Runner.readChunk`, a view until the next call. */
  async readChunk(
    sequence: Sequence,
    tokens: readonly number[],
    want: WantedLogits,
    signal?: CancelSignal,
  ): Promise<Float32Array | null> {
    const logits = await this.attempt([sequence], signal, (runner, [state]) => readWhole(runner, state, tokens, want))
    sequence.since.push(...tokens)
    return logits
  }

  /** Feeds one token to each of up to `capabilities.batch` sequences. Views until the next call. */
  async decode(steps: readonly SequenceStep[], signal?: CancelSignal): Promise<Float32Array[]> {
    const sequences = steps.map(({ sequence }) => sequence)
    const logits = await this.attempt(sequences, signal, (runner, states) =>
      decodeTogether(
        runner,
        states.map((state, i) => ({ state, token: steps[i].token })),
      ),
    )
    for (const { sequence, token } of steps) sequence.since.push(token)
    return logits
  }

  /**
   * As `Runner.decodeAhead`. A device that is lost before the first token is told, for one that does not sample, gives 0;
   * after that, the tokens told stand. Also when this throws, the sequence has read what they say.
   */
  async decodeAhead(sequence: Sequence, start: number | Float32Array, options: DecodeAheadOptions): Promise<number> {
    const told: number[] = []
    let lastUse: SampledTokenUse = 'feed'
    const onToken = (token: number): SampledTokenUse => {
      told.push(token)
      lastUse = options.onToken(token)
      return lastUse
    }
    await this.attempt([sequence], options.signal, async (runner, [state]) => {
      try {
        if (runner.capabilities.samples === null) return
        await runner.decodeAhead!(state, start, { ...options, onToken })
      } catch (error) {
        // The next call finds the same loss; what was told stands.
        if (!this.isLoss(runner, error)) throw error
      } finally {
        const all = typeof start === 'number' ? [start, ...told] : told
        const unread = (lastUse as SampledTokenUse) === 'drop' ? 2 : 1
        if (told.length > 0) sequence.since.push(...all.slice(0, Math.max(0, all.length - unread)))
      }
    })
    return told.length
  }

  /** Takes all sequences to a runner of the same model and disposes the one before it. Never rejects. */
  async move(to: LoadedRunner): Promise<void> {
    await this.moving
    this.options.events.tell({ kind: 'moving', cause: 'asked' })
    const { runner } = this.place
    for (const sequence of this.sequences) {
      if (sequence.resident === null || sequence.since.length === 0 || runner.failure !== null) continue
      try {
        this.copied(sequence, await runner.exportState(sequence.resident))
      } catch {
        // The copy before it and what was read since say the same.
      }
    }
    const { failure } = runner
    await runner.dispose()
    this.goOn(to, 'asked', failure)
  }

  /** A move that is under way is given up. */
  close(): void {
    this.isDisposed = true
  }

  async dispose(): Promise<void> {
    this.close()
    this.sequences.clear()
    await this.moving
    await this.place.runner.dispose()
  }

  private add(copy: PortableState | null, since: number[]): Sequence {
    const sequence: Sequence = { resident: null, copy, since, busyMs: 0, usedAt: 0 }
    this.sequences.add(sequence)
    return sequence
  }

  /** Runs work on the device, and elsewhere when it is lost. Other errors than a refusal leave nothing of the states there. */
  private async attempt<T>(
    sequences: readonly Sequence[],
    signal: CancelSignal | undefined,
    work: (runner: Runner, states: StateHandle[]) => Promise<T>,
  ): Promise<T> {
    for (;;) {
      while (this.moving !== null) await this.options.watch.until(this.moving, signal)
      if (this.stranded !== null) throw this.stranded
      if (this.isDisposed) throw notLoaded()
      const { runner } = this.place
      try {
        const states: StateHandle[] = []
        for (const sequence of sequences) {
          await this.copyIfDue(sequence, MIN_TOKENS_BETWEEN_COPIES)
          states.push(await this.makeResident(sequence, runner, sequences, signal))
        }
        return await this.timed(sequences, () => work(runner, states))
      } catch (error) {
        if (!this.isLoss(runner, error)) {
          if (error instanceof EngineError && error === runner.failure) {
            this.options.events.tell({ kind: 'failed', error })
          }
          throw error
        }
        this.beginMove(error)
      }
    }
  }

  /** After an error the states are undefined, but what is known of the sequences is not. */
  private async timed<T>(sequences: readonly Sequence[], work: () => Promise<T>): Promise<T> {
    const { clock } = this.options
    const startMs = clock.nowMs()
    try {
      const result = await work()
      const tookMs = clock.nowMs() - startMs
      for (const sequence of sequences) sequence.busyMs += tookMs
      return result
    } catch (error) {
      for (const sequence of sequences) this.forget(sequence)
      throw error
    }
  }

  private async makeResident(
    sequence: Sequence,
    runner: Runner,
    needed: readonly Sequence[],
    signal: CancelSignal | undefined,
  ): Promise<StateHandle> {
    if (!this.sequences.has(sequence)) throw new EngineError('internal', 'The sequence was released.')
    sequence.usedAt = ++this.uses
    if (sequence.resident !== null) return sequence.resident
    const state = await this.makeState(runner, needed)
    try {
      if (sequence.copy !== null) await runner.importState(state, sequence.copy)
      const { yieldToEventLoop } = this.options
      await readTokens(chunksOf(runner, state), sequence.since, {
        want: 'none',
        yieldToEventLoop,
        ...(signal && { signal }),
      })
    } catch (error) {
      runner.releaseState(state)
      throw error
    }
    sequence.resident = state
    return state
  }

  private async makeState(runner: Runner, needed: readonly Sequence[]): Promise<StateHandle> {
    for (;;) {
      if (this.residentCount() >= runner.capabilities.residentStates) await this.evict(runner, needed)
      try {
        return await runner.createState()
      } catch (error) {
        const isFull = error instanceof EngineError && error.code === 'out-of-memory' && error !== runner.failure
        if (!isFull || !(await this.evict(runner, needed))) throw error
      }
    }
  }

  /** Takes the sequence used least recently, but none of `needed`, from the device. false: there is none. */
  private async evict(runner: Runner, needed: readonly Sequence[]): Promise<boolean> {
    let victim: Sequence | null = null
    for (const sequence of this.sequences) {
      if (sequence.resident === null || needed.includes(sequence)) continue
      if (victim === null || sequence.usedAt < victim.usedAt) victim = sequence
    }
    if (victim === null) return false
    if (victim.since.length > 0) this.copied(victim, await runner.exportState(victim.resident!))
    this.forget(victim)
    return true
  }

  /** Renews the copy of a sequence that has read enough since, for its time and for the copy's. */
  private async copyIfDue(sequence: Sequence, minTokens: number): Promise<void> {
    if (sequence.resident === null || this.moving !== null || sequence.since.length < minTokens) return
    if (sequence.busyMs * COPY_TIME_SHARE < this.copyMs) return
    const { clock } = this.options
    const startMs = clock.nowMs()
    try {
      const copy = await this.place.runner.exportState(sequence.resident)
      this.copyMs = clock.nowMs() - startMs
      this.copied(sequence, copy)
    } catch {
      // The older copy stands, and the next call finds the same error.
    }
  }

  private copied(sequence: Sequence, copy: PortableState): void {
    Object.assign(sequence, { copy, since: [], busyMs: 0 } satisfies Partial<Sequence>)
  }

  private forget(sequence: Sequence): void {
    if (sequence.resident !== null) this.place.runner.releaseState(sequence.resident)
    sequence.resident = null
  }

  private residentCount(): number {
    let count = 0
    for (const { resident } of this.sequences) if (resident !== null) count++
    return count
  }

  /** The device is gone, and the sequences can go on elsewhere. */
  private isLoss(runner: Runner, error: unknown): error is EngineError {
    return (
      error instanceof EngineError &&
      error === runner.failure &&
      runner.capabilities.statesDieWithDevice &&
      this.options.nextBackend !== null &&
      !this.isDisposed
    )
  }

  private beginMove(failure: EngineError): void {
    this.moving ??= this.moveFromLost(failure).finally(() => {
      this.moving = null
    })
  }

  /** By itself, whoever waits: a reply that is cancelled meanwhile leaves it to the others. */
  private async moveFromLost(failure: EngineError): Promise<void> {
    const { clock, events, nextBackend, watch } = this.options
    const startMs = clock.nowMs()
    const cause = causeOf(failure)
    events.tell({ kind: 'moving', cause })
    for (const sequence of this.sequences) sequence.resident = null
    await this.place.runner.dispose()
    const isDisposed = (): boolean => this.isDisposed
    const options: NextBackendOptions = {
      signal: {
        get aborted() {
          return isDisposed()
        },
      },
      onProgress: () => watch.look(),
    }
    let backend: Backend | null = null
    try {
      backend = await nextBackend!(failure, options)
      const runner = await backend.load(this.source, options)
      if (this.isDisposed) {
        await runner.dispose()
        throw cancelled()
      }
      this.goOn({ backend, runner, loadMs: clock.nowMs() - startMs }, cause, failure)
    } catch (reason) {
      await backend?.dispose().catch(() => {})
      if (this.isDisposed) return
      this.stranded = strandedBy(failure, reason)
      events.tell({ kind: 'failed', error: this.stranded })
    }
  }

  private goOn(place: LoadedRunner, cause: MoveCause, failure: EngineError | null): void {
    const isExact = place.runner.capabilities.numericMode === this.capabilities.numericMode
    for (const sequence of this.sequences) sequence.resident = null
    this.place = place
    this.copyMs = place.runner.capabilities.copyCostMs
    this.stranded = null
    const { backend, loadMs } = place
    this.options.events.tell({ kind: 'moved', cause, backend: backend.info, loadMs, failure, isExact })
  }
}

/** A chunk that was cut for another device may be longer than this one's. */
async function readWhole(
  runner: Runner,
  state: StateHandle,
  tokens: readonly number[],
  want: WantedLogits,
): Promise<Float32Array | null> {
  if (tokens.length <= runner.capabilities.chunkTokens(want)) return runner.readChunk(state, tokens, want)
  let gathered: Float32Array | null = null
  await readTokens(chunksOf(runner, state), tokens, {
    want,
    onLogits: (logits, firstToken, tokenCount) => {
      if (want === 'all') {
        gathered ??= new Float32Array((tokens.length * logits.length) / tokenCount)
        gathered.set(logits, (firstToken * logits.length) / tokenCount)
      } else gathered = logits.slice()
    },
  })
  return gathered
}

/** Steps that were put together for another device may be more than this one takes. */
async function decodeTogether(
  runner: Runner,
  steps: readonly { state: StateHandle; token: number }[],
): Promise<Float32Array[]> {
  const { batch } = runner.capabilities
  if (steps.length <= batch) return runner.decodeBatch(steps)
  const logits: Float32Array[] = []
  for (let first = 0; first < steps.length; first += batch) {
    for (const row of await runner.decodeBatch(steps.slice(first, first + batch))) logits.push(row.slice())
  }
  return logits
}

function strandedBy(failure: EngineError, reason: unknown): EngineError {
  const why = reason instanceof Error ? reason.message : String(reason)
  return new EngineError(failure.code, `${failure.message} The model cannot go on elsewhere: ${why}`, {
    ...(failure.expected !== undefined && { expected: failure.expected }),
    ...(failure.actual !== undefined && { actual: failure.actual }),
    remedy: 'Load the model again.',
    cause: reason,
  })
}
