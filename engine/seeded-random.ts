/** Seeded random numbers for made-up weights and cases: the same on every machine and run. Those of sampling are in sampling/random.ts. */

export type Random = () => number

/** Uniform in [0, 1), 32 bits of state (mulberry32, T. Ettinger). */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** About normal, mean 0, deviation 1: the sum of twelve uniform numbers less 6. */
export function normal(random: Random): number {
  let sum = -6
  for (let i = 0; i < 12; i++) sum += random()
  return sum
}

export const wholeBelow = (random: Random, limit: number): number => Math.floor(random() * limit)
