/** Where a session stands: what its state has read, what comes next, and what the sampler remembers. */
import type { SessionSnapshot } from './state/state-file.ts'

/** A snapshot without the numbers of the state. */
export type Position = Omit<SessionSnapshot, 'recurrent'>

export class SessionPosition implements Position {
  tokenCount = 0
  pendingTokens: number[] = []
  text: string | null = ''
  unfinishedTokens: number[] = []
  penaltyHistory: number[] = []
  generator: Position['generator'] = null
  /** [V], valid while nothing is pending. */
  private buffer: Float32Array | null = null
  private hasLogits = false

  constructor(from: Partial<Position> = {}) {
    const { logits, ...rest } = from
    Object.assign(this, rest)
    if (logits) this.keepLogits(logits)
  }

  get logits(): Float32Array | null {
    return this.hasLogits ? this.buffer : null
  }

  /** Copies in. */
  keepLogits(logits: Float32Array): void {
    this.buffer ??= new Float32Array(logits.length)
    this.buffer.set(logits)
    this.hasLogits = true
  }

  /** The state has read the pending tokens: these are the logits after them. */
  fed(logits: Float32Array): void {
    this.tokenCount += this.pendingTokens.length
    this.pendingTokens = []
    this.keepLogits(logits)
  }

  /** These come next, and are not read yet. */
  leavePending(tokens: number[]): void {
    this.pendingTokens = tokens
    this.hasLogits = false
  }

  /** A copy that stays as it is. */
  snapshot(): Position {
    const { tokenCount, pendingTokens, text, unfinishedTokens, penaltyHistory, generator } = this
    return {
      tokenCount,
      pendingTokens: [...pendingTokens],
      logits: this.logits?.slice() ?? null,
      text,
      unfinishedTokens: [...unfinishedTokens],
      penaltyHistory: [...penaltyHistory],
      generator,
    }
  }
}
