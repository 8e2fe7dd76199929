/**
 * Integers of the numeric mode `tern-fixed-1` (docs/fpga-numerics.md), held in float64: every intermediate is below 2^53, so
 * all of it is exact. sN.f: N bits of two's complement, f of them after the point.
 */

/** The one rounding rule: floor(v / 2^shift + 1/2), half up. A negative shift is an exact left shift. |v| < 2^51. */
export const roundShift = (v: number, shift: number): number =>
  shift <= 0 ? v * 2 ** -shift : Math.floor(v * 2 ** -shift + 0.5)

/** Clamps to the symmetric range of so many bits, +-(2^(bits - 1) - 1). */
export function saturate(v: number, bits: number): number {
  const most = 2 ** (bits - 1) - 1
  return v > most ? most : v < -most ? -most : v
}

/** Position of the highest one of v >= 0: 0 for 0, 8 for 255. v < 2^53. */
export function bitLength(v: number): number {
  const high = Math.floor(v / 2 ** 32)
  return high > 0 ? 64 - Math.clz32(high) : 32 - Math.clz32(v)
}

/** floor(n / d + 1/2): one more bit of the quotient, add one, shift. 2 n < 2^53. */
export const divideRounded = (n: number, d: number): number => Math.floor((Math.floor((2 * n) / d) + 1) / 2)

/** floor(sqrt(n)), n < 2^52. */
export function integerRoot(n: number): number {
  let root = Math.floor(Math.sqrt(n))
  while (root * root > n) root--
  while ((root + 1) * (root + 1) <= n) root++
  return root
}

/** A root as mantissa and exponent: sqrt(S) ~ mantissa 2^(7 - shift / 2). */
export interface Root {
  /** u17 in 2^16..2^17 - 1 */
  readonly mantissa: number
  /** Even. */
  readonly shift: number
}

const MAX_U17 = 2 ** 17 - 1

/** 1 <= S < 2^48. Bits cut off below do not change the floor of the root. */
export function root(S: number): Root {
  const zeros = 48 - bitLength(S)
  const shift = zeros - (zeros % 2)
  const n = Math.floor((S * 2 ** shift) / 4096)
  return { mantissa: Math.min(Math.floor((integerRoot(n) + 1) / 2), MAX_U17), shift }
}

/** 127 2^26 / M, rounded, for M in 2^16..2^17 - 1: u17. `roundShift(M R, 26)` is 127 for every M. */
export const reciprocal = (M: number): number => divideRounded(127 * 2 ** 26, M)

/** 65536 / (1 + e^-(j / 64)), rounded half up: 1024 segments of [0, 16), and the end. No entry is near a tie. */
export const SIGMOID_TABLE: Int32Array = Int32Array.from({ length: 1025 }, (_, j) =>
  j === 1024 ? 65_536 : Math.floor(65_536 / (1 + Math.exp(-j / 64)) + 0.5),
)

/** x s24.12 to u17.16, 0 to 65536: the table, linearly interpolated. Within 1.05 of 2^-16 everywhere. */
export function sigmoid(x: number): number {
  const a = Math.abs(x)
  if (a >= 65_536) return x > 0 ? 65_536 : 0
  const j = a >> 6
  const y = SIGMOID_TABLE[j] + (((SIGMOID_TABLE[j + 1] - SIGMOID_TABLE[j]) * (a & 63) + 32) >> 6)
  return x >= 0 ? y : 65_536 - y
}

/** x s24.12 to s28.16. */
export const silu = (x: number): number => roundShift(x * sigmoid(x), 12)

export function largestMagnitude(values: ArrayLike<number>): number {
  let largest = 0
  for (let k = 0; k < values.length; k++) largest = Math.max(largest, Math.abs(values[k]))
  return largest
}
