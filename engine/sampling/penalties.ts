/**
 * Which tokens a text repeats: counts over a window of the last tokens, in constant time a token.
 */
import { EngineError } from '../errors.ts'

export class TokenHistory {
  readonly #counts: Uint32Array
  /** Tokens with a count above 0, in no order, and where each stands. */
  readonly #distinct: Int32Array
  readonly #placeOf: Int32Array
  #distinctCount = 0
  /** The window as a ring; without a window a list that grows. */
  readonly #ring: Int32Array | null
  readonly #all: number[] = []
  #ringStart = 0
  #ringLength = 0

  /** `window` 0: all tokens. */
  constructor(vocabularySize: number, window: number) {
    this.#counts = new Uint32Array(vocabularySize)
    this.#distinct = new Int32Array(vocabularySize)
    this.#placeOf = new Int32Array(vocabularySize)
    this.#ring = window === 0 ? null : new Int32Array(window)
  }

  get distinctCount(): number {
    return this.#distinctCount
  }

  /** The i-th distinct token, i below `distinctCount`. */
  distinctToken(i: number): number {
    return this.#distinct[i]
  }

  countOf(token: number): number {
    return this.#counts[token]
  }

  add(token: number): void {
    if (this.#ring !== null) {
      if (this.#ringLength === this.#ring.length) {
        this.#forget(this.#ring[this.#ringStart])
        this.#ringStart = (this.#ringStart + 1) % this.#ring.length
        this.#ringLength -= 1
      }
      this.#ring[(this.#ringStart + this.#ringLength) % this.#ring.length] = token
      this.#ringLength += 1
    } else this.#all.push(token)
    if (this.#counts[token]++ > 0) return
    this.#placeOf[token] = this.#distinctCount
    this.#distinct[this.#distinctCount++] = token
  }

  #forget(token: number): void {
    if (--this.#counts[token] > 0) return
    const last = this.#distinct[--this.#distinctCount]
    this.#distinct[this.#placeOf[token]] = last
    this.#placeOf[last] = this.#placeOf[token]
  }

  /** Tokens of the window, oldest first. */
  export(): number[] {
    const ring = this.#ring
    if (ring === null) return [...this.#all]
    return Array.from({ length: this.#ringLength }, (_, i) => ring[(this.#ringStart + i) % ring.length])
  }

  /** Replaces everything. Throws `state-corrupt`; nothing has changed then. */
  import(tokens: readonly number[]): void {
    for (const token of tokens) {
      if (Number.isInteger(token) && token >= 0 && token < this.#counts.length) continue
      throw new EngineError('state-corrupt', "The sampler's token history is damaged.", {
        expected: `tokens below ${this.#counts.length}`,
        actual: String(token),
        remedy: 'Start the reply again.',
      })
    }
    this.#counts.fill(0)
    this.#distinctCount = 0
    this.#all.length = 0
    this.#ringStart = 0
    this.#ringLength = 0
    for (const token of tokens) this.add(token)
  }
}
