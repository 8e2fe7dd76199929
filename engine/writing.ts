/**
 * Writing a reply: tokens from a source (a sampler here, or a device that samples and runs ahead) until an end, told as
 * text that is certain. A recurrent state cannot be taken back by a token: where a stop string may have begun, a mark is
 * kept to go back to.
 */
import type { DeviceSamplingLimits, SampledTokenUse } from './backends/backend.ts'
import type { DecodeQueue } from './decode-queue.ts'
import type { CancelSignal, Clock, YieldToEventLoop } from './engine-environment.ts'
import { EngineError } from './errors.ts'
import type { ModelConfig } from './model/config.ts'
import type { ReplyPiece, ReplyText } from './reply-text.ts'
import type { SamplingAt } from './sampling/device-sampling.ts'
import type { Sampler } from './sampling/sampler.ts'
import type { Mark, Sequence, Sequences } from './sequences.ts'
import type { Position, SessionPosition } from './session-position.ts'
import type { Tokenizer } from './tokenizer/tokenizer.ts'
import type { Turns } from './turns.ts'

export type FinishReason = 'end-of-text' | 'stop-string' | 'max-tokens' | 'cancelled'

/** Tokens of a turn on a device that samples: while others wait, at most, and with stop strings (what may be read again). */
const SHARED_TURN_TOKENS = 16
const TURN_TOKENS = 256
const TURN_TOKENS_WITH_STOPS = 32

/** What the replies of a model share. */
export interface WritingContext {
  readonly config: ModelConfig
  readonly tokenizer: Tokenizer | null
  readonly sequences: Sequences
  readonly turns: Turns
  readonly decodeQueue: DecodeQueue
  readonly clock: Clock
  readonly yieldToEventLoop: YieldToEventLoop
}

export interface WritingRequest {
  sequence: Sequence
  position: SessionPosition
  sampler: Sampler
  /** How a device that can sample is to do it; null: it cannot, and the logits must come here. */
  onDevice(limits: DeviceSamplingLimits): SamplingAt | null
  reply: ReplyText
  hasStops: boolean
  maxTokens: number
  signal: CancelSignal
  /** Certain text, and the tokens since the last such. */
  onText(text: string, tokens: number[]): void
}

/** What came of it so far; also there when `write` throws. */
export interface WritingFigures {
  generatedTokens: number
  /** An end token counts when it is the first. */
  firstTokenMs: number | null
  /** Of those generated: an end token is none. */
  lastTokenMs: number
}

/** A point before text that may be a stop string. */
interface StopPoint {
  mark: Mark
  tokenCount: number
  /** As in a position: tokens, or logits. */
  pendingTokens: number[]
  logits: Float32Array | null
  penaltyHistory: number[]
  /** Tokens chosen since then that lie before such text. */
  certainTokens: number[]
  /** Tokens chosen since then that hold such text. */
  heldTokens: number[]
}

/**
 * Where tokens come from: offers the next ones, or none when it cannot go on, and leaves the position after those that
 * belong to the sequence.
 */
type TokenSource = () => Promise<void>

export class Writing {
  readonly figures: WritingFigures = { generatedTokens: 0, firstTokenMs: null, lastTokenMs: 0 }
  private readonly context: WritingContext
  private readonly request: WritingRequest
  private stopPoint: StopPoint | null = null
  /** Chosen tokens that no text has told yet. */
  private untoldTokens: number[] = []
  /** How the last token offered ended the reply. */
  private end: 'end-of-text' | { stopped: ReplyPiece } | { listenerFailed: unknown } | null = null

  constructor(context: WritingContext, request: WritingRequest) {
    this.context = context
    this.request = request
  }

  /**
   * Writes until an end and tells all text that is still held back. Throws what decoding and `onText` throw: the position
   * is then after the last token told.
   */
  async write(): Promise<FinishReason> {
    const { position, reply, sampler } = this.request
    const leaveQueue = this.context.decodeQueue.enter()
    let reason: FinishReason | null = null
    try {
      reason = await this.writeTokens()
      if (reason !== 'stop-string') this.tell(reply.finish(reason === 'end-of-text'))
      if (this.untoldTokens.length > 0) this.tellTokens('')
      return reason
    } finally {
      leaveQueue()
      const { rng, history } = sampler.exportState()
      const isUnfinished = this.figures.generatedTokens > 0 && reason !== 'end-of-text' && reason !== 'stop-string'
      position.unfinishedTokens = reply.unfinishedTokens
      position.penaltyHistory = history
      position.generator = isUnfinished ? { seed: sampler.seed, words: rng } : null
      // It failed with text held back that the state has read.
      if (reason === null && reply.isHolding) position.text = null
    }
  }

  private async writeTokens(): Promise<FinishReason> {
    const { position, signal, reply } = this.request
    while (this.tokensLeft > 0) {
      // Asked every time: a device may be lost in mid-reply.
      const sources = this.sources()
      if (sources.length > 1 || position.pendingTokens.length > 0) await this.context.yieldToEventLoop()
      if (signal.aborted) return 'cancelled'
      const told = this.figures.generatedTokens
      try {
        for (const next of sources) if (this.end === null && this.figures.generatedTokens === told) await next()
      } catch (error) {
        if (error instanceof EngineError && error.code === 'cancelled' && signal.aborted) return 'cancelled'
        throw error
      }
      if (!reply.isHolding) this.stopPoint = null
      if (this.end === 'end-of-text') return 'end-of-text'
      if (this.end !== null && 'stopped' in this.end) {
        this.goBackToStop(this.end.stopped)
        return 'stop-string'
      }
      if (this.end !== null) throw this.end.listenerFailed
    }
    return 'max-tokens'
  }

  /** A device that samples comes first; when it is lost, or leaves a token to the CPU, the sampler here does it. */
  private sources(): TokenSource[] {
    const { samples } = this.context.sequences.capabilities
    const samplingAt = samples && this.request.onDevice(samples)
    const here = (): Promise<void> => this.sampleHere()
    return samplingAt === null ? [here] : [() => this.sampleAhead(samplingAt), here]
  }

  private get tokensLeft(): number {
    return this.request.maxTokens - this.figures.generatedTokens
  }

  /** One token, chosen from the logits after those before it. */
  private async sampleHere(): Promise<void> {
    const { sequence, position, sampler, signal, reply, hasStops } = this.request
    const { decodeQueue } = this.context
    if (position.pendingTokens.length > 0) {
      const [token] = position.pendingTokens
      await decodeQueue.decode(sequence, token, signal, logits => position.fed(logits))
    }
    const historyBefore = hasStops && this.stopPoint === null ? sampler.exportState().history : null
    const token = sampler.sample(position.logits!)
    if (this.offer(token) === 'drop') return
    const before = historyBefore !== null && reply.isHolding ? position.snapshot() : null
    position.leavePending([token])
    // The state has not read it yet.
    if (before !== null) await this.keepStopPoint(before, historyBefore!)
  }

  /**
   * One turn of a device that samples and runs ahead. What it has computed beyond the last token is nowhere but in its
   * scratch memory. The last token stays pending, and of an end token the one before it.
   */
  private async sampleAhead(samplingAt: SamplingAt): Promise<void> {
    const { context } = this
    const { sequence, position, sampler, hasStops, signal } = this.request
    const { turns, sequences } = context
    if (hasStops && this.stopPoint === null)
      await this.keepStopPoint(position.snapshot(), sampler.exportState().history)
    const chosen: number[] = []
    const onToken = (token: number): SampledTokenUse => {
      const use = this.offer(token)
      if (use !== 'drop') chosen.push(token)
      if (use === 'feed' && chosen.length >= SHARED_TURN_TOKENS && turns.othersWait) return 'keep'
      return use
    }
    const turnTokens = turns.othersWait ? SHARED_TURN_TOKENS : hasStops ? TURN_TOKENS_WITH_STOPS : TURN_TOKENS
    const options = {
      sampling: samplingAt(position.tokenCount + position.pendingTokens.length, sampler.exportState().history),
      maxTokens: Math.min(turnTokens, this.tokensLeft),
      onToken,
      signal,
    }
    const start = position.pendingTokens[0] ?? position.logits!
    try {
      await turns.exclusive(() => sequences.decodeAhead(sequence, start, options), signal)
    } finally {
      if (chosen.length > 0) {
        position.tokenCount += position.pendingTokens.length + chosen.length - 1
        position.leavePending([chosen[chosen.length - 1]])
      }
    }
  }

  /** Takes a chosen token: what becomes of it. */
  private offer(token: number): SampledTokenUse {
    const { reply, sampler } = this.request
    const { figures, stopPoint } = this
    const nowMs = this.context.clock.nowMs()
    figures.firstTokenMs ??= nowMs
    if (this.context.config.eosTokenIds.includes(token)) {
      this.end = 'end-of-text'
      return 'drop'
    }
    figures.lastTokenMs = nowMs
    figures.generatedTokens++
    const piece = reply.push(token)
    if (piece.stopped) {
      this.end = { stopped: piece }
      return 'keep'
    }
    stopPoint?.heldTokens.push(token)
    if (!reply.isHolding) stopPoint?.certainTokens.push(...stopPoint.heldTokens.splice(0))
    sampler.accept(token)
    try {
      this.tell(piece)
    } catch (error) {
      this.end = { listenerFailed: error }
      return 'keep'
    }
    return 'feed'
  }

  private async keepStopPoint({ tokenCount, pendingTokens, logits }: Position, history: number[]): Promise<void> {
    const { sequence, signal } = this.request
    const { turns, sequences } = this.context
    const mark = await turns.exclusive(() => sequences.mark(sequence), signal)
    const point = { mark, tokenCount, pendingTokens, logits, penaltyHistory: history }
    this.stopPoint = { ...point, certainTokens: [], heldTokens: [] }
  }

  /** A stop string is complete: back to before it; what of the text since lies before it is read again later. */
  private goBackToStop(piece: ReplyPiece): void {
    const { sequence, position, reply, sampler } = this.request
    const { mark, tokenCount, pendingTokens, logits, penaltyHistory, certainTokens } = this.stopPoint!
    const remainder = reply.remainderAtStop()
    const encoded =
      remainder.text === ''
        ? []
        : this.context.tokenizer!.encode(remainder.text, { parseSpecial: false, continuation: true })
    this.stopPoint = null
    this.context.sequences.goBack(sequence, mark)
    const chosen = [...certainTokens, ...remainder.tokens, ...encoded]
    position.tokenCount = tokenCount
    position.leavePending([...pendingTokens, ...chosen])
    if (position.pendingTokens.length === 0) position.keepLogits(logits!)
    sampler.importState({ ...sampler.exportState(), history: penaltyHistory })
    for (const token of chosen) sampler.accept(token)
    this.tell({ text: piece.text, tokens: [...remainder.newTokens, ...encoded] })
  }

  /** Tells certain text; tokens without text of their own wait for the next. */
  private tell({ text, tokens }: ReplyPiece): void {
    const { position } = this.request
    this.untoldTokens.push(...tokens)
    if (text === '') return
    if (position.text !== null) position.text += text
    this.tellTokens(text)
  }

  private tellTokens(text: string): void {
    const tokens = this.untoldTokens
    this.untoldTokens = []
    this.request.onText(text, tokens)
  }
}
