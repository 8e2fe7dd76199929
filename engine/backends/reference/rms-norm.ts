/** RMSNorm over rows. No residual, no mean subtraction, no bias. */
const fround = Math.fround

/**
 * y = x / sqrt(mean(x^2) + epsilon) * weight for each of T rows. x [T, K], weight [K], result [T, K].
 * The sum of squares is in float64, where squares of float32 are exact; the root is rounded to float32 once, then x is
 * divided by it. A product with the reciprocal would be faster and round otherwise.
 */
export function rmsNorm(x: Float32Array, weight: Float32Array, epsilon: number): Float32Array {
  const columns = weight.length
  const y = new Float32Array(x.length)
  for (let start = 0; start < x.length; start += columns) {
    let sumOfSquares = 0
    for (let k = 0; k < columns; k++) sumOfSquares += x[start + k] * x[start + k]
    const rootMeanSquare = fround(Math.sqrt(sumOfSquares / columns + epsilon))
    for (let k = 0; k < columns; k++) y[start + k] = fround(x[start + k] / rootMeanSquare) * weight[k]
  }
  return y
}
