/**
 * A session: one sequence of tokens and the recurrent state that has read them. It reads input, writes replies, and can
 * be cloned, saved and restored between two calls. What a chat is, is the host's business. Sessions of a model share its
 * runner and take turns on it, one runner call at a time.
 *
 * A recurrent state cannot be taken back by a token. So whatever may have to be undone (reading that is cancelled, text
 * that turns out to be a stop string) runs on a copy, or leaves a copy behind.
 */
import type { PortableState, Runner, RunnerState, SampledTokenUse } from './backends/backend.ts'
import type { DecodeQueue } from './decode-queue.ts'
import { cancelled, EngineError } from './errors.ts'
import type { CancelSignal, Clock, YieldToHost } from './host.ts'
import { type ReplyPiece, ReplyText } from './reply-text.ts'
import { deviceSampling, type SamplingAt } from './sampling/device-sampling.ts'
import { createSampler, type Sampler, type SamplingOptions } from './sampling/sampler.ts'
import { type InputModel, type PreparedInput, prepareInput, type SessionInput } from './session-input.ts'
import type { SessionSnapshot } from './state/state-file.ts'

export type { SessionInput } from './session-input.ts'

export type FinishReason = 'end-of-text' | 'stop-string' | 'max-tokens' | 'cancelled'

export interface GenerationStats {
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
   * writing leaves the session unusable (`session-lost` from then on).
   */
  generate(input: SessionInput, sampling: SamplingOptions, options: GenerateOptions): Promise<void>
  /** An independent session at the same point. Throws `session-busy`. */
  clone(): Promise<Session>
  /** A state file (docs/state-format.md). The first one of a model hashes the whole model. Throws `session-busy`. */
  serialize(): Promise<Uint8Array>
  /** Frees the state; a running `generate` ends as cancelled. */
  dispose(): void
}

/** What the sessions of one model share. */
export interface SessionContext extends InputModel {
  readonly runner: Runner
  readonly clock: Clock
  readonly yieldToHost: YieldToHost
  /** Runs alone on the runner, in the order of asking. Throws `model-not-loaded` after the model's end. */
  exclusive<T>(work: () => T | Promise<T>): Promise<T>
  /** Somebody waits for the runner. */
  othersWait(): boolean
  readonly decodeQueue: DecodeQueue
  writeState(snapshot: SessionSnapshot): Promise<Uint8Array>
  added(session: RecurrentSession): void
  removed(session: RecurrentSession): void
}

/** Tokens between two chances for other sessions to use the runner, unless its chunks are longer. */
const PREFILL_SLICE_TOKENS = 128
/** Tokens of a turn on a device that samples: while others wait, at most, and with stop strings (what may be read again). */
const SHARED_TURN_TOKENS = 16
const TURN_TOKENS = 256
const TURN_TOKENS_WITH_STOPS = 32

/** A snapshot without the numbers of the state, which stay in the runner. */
type Position = Omit<SessionSnapshot, 'recurrent'>

const EMPTY_POSITION: Position = {
  tokenCount: 0,
  pendingTokens: [],
  logits: null,
  text: '',
  unfinishedTokens: [],
  penaltyHistory: [],
  generator: null,
}

/** A point before text that may be a stop string. */
interface Checkpoint {
  state: RunnerState
  tokenCount: number
  /** As in a position: one token, or logits. */
  pendingTokens: number[]
  logits: Float32Array | null
  penaltyHistory: number[]
  /** Tokens chosen since then that lie before such text. */
  certainTokens: number[]
  /** Tokens chosen since then that hold such text. */
  heldTokens: number[]
}

/** What one `generate` call carries along. */
interface Run {
  input: PreparedInput
  sampling: SamplingOptions
  sampler: Sampler
  /** How a device that can sample is to do it; null: the logits must come here. */
  onDevice: SamplingAt | null
  reply: ReplyText
  checkpoint: Checkpoint | null
  signal: CancelSignal
  onEvent(event: GenerationEvent): void
  startMs: number
  promptTokens: number
  readMs: number
  generatedTokens: number
  firstTokenMs: number | null
  lastTokenMs: number
  /** Chosen tokens that no text event has told yet. */
  untoldTokens: number[]
}

let nextSessionNumber = 1

export class RecurrentSession implements Session {
  readonly id = `session-${nextSessionNumber++}`
  private readonly context: SessionContext
  /** null while the session is empty: the runner's memory is taken with the first token. */
  private state: RunnerState | null
  private position: Position
  /** [V]; `position.logits` is this array or null. */
  private logitsBuffer: Float32Array | null = null
  /** The call in progress. */
  private work: Promise<unknown> | null = null
  private isDisposed = false
  private hasFailed = false

  constructor(context: SessionContext, state: RunnerState | null = null, position: Position = EMPTY_POSITION) {
    this.context = context
    this.state = state
    this.position = { ...position, logits: null }
    if (position.logits) this.setLogits(position.logits)
    context.added(this)
  }

  get tokenCount(): number {
    return this.position.tokenCount + this.position.pendingTokens.length
  }

  generate(input: SessionInput, sampling: SamplingOptions, options: GenerateOptions): Promise<void> {
    return this.whileBusy(async () => {
      const run = this.prepare(input, sampling, options)
      let reason: FinishReason = 'cancelled'
      if (await this.read(run)) reason = await this.write(run)
      run.onEvent({ kind: 'finish', reason, stats: statsOf(run, this.context.clock.nowMs()) })
    })
  }

  clone(): Promise<Session> {
    return this.whileBusy(async () => {
      const state = this.state && (await this.context.exclusive(() => this.context.runner.cloneState(this.state!)))
      return new RecurrentSession(this.context, state, this.position)
    })
  }

  async serialize(): Promise<Uint8Array> {
    const snapshot = await this.whileBusy(async () => ({
      ...this.position,
      logits: this.position.logits?.slice() ?? null,
      recurrent: await this.exportState(),
    }))
    return this.context.writeState(snapshot)
  }

  dispose(): void {
    if (this.isDisposed) return
    this.isDisposed = true
    this.context.removed(this)
    if (!this.work) this.replaceState(null)
  }

  /** Settles when no call is in progress; never rejects. */
  async idle(): Promise<void> {
    await Promise.allSettled([this.work])
  }

  /** One call at a time; a session disposed meanwhile is freed at the end of the call. */
  private async whileBusy<T>(callback: () => Promise<T>): Promise<T> {
    if (this.isDisposed) throw new EngineError('session-not-found', 'The session was closed.')
    if (this.work) {
      throw new EngineError('session-busy', 'The session is still working on the request before this one.', {
        remedy: 'Wait until it has finished, or cancel it first.',
      })
    }
    if (this.hasFailed) {
      throw new EngineError('session-lost', 'The session was lost when the backend failed.', {
        remedy: 'Restore a saved state, or start a new session with the same text.',
      })
    }
    const work = callback()
    this.work = work
    try {
      return await work
    } finally {
      this.work = null
      if (this.isDisposed) this.replaceState(null)
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
    const unfinished = prepared.tokens.length > 0 ? [] : position.unfinishedTokens
    const isDisposed = (): boolean => this.isDisposed
    return {
      input: prepared,
      sampling,
      sampler,
      onDevice: deviceSampling(sampling, sampler.seed, context.config.vocabularySize),
      reply: new ReplyText(context.tokenizer, sampling.stop ?? [], unfinished),
      checkpoint: null,
      signal: {
        get aborted() {
          return isDisposed() || (options.signal?.aborted ?? false)
        },
      },
      onEvent: options.onEvent,
      startMs: context.clock.nowMs(),
      promptTokens: 0,
      readMs: 0,
      generatedTokens: 0,
      firstTokenMs: null,
      lastTokenMs: 0,
      untoldTokens: [],
    }
  }

  /** Reads pending and new tokens on a copy of the state. Returns false when cancelled: then nothing has changed. */
  private async read(run: Run): Promise<boolean> {
    const { startsOver, tokens, text } = run.input
    const before = startsOver ? EMPTY_POSITION : this.position
    const feed = [...before.pendingTokens, ...tokens]
    const tell = (tokensDone: number): void =>
      run.onEvent({ kind: 'prefill', tokensDone, tokensTotal: feed.length, reusedTokens: before.tokenCount })

    tell(0)
    if (run.signal.aborted) return false
    if (feed.length > 0) {
      const { runner, exclusive } = this.context
      const base = startsOver ? null : this.state
      const copy = await exclusive(() => (base ? runner.cloneState(base) : runner.createState()))
      try {
        await this.prefill(copy, feed, run, tell)
      } catch (error) {
        runner.disposeState(copy)
        if (error instanceof EngineError && error.code === 'cancelled' && run.signal.aborted) return false
        throw error
      }
      this.replaceState(copy)
    }
    run.promptTokens = feed.length
    run.readMs = this.context.clock.nowMs() - run.startMs

    this.restoreSampler(run, before)
    this.position = {
      tokenCount: before.tokenCount + feed.length,
      pendingTokens: [],
      logits: this.logitsBuffer,
      text,
      unfinishedTokens: run.reply.unfinishedTokens,
      penaltyHistory: run.sampler.exportState().history,
      generator: null,
    }
    return true
  }

  /** Leaves the logits of the last token in `logitsBuffer`. Only the copy of the state is touched before that. */
  private async prefill(
    state: RunnerState,
    feed: readonly number[],
    { signal }: Run,
    tell: (tokensDone: number) => void,
  ): Promise<void> {
    const { runner, exclusive, yieldToHost } = this.context
    const sliceTokens = Math.max(PREFILL_SLICE_TOKENS, runner.chunkTokens ?? 0)
    for (let first = 0; first < feed.length; first += sliceTokens) {
      if (signal.aborted) throw cancelled()
      const slice = feed.slice(first, first + sliceTokens)
      const isLast = first + slice.length === feed.length
      const onProgress = async (done: number): Promise<void> => {
        tell(first + done)
        await yieldToHost()
      }
      await exclusive(async () => {
        const logits = await runner.prefill(state, slice, { logits: isLast ? 'last' : 'none', onProgress, signal })
        if (isLast) this.setLogits(logits!)
      })
    }
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

  /** Writes until an end and tells all text that is still held back. */
  private async write(run: Run): Promise<FinishReason> {
    let reason: FinishReason | null = null
    const leaveQueue = this.context.decodeQueue.enter()
    try {
      reason = await this.writeTokens(run)
      if (reason !== 'stop-string') this.tell(run, run.reply.finish(reason === 'end-of-text'))
      this.tellRest(run)
      return reason
    } finally {
      leaveQueue()
      const { rng, history } = run.sampler.exportState()
      const isUnfinished = run.generatedTokens > 0 && (reason === 'max-tokens' || reason === 'cancelled')
      this.position.unfinishedTokens = run.reply.unfinishedTokens
      this.position.penaltyHistory = history
      this.position.generator = isUnfinished ? { seed: run.sampler.seed, words: rng } : null
      // The listener failed with text held back that the state has read.
      if (reason === null) this.position.text = null
      this.dropCheckpoint(run)
    }
  }

  private async writeTokens(run: Run): Promise<FinishReason> {
    const { context, position } = this
    const { reply, sampler, signal } = run
    while (tokensLeft(run) > 0) {
      // Asked every time: a device may be lost in mid-reply.
      if (run.onDevice !== null && context.runner.decodeMany !== undefined) {
        await context.yieldToHost()
        if (signal.aborted) return 'cancelled'
        const told = run.generatedTokens
        const reason = await this.writeSeveral(run, run.onDevice)
        if (reason !== null) return reason
        if (run.generatedTokens > told) continue
        // The device is lost, or leaves this one to the host.
      }
      if (position.pendingTokens.length > 0) {
        await context.yieldToHost()
        if (signal.aborted) return 'cancelled'
        await this.feedPending()
      } else if (signal.aborted) return 'cancelled'

      const token = this.choose(run)
      if (context.config.eosTokenIds.includes(token)) return 'end-of-text'
      run.generatedTokens++
      const piece = reply.push(token)
      if (!reply.isHolding) this.dropCheckpoint(run)
      else run.checkpoint ??= await this.takeCheckpoint(run)
      if (piece.stopped) {
        this.goBackToStop(run, piece)
        return 'stop-string'
      }
      sampler.accept(token)
      position.pendingTokens = [token]
      position.logits = null
      this.tell(run, piece)
    }
    return 'max-tokens'
  }

  private choose(run: Run): number {
    try {
      return run.sampler.sample(this.position.logits!)
    } catch (error) {
      this.hasFailed = true
      throw error
    } finally {
      this.noteTokenTime(run)
    }
  }

  private noteTokenTime(run: Run): void {
    run.lastTokenMs = this.context.clock.nowMs()
    run.firstTokenMs ??= run.lastTokenMs
  }

  /**
   * One turn of a device that samples and runs ahead; null: the reply goes on. What it has computed beyond the last token
   * is nowhere but in its scratch memory. The last token stays pending, and of an end token the one before it.
   */
  private async writeSeveral(run: Run, samplingAt: SamplingAt): Promise<FinishReason | null> {
    const { context, position } = this
    const { reply, signal } = run
    const hasStops = (run.sampling.stop?.length ?? 0) > 0
    if (hasStops) run.checkpoint ??= await this.takeCheckpoint(run)
    const start = position.pendingTokens[0] ?? position.logits!
    const chosen: number[] = []
    let reason: FinishReason | null = null
    let stopped: ReplyPiece | null = null
    let listenerFailed: { error: unknown } | null = null

    const onToken = (token: number): SampledTokenUse => {
      this.noteTokenTime(run)
      if (context.config.eosTokenIds.includes(token)) {
        reason = 'end-of-text'
        return 'drop'
      }
      chosen.push(token)
      run.generatedTokens++
      const piece = reply.push(token)
      if (piece.stopped) {
        stopped = piece
        return 'keep'
      }
      run.checkpoint?.heldTokens.push(token)
      if (!reply.isHolding) run.checkpoint?.certainTokens.push(...run.checkpoint.heldTokens.splice(0))
      run.sampler.accept(token)
      try {
        this.tell(run, piece)
      } catch (error) {
        listenerFailed = { error }
        return 'keep'
      }
      return chosen.length >= SHARED_TURN_TOKENS && context.othersWait() ? 'keep' : 'feed'
    }

    const turnTokens = context.othersWait() ? SHARED_TURN_TOKENS : hasStops ? TURN_TOKENS_WITH_STOPS : TURN_TOKENS
    const options = {
      sampling: samplingAt(this.tokenCount, run.sampler.exportState().history),
      maxTokens: Math.min(turnTokens, tokensLeft(run)),
      onToken,
      signal,
    }
    try {
      // The runner may have moved while this waited for its turn: no token is told then.
      await context.exclusive(() => context.runner.decodeMany?.(this.state!, start, options))
    } catch (error) {
      this.hasFailed = true
      throw error
    }
    if (stopped !== null) {
      this.goBackToStop(run, stopped)
      return 'stop-string'
    }
    if (chosen.length > 0) {
      // An end token leaves the one before it unfed, as the last token of a turn is.
      position.tokenCount += position.pendingTokens.length + chosen.length - 1
      position.pendingTokens = [chosen[chosen.length - 1]]
      position.logits = null
    }
    if (!reply.isHolding) this.dropCheckpoint(run)
    if (listenerFailed !== null) throw (listenerFailed as { error: unknown }).error
    return reason
  }

  /** Feeds the token chosen last. */
  private async feedPending(): Promise<void> {
    const [token] = this.position.pendingTokens
    try {
      await this.context.decodeQueue.decode(this.state!, token, logits => this.setLogits(logits))
    } catch (error) {
      this.hasFailed = true
      throw error
    }
    this.position.tokenCount++
    this.position.pendingTokens = []
    this.position.logits = this.logitsBuffer
  }

  /** The state and logits before a token that may begin a stop string. */
  private async takeCheckpoint({ sampler }: Run): Promise<Checkpoint> {
    const state = await this.context.exclusive(() => this.context.runner.cloneState(this.state!))
    const { tokenCount, pendingTokens, logits } = this.position
    return {
      state,
      tokenCount,
      pendingTokens,
      logits: logits?.slice() ?? null,
      penaltyHistory: sampler.exportState().history,
      certainTokens: [],
      heldTokens: [],
    }
  }

  private dropCheckpoint(run: Run): void {
    if (run.checkpoint) this.context.runner.disposeState(run.checkpoint.state)
    run.checkpoint = null
  }

  /** A stop string is complete: back to before it; what of the text since lies before it is read again later. */
  private goBackToStop(run: Run, piece: ReplyPiece): void {
    const { position } = this
    const { state, tokenCount, pendingTokens, logits, penaltyHistory, certainTokens } = run.checkpoint!
    const remainder = run.reply.remainderAtStop()
    const encoded =
      remainder.text === ''
        ? []
        : this.context.tokenizer!.encode(remainder.text, { parseSpecial: false, continuation: true })
    run.checkpoint = null
    this.replaceState(state)
    const chosen = [...certainTokens, ...remainder.tokens, ...encoded]
    position.tokenCount = tokenCount
    position.pendingTokens = [...pendingTokens, ...chosen]
    if (position.pendingTokens.length === 0) this.setLogits(logits!)
    position.logits = position.pendingTokens.length === 0 ? this.logitsBuffer : null
    run.sampler.importState({ ...run.sampler.exportState(), history: penaltyHistory })
    for (const token of chosen) run.sampler.accept(token)
    this.tell(run, { text: piece.text, tokens: [...remainder.newTokens, ...encoded] })
  }

  /** Tells certain text; tokens without text of their own wait for the next. */
  private tell(run: Run, { text, tokens }: ReplyPiece): void {
    run.untoldTokens.push(...tokens)
    if (text === '') return
    if (this.position.text !== null) this.position.text += text
    this.tellTokens(run, text)
  }

  private tellRest(run: Run): void {
    if (run.untoldTokens.length > 0) this.tellTokens(run, '')
  }

  private tellTokens(run: Run, text: string): void {
    const tokens = run.untoldTokens
    run.untoldTokens = []
    run.onEvent({ kind: 'text', text, tokens })
  }

  private async exportState(): Promise<PortableState> {
    const { layerCount, stateWidth } = this.context.config
    const { state } = this
    if (state) return this.context.exclusive(() => this.context.runner.exportState(state))
    return { layerCount, stateWidth, values: new Float32Array(layerCount * stateWidth), numericMode: 'float32' }
  }

  private setLogits(logits: Float32Array): void {
    this.logitsBuffer ??= new Float32Array(this.context.config.vocabularySize)
    this.logitsBuffer.set(logits)
  }

  private replaceState(state: RunnerState | null): void {
    if (this.state) this.context.runner.disposeState(this.state)
    this.state = state
  }
}

const tokensLeft = ({ sampling, generatedTokens }: Run): number =>
  (sampling.maxTokens ?? Number.POSITIVE_INFINITY) - generatedTokens

function statsOf(run: Run, nowMs: number): GenerationStats {
  const decodeMs = run.lastTokenMs - (run.firstTokenMs ?? run.lastTokenMs)
  return {
    promptTokens: run.promptTokens,
    generatedTokens: run.generatedTokens,
    ttftMs: (run.firstTokenMs ?? nowMs) - run.startMs,
    prefillTokensPerSecond: run.promptTokens > 1 ? perSecond(run.promptTokens, run.readMs) : null,
    decodeTokensPerSecond: run.generatedTokens > 1 ? perSecond(run.generatedTokens - 1, decodeMs) : null,
  }
}

const perSecond = (count: number, durationMs: number): number | null =>
  durationMs > 0 ? (1000 * count) / durationMs : null
