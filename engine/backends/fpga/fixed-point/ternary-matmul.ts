/** Sums of int8 inputs with weights -1, 0, +1: exact in any order, at most 127 K in magnitude. */

/** codes [N, K], q s8 [K]; s21 [N]. */
export function ternaryMatmul(codes: Int8Array, q: Int8Array, sums: Int32Array): void {
  const K = q.length
  for (let n = 0; n < sums.length; n++) {
    const row = n * K
    let sum = 0
    for (let k = 0; k < K; k++) sum += Math.imul(codes[row + k], q[k])
    sums[n] = sum
  }
}
