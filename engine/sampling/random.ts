/**
 * A seeded generator of uniform numbers: xoshiro128** 1.1 (Blackman and Vigna, public domain), seeded by splitmix32.
 * 32-bit integer arithmetic only, so a seed gives the same numbers on every machine. Not for secrets.
 */
import { EngineError } from '../errors.ts'

export class Random {
  readonly #words: Uint32Array

  private constructor(words: Uint32Array) {
    this.#words = words
  }

  /** `seed`: a whole number from 0 to 2^53 - 1. */
  static fromSeed(seed: number): Random {
    const words = new Uint32Array(4)
    let low = seed >>> 0
    let high = Math.floor(seed / 0x1_0000_0000) >>> 0
    for (let i = 0; i < 4; i++) {
      low = (low + 0x9e3779b9) >>> 0
      high = (high + 0x85ebca6b) >>> 0
      words[i] = mix(low) ^ mix(high ^ 0x5bd1e995)
    }
    // The one state that the generator never leaves.
    if (words.every(word => word === 0)) words[0] = 1
    return new Random(words)
  }

  /** Throws `state-corrupt`. */
  static fromState(state: readonly number[]): Random {
    const valid = state.length === 4 && state.every(word => Number.isInteger(word) && word >= 0 && word <= 0xffff_ffff)
    if (!valid || state.every(word => word === 0)) {
      throw new EngineError('state-corrupt', "The random generator's state is damaged.", {
        expected: 'four whole numbers below 2^32, not all 0',
        actual: JSON.stringify(state).slice(0, 80),
        remedy: 'Start the reply again.',
      })
    }
    return new Random(Uint32Array.from(state))
  }

  exportState(): number[] {
    return Array.from(this.#words)
  }

  /** Uniform in [0, 1), 53 bits. */
  next(): number {
    const high = this.#next32() >>> 5
    const low = this.#next32() >>> 6
    return (high * 0x400_0000 + low) / 0x20_0000_0000_0000
  }

  #next32(): number {
    const s = this.#words
    const result = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0
    const t = s[1] << 9
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= t
    s[3] = rotateLeft(s[3], 11)
    return result
  }
}

const rotateLeft = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits))

/** The finaliser of MurmurHash3. */
function mix(word: number): number {
  let z = word
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
  return (z ^ (z >>> 16)) >>> 0
}
