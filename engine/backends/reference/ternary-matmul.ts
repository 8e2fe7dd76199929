/** The product of int8 activations with a ternary matrix, as exact integers. */
import type { TernaryMatrix } from '../ops.ts'

/** sums[t, n] = sum over k of q[t, k] * codes[n, k]; |sum| <= 128 K. q [T, K], result [T, N]. */
export function ternaryMatmul(q: Int8Array, { rows, columns, codes }: TernaryMatrix): Int32Array {
  const tokens = q.length / columns
  const sums = new Int32Array(tokens * rows)
  for (let t = 0; t < tokens; t++) {
    for (let n = 0; n < rows; n++) {
      let sum = 0
      for (let k = 0; k < columns; k++) sum = (sum + q[t * columns + k] * codes[n * columns + k]) | 0
      sums[t * rows + n] = sum
    }
  }
  return sums
}
