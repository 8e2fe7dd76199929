/** RMSNorm over rows. No residual, no mean subtraction, no bias. */
import { type Arithmetic, DEFINITION, neighbour } from './arithmetic.ts'

/**
 * y = x / sqrt(mean(x^2) + epsilon) * weight for each of T rows. x [T, K], weight [K], result [T, K].
 * The sum of squares is in float64 (sumOfSquares); the root is rounded to float32 once, then x is divided by it. A product
 * with the reciprocal would be faster and round otherwise.
 */
export function rmsNorm(
  x: Float32Array,
  weight: Float32Array,
  epsilon: number,
  { round, rootUlps }: Arithmetic = DEFINITION,
): Float32Array {
  const columns = weight.length
  const y = new Float32Array(x.length)
  for (let start = 0; start < x.length; start += columns) {
    const sum = sumOfSquares(x.subarray(start, start + columns))
    const rootMeanSquare = neighbour(Math.fround(Math.sqrt(sum / columns + epsilon)), rootUlps)
    for (let k = 0; k < columns; k++) y[start + k] = round(round(x[start + k] / rootMeanSquare) * weight[k])
  }
  return y
}

/**
 * Sum of x^2 in float64, where squares of float32 are exact. Its order is part of the definition: eight sums of every eighth
 * element, which processors can keep side by side, added in pairs; what is left of a whole eight comes last, one by one.
 */
function sumOfSquares(x: Float32Array): number {
  const whole = x.length - (x.length % 8)
  const s = new Float64Array(8)
  for (let k = 0; k < whole; k++) s[k % 8] += x[k] * x[k]
  let sum = s[0] + s[4] + (s[2] + s[6]) + (s[1] + s[5] + (s[3] + s[7]))
  for (let k = whole; k < x.length; k++) sum += x[k] * x[k]
  return sum
}
