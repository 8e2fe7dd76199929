/**
 * The text of a reply as its tokens arrive: whole characters only, and what may be the beginning of a stop string held
 * back. It says which tokens belong to text that is certain, and what to read again when a stop string completes.
 * It does not know the model, the state or the sampler.
 */
import { createStopMatcher, type StopMatcher } from './sampling/stop-strings.ts'
import type { TokenStream } from './tokenizer/token-stream.ts'
import type { Tokenizer } from './tokenizer/tokenizer.ts'

export interface ReplyPiece {
  /** Text that is certain now. */
  text: string
  /** Tokens that are certain now, in order. */
  tokens: number[]
}

/** What lies between the first held token and the stop string. */
export interface StopRemainder {
  /** Whole tokens of it. */
  tokens: number[]
  /** Those of `tokens` that no piece has given out yet. */
  newTokens: number[]
  /** Text after `tokens`, which ends within a token: it must be encoded anew. */
  text: string
}

interface HeldToken {
  token: number
  /** Characters of the reply up to and with this token. */
  end: number
  /** Its bytes end on a whole character. */
  isComplete: boolean
}

export class ReplyText {
  private readonly stream: TokenStream | null
  private readonly matcher: StopMatcher | null
  /** Characters that came out of the tokens, and those of them that are certain. */
  private length = 0
  private certainLength = 0
  /** Tokens since the last moment at which nothing was held back, and how many of them were given out already. */
  private held: HeldToken[] = []
  private givenOut = 0
  /** Certain text of the held tokens. */
  private heldCertainText = ''
  private unfinished: number[]

  /**
   * @param tokenizer null: no text, only tokens
   * @param unfinished the last tokens before this reply goes on, whose bytes do not end on a whole character
   */
  constructor(tokenizer: Tokenizer | null, stops: readonly string[], unfinished: readonly number[]) {
    this.stream = tokenizer?.createStream({ hideSpecial: true, continuation: true }) ?? null
    this.matcher = stops.length > 0 && tokenizer ? createStopMatcher(stops) : null
    this.unfinished = [...unfinished]
    for (const token of unfinished) this.stream?.push(token)
  }

  /** A stop string may have begun: the state before the first of the held tokens must be kept. */
  get isHolding(): boolean {
    return this.held.length > 0
  }

  /** The last tokens whose bytes do not end on a whole character. */
  get unfinishedTokens(): number[] {
    return [...this.unfinished]
  }

  /** Takes the next token. */
  push(token: number): ReplyPiece & { stopped: boolean } {
    const added = this.stream?.push(token) ?? ''
    const isComplete = (this.stream?.pendingBytes ?? 0) === 0
    if (isComplete) this.unfinished = []
    else if (added === '') this.unfinished.push(token)
    else this.unfinished = [token]
    if (!this.matcher) return { text: added, tokens: [token], stopped: false }

    this.length += added.length
    this.held.push({ token, end: this.length, isComplete })
    const { text, stop } = this.matcher.push(added)
    this.certainLength += text.length
    this.heldCertainText += text
    if (stop !== null) return { text, tokens: [], stopped: true }
    const nothingHeld = isComplete && this.certainLength === this.length
    return { text, tokens: nothingHeld ? this.releaseAll() : this.giveOutCertain(), stopped: false }
  }

  /** After `stopped`: what the state must read again from before the first held token. */
  remainderAtStop(): StopRemainder {
    const kept = this.held.filter(entry => entry.end <= this.certainLength)
    while (kept.length > 0 && !kept[kept.length - 1].isComplete) kept.pop()
    const holdStart = this.certainLength - this.heldCertainText.length
    const keptEnd = kept.at(-1)?.end ?? holdStart
    const tokens = kept.map(entry => entry.token)
    this.unfinished = []
    return { tokens, newTokens: tokens.slice(this.givenOut), text: this.heldCertainText.slice(keptEnd - holdStart) }
  }

  /** The end without a stop string. `isEndOfText`: an incomplete character becomes U+FFFD; else it stays unfinished. */
  finish(isEndOfText: boolean): ReplyPiece {
    let text = ''
    if (isEndOfText && this.stream) {
      text = this.stream.flush()
      this.unfinished = []
    }
    if (this.matcher) text = this.matcher.push(text).text + this.matcher.flush()
    return { text, tokens: this.releaseAll() }
  }

  private releaseAll(): number[] {
    const tokens = this.held.slice(this.givenOut).map(entry => entry.token)
    this.held = []
    this.givenOut = 0
    this.heldCertainText = ''
    return tokens
  }

  private giveOutCertain(): number[] {
    const tokens: number[] = []
    for (let entry = this.held[this.givenOut]; entry; entry = this.held[this.givenOut]) {
      if (entry.end > this.certainLength || !entry.isComplete) break
      tokens.push(entry.token)
      this.givenOut++
    }
    return tokens
  }
}
