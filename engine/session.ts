/**
 * A session: one sequence of tokens and the recurrent state that has read them. It reads input, writes replies, and can
 * be cloned, saved and restored between two calls. What a chat is, is the host's business. Sessions of a model share its
 * device and take turns on it, one call at a time.
 */
import type { PortableState } from './backends/backend.ts'
import type { CancelSignal } from './engine-environment.ts'
import { EngineError } from './errors.ts'
import { chunksInTurns, readTokens } from './reading.ts'
import { ReplyText } from './reply-text.ts'
import { deviceSampling } from './sampling/device-sampling.ts'
import { createSampler, type Sampler, type SamplingOptions } from './sampling/sampler.ts'
import type { Mark, Sequence } from './sequences.ts'
import { type InputModel, type PreparedInput, prepareInput, type SessionInput } from './session-input.ts'
import { type Position, SessionPosition } from './session-position.ts'
import type { SessionSnapshot, StoredText } from './state/state-file.ts'
import { type FinishReason, Writing, type WritingContext, type WritingFigures } from './writing.ts'

export type { SessionInput } from './session-input.ts'

interface GenerationStats {
  /** Tokens read before the first new one, in this run. */
  promptTokens: number
  /** Tokens chosen; those of a stop string count, an end token does not. */
  generatedTokens: number
  /** From the request to the first chosen token, or to the end when there is none. */
  ttftMs: number
  /** null when fewer than two tokens were read. */
  prefillTokensPerSecond: number | null
  /** null when fewer than two tokens were chosen. */
  decodeTokensPerSecond: number | null
}

/** The shape of the contract's generationEventSchema. */
export type GenerationEvent =
  | { kind: 'prefill'; tokensDone: number; tokensTotal: number; reusedTokens: number }
  /** Whole UTF-8 characters; `tokens` are the ids since the last such event. */
  | { kind: 'text'; text: string; tokens: number[] }
  | { kind: 'finish'; reason: FinishReason; stats: GenerationStats }

export interface GenerateOptions {
  signal?: CancelSignal
  onEvent(event: GenerationEvent): void
}

export interface Session {
  readonly id: string
  /** Tokens of the sequence, read by the state or pending. */
  readonly tokenCount: number
  /**
   * Reads `input`, then writes until an end; the 'finish' event is the last. `maxTokens` 0 reads only. A cancel acts
   * within one token while writing (a device that runs ahead finishes what it has begun, unseen); while reading it puts the session back to where it was.
   * Throws `session-busy`, `session-not-found`, `invalid-argument`, `token-out-of-range`, `sampling-invalid`,
   * `template-*`, and what the backend throws while reading: the session is unchanged. What the backend throws while
   * writing leaves the session after the last token that was told.
   */
  generate(input: SessionInput, sampling: SamplingOptions, options: GenerateOptions): Promise<void>
  /** An independent session at the same point. Throws `session-busy`. */
  clone(): Promise<Session>
  /**
   * A state file (docs/state-format.md). The first one of a model hashes the whole model. `storedText`: what it holds
   * for the text; with the mark alone, whoever imports it must bring the text along. Throws `session-busy`.
   */
  serialize(storedText?: StoredText): Promise<Uint8Array>
  /** Frees the state; a running `generate` ends as cancelled. */
  dispose(): void
}

/** What the sessions of one model share. */
export interface SessionContext extends InputModel, WritingContext {
  readonly config: InputModel['config']
  readonly tokenizer: InputModel['tokenizer']
  writeState(snapshot: SessionSnapshot, storedText: StoredText): Promise<Uint8Array>
  added(session: RecurrentSession): void
  removed(session: RecurrentSession): void
}

/** One `generate` call, checked. */
interface Run {
  input: PreparedInput
  sampling: SamplingOptions
  sampler: Sampler
  signal: CancelSignal
  onEvent(event: GenerationEvent): void
  startMs: number
  promptTokens: number
  readMs: number
}

let nextSessionNumber = 1

export class RecurrentSession implements Session {
  readonly id = `session-${nextSessionNumber++}`
  private readonly context: SessionContext
  private sequence: Sequence
  private position: SessionPosition
  /** The call in progress. */
  private work: Promise<unknown> | null = null
  private isDisposed = false

  /** Takes the sequence over; `position` says where it stands. */
  constructor(context: SessionContext, sequence: Sequence = context.sequences.create(), position?: Position) {
    this.context = context
    this.sequence = sequence
    this.position = new SessionPosition(position)
    context.added(this)
  }

  get tokenCount(): number {
    return this.position.tokenCount + this.position.pendingTokens.length
  }

  generate(input: SessionInput, sampling: SamplingOptions, options: GenerateOptions): Promise<void> {
    return this.whileBusy(async () => {
      const run = this.prepare(input, sampling, options)
      let reason: FinishReason = 'cancelled'
      let figures: WritingFigures = { generatedTokens: 0, firstTokenMs: null, lastTokenMs: 0 }
      const { unfinishedTokens } = this.position
      if (await this.read(run)) {
        const writing = this.writing(run, run.input.tokens.length > 0 ? [] : unfinishedTokens)
        figures = writing.figures
        reason = await writing.write()
      }
      run.onEvent({ kind: 'finish', reason, stats: statsOf(run, figures, this.context.clock.nowMs()) })
    })
  }

  clone(): Promise<Session> {
    return this.whileBusy(async () => {
      const { turns, sequences } = this.context
      const sequence = await turns.exclusive(() => sequences.fork(this.sequence))
      return new RecurrentSession(this.context, sequence, this.position.snapshot())
    })
  }

  async serialize(storedText: StoredText = 'text'): Promise<Uint8Array> {
    const { turns, sequences } = this.context
    const snapshot = await this.whileBusy(async () => {
      const recurrent: PortableState = await turns.exclusive(() => sequences.export(this.sequence))
      return { ...this.position.snapshot(), recurrent }
    })
    return this.context.writeState(snapshot, storedText)
  }

  dispose(): void {
    if (this.isDisposed) return
    this.isDisposed = true
    this.context.removed(this)
    if (!this.work) this.context.sequences.release(this.sequence)
  }

  /** Settles when no call is in progress; never rejects. */
  async idle(): Promise<void> {
    await Promise.allSettled([this.work])
  }

  private async whileBusy<T>(callback: () => Promise<T>): Promise<T> {
    if (this.isDisposed) throw new EngineError('session-not-found', 'The session was closed.')
    if (this.work) {
      throw sessionBusy()
    }
    const work = callback()
    this.work = work
    try {
      return await work
    } finally {
      this.work = null
      if (this.isDisposed) this.context.sequences.release(this.sequence)
    }
  }

  /** Checks everything that can be wrong with a request before anything changes. */
  private prepare(input: SessionInput, sampling: SamplingOptions, options: GenerateOptions): Run {
    const { context, position } = this
    const sampler = createSampler(sampling, context.config.vocabularySize)
    const prepared = prepareInput(context, { isEmpty: this.tokenCount === 0, text: position.text }, input)
    if (prepared.tokens.length === 0 && this.tokenCount === 0) {
      throw new EngineError('invalid-argument', 'There is nothing to read: the session and the input are both empty.', {
        remedy: 'Give the model some text to begin with.',
      })
    }
    const isDisposed = (): boolean => this.isDisposed
    return {
      input: prepared,
      sampling,
      sampler,
      signal: {
        get aborted() {
          return isDisposed() || (options.signal?.aborted ?? false)
        },
      },
      onEvent: options.onEvent,
      startMs: context.clock.nowMs(),
      promptTokens: 0,
      readMs: 0,
    }
  }

  /** Reads pending and new tokens. Returns false when cancelled: then, and when this throws, nothing has changed. */
  private async read(run: Run): Promise<boolean> {
    const { sequences, turns, clock } = this.context
    const { startsOver, tokens, text } = run.input
    const before = startsOver ? new SessionPosition() : this.position
    const feed = [...before.pendingTokens, ...tokens]
    const tell = (tokensDone: number): void =>
      run.onEvent({ kind: 'prefill', tokensDone, tokensTotal: feed.length, reusedTokens: before.tokenCount })

    tell(0)
    if (run.signal.aborted) return false
    let logits = before.logits
    if (feed.length > 0) {
      const sequence = startsOver ? sequences.create() : this.sequence
      let mark: Mark | null = null
      try {
        mark = await turns.exclusive(() => sequences.mark(sequence), run.signal)
        logits = await this.readAll(sequence, feed, run.signal, tell)
      } catch (error) {
        if (startsOver) sequences.release(sequence)
        else if (mark !== null) sequences.goBack(sequence, mark)
        if (error instanceof EngineError && error.code === 'cancelled' && run.signal.aborted) return false
        throw error
      }
      if (startsOver) sequences.release(this.sequence)
      this.sequence = sequence
    }
    run.promptTokens = feed.length
    run.readMs = clock.nowMs() - run.startMs
    this.restoreSampler(run, before)
    this.position = new SessionPosition({
      tokenCount: before.tokenCount + feed.length,
      logits,
      text,
      unfinishedTokens: tokens.length > 0 ? [] : before.unfinishedTokens,
      penaltyHistory: run.sampler.exportState().history,
    })
    return true
  }

  /** The logits after the last token, a copy. */
  private async readAll(
    sequence: Sequence,
    feed: readonly number[],
    signal: CancelSignal,
    onProgress: (tokensDone: number) => void,
  ): Promise<Float32Array> {
    let last: Float32Array | null = null
    await readTokens(chunksInTurns(this.context, sequence, signal), feed, {
      want: 'last',
      onLogits: logits => {
        last = logits.slice()
      },
      onProgress,
      yieldToEventLoop: this.context.yieldToEventLoop,
      signal,
    })
    return last!
  }

  /** Penalties remember what was read; the generator goes on only where a reply is continued with the same seed. */
  private restoreSampler({ sampler, sampling, input }: Run, before: Position): void {
    const fresh = sampler.exportState()
    const { generator } = before
    const goesOn = generator !== null && input.tokens.length === 0 && sampling.seed === generator.seed
    sampler.importState({ rng: goesOn ? generator.words : fresh.rng, history: before.penaltyHistory })
    const special = new Set([
      ...(this.context.tokenizer?.specialTokens.values() ?? []),
      ...this.context.config.eosTokenIds,
    ])
    // A penalty on the tokens that end a turn would make replies run on.
    for (const token of input.tokens) if (!special.has(token)) sampler.accept(token)
  }

  private writing({ sampling, sampler, signal, onEvent }: Run, unfinishedTokens: readonly number[]): Writing {
    const { context, sequence, position } = this
    const { stop = [], maxTokens = Number.POSITIVE_INFINITY } = sampling
    return new Writing(context, {
      sequence,
      position,
      sampler,
      onDevice: limits => deviceSampling(sampling, sampler.seed, context.config.vocabularySize, limits),
      reply: new ReplyText(context.tokenizer, stop, unfinishedTokens),
      hasStops: stop.length > 0,
      maxTokens,
      signal,
      onText: (text, tokens) => onEvent({ kind: 'text', text, tokens }),
    })
  }
}

function statsOf(run: Run, figures: WritingFigures, nowMs: number): GenerationStats {
  const { generatedTokens, firstTokenMs, lastTokenMs } = figures
  const decodeMs = lastTokenMs - (firstTokenMs ?? lastTokenMs)
  return {
    promptTokens: run.promptTokens,
    generatedTokens,
    ttftMs: (firstTokenMs ?? nowMs) - run.startMs,
    prefillTokensPerSecond: run.promptTokens > 1 ? perSecond(run.promptTokens, run.readMs) : null,
    decodeTokensPerSecond: generatedTokens > 1 ? perSecond(generatedTokens - 1, decodeMs) : null,
  }
}

const perSecond = (count: number, durationMs: number): number | null =>
  durationMs > 0 ? (1000 * count) / durationMs : null

export const sessionBusy = (): EngineError =>
  new EngineError('session-busy', 'The session is still working on the request before this one.', {
    remedy: 'Wait until it has finished, or stop it first.',
  })
