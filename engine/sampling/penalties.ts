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
  /** The window as a ring; null when all tokens count. */
  readonly #ring: Int32Array | null
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
    }
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

  /** Tokens with how often each follows itself, oldest first; without a window: each token once, with its count. */
  export(): [token: number, count: number][] {
    const runs: [number, number][] = []
    if (this.#ring === null) {
      for (let i = 0; i < this.#distinctCount; i++) runs.push([this.#distinct[i], this.#counts[this.#distinct[i]]])
      return runs
    }
    for (let i = 0; i < this.#ringLength; i++) {
      const token = this.#ring[(this.#ringStart + i) % this.#ring.length]
      const last = runs.at(-1)
      if (last?.[0] === token) last[1] += 1
      else runs.push([token, 1])
    }
    return runs
  }

  /** Throws `state-corrupt`; nothing has changed then. */
  import(runs: readonly (readonly [token: number, count: number])[]): void {
    for (const [token, count] of runs) {
      const valid = Number.isInteger(token) && token >= 0 && token < this.#counts.length
      if (!valid || !Number.isInteger(count) || count < 1 || count > 0xffff_ffff) {
        throw new EngineError('state-corrupt', "The sampler's token history is damaged.", {
          expected: `tokens below ${this.#counts.length} with counts`,
          actual: `${token}: ${count}`,
          remedy: 'Start the reply again.',
        })
      }
    }
    this.#counts.fill(0)
    this.#distinctCount = 0
    this.#ringStart = 0
    this.#ringLength = 0
    for (const [token, count] of runs) {
      if (this.#ring === null) {
        this.add(token)
        this.#counts[token] += count - 1
        continue
      }
      for (let i = 0; i < Math.min(count, this.#ring.length); i++) this.add(token)
    }
  }
}
