/**
 * Absmean ternarisation of a float matrix: m = max(mean |W|, 1e-5), t = clamp(round(W * (1 / m)), -1, 1).
 *
 * Rounding, which decides weights that lie on an edge: the mean is taken in double precision over the whole matrix and m
 * rounded once to float32; 1 / m and W * (1 / m) are then float32 operations, as in the published implementation, and ties
 * round to even. So codes follow from the weights and the stored scale alone.
 */

const SMALLEST_SCALE = 1e-5

/** Sum of magnitudes in double precision, to be added up over the pieces of a matrix; not finite if any weight is not. */
export function magnitudeSum(weights: Float32Array, sumBefore: number): number {
  let sum = sumBefore
  for (let i = 0; i < weights.length; i++) sum += Math.abs(weights[i]!)
  return sum
}

/** m as float32; multiplies. */
export const absmeanScale = (sum: number, weightCount: number): number =>
  Math.fround(Math.max(sum / weightCount, SMALLEST_SCALE))

/** Codes -1, 0, +1 of as many weights. */
export function ternarize(weights: Float32Array, scale: number, codes: Int8Array): void {
  const reciprocal = Math.fround(1 / scale)
  for (let i = 0; i < weights.length; i++) {
    // Rounding to even sends exactly 0.5 to 0, so that comparing is rounding and clamping in one. Without a branch,
    // which random signs would mispredict: six times as fast.
    const u = Math.fround(weights[i]! * reciprocal)
    codes[i] = Number(u > 0.5) - Number(u < -0.5)
  }
}
