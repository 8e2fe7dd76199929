/** The int8 inputs of a ternary matrix: products v w12 scaled so that the largest becomes 127. */
import { bitLength, largestMagnitude, reciprocal, roundShift, saturate } from './arithmetic.ts'

export interface Quantized {
  /** s8 [K], -127..127 */
  readonly q: Int8Array
  /** The largest product as M 2^shift, M in 2^16..2^17 - 1; M = 0: all are zero. */
  readonly M: number
  readonly shift: number
}

const MAX_U17 = 2 ** 17 - 1

/** Products v w12, s49 [K]. */
export function absmaxQuantize(products: Float64Array): Quantized {
  const q = new Int8Array(products.length)
  const largest = largestMagnitude(products)
  if (largest === 0) return { q, M: 0, shift: 0 }
  const shift = bitLength(largest) - 17
  const M = Math.min(roundShift(largest, shift), MAX_U17)
  const R = reciprocal(M)
  const scale = 2 ** -shift
  for (let k = 0; k < products.length; k++) {
    // A left shift is exact: there is no half to round.
    const p = saturate(Math.floor(products[k] * scale + 0.5), 18)
    const scaled = Math.floor((p * R) / 2 ** 26 + 0.5)
    q[k] = scaled > 127 ? 127 : scaled < -127 ? -127 : scaled
  }
  return { q, M, shift }
}
