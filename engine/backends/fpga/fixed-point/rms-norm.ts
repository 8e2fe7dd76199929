/**
 * The root of a norm's mean square. Norms are never applied on the device: both RMS factors of a BitLinear cancel in its int8
 * inputs, and of its scale one root is left. The norm's own weight comes folded into w12 (weights.ts).
 */
import { bitLength, largestMagnitude, type Root, root, roundShift, saturate } from './arithmetic.ts'

/** sqrt(sum of (v w1)^2 + epsilon) 2^-vShift, as the root's mantissa and shifts. */
export interface RootOfSquares extends Root {
  /** Of v w1 before it was squared. */
  readonly vShift: number
}

/** cm 2^cx, added to the sum of squares; cm < 2^51. */
export interface Epsilon {
  readonly cm: number
  readonly cx: number
}

const MAX_SUM = 2 ** 48 - 1

/** v s32 [K], w1 u16 [K]. */
export function rootOfSquares(v: Int32Array, w1: ArrayLike<number>, epsilon: Epsilon | null): RootOfSquares {
  const vShift = Math.max(bitLength(largestMagnitude(v)) - 1, 0)
  const scale = 2 ** -vShift
  let sum = 0
  for (let k = 0; k < v.length; k++) {
    const t = saturate(vShift === 0 ? v[k] * w1[k] : Math.floor(v[k] * w1[k] * scale + 0.5), 18)
    sum += t * t
  }
  if (epsilon !== null) sum += epsilonTerm(epsilon, vShift)
  return { ...root(Math.max(1, Math.min(sum, MAX_SUM))), vShift }
}

/** At most 2^48 - 1. */
function epsilonTerm({ cm, cx }: Epsilon, vShift: number): number {
  if (cm === 0) return 0
  const shift = 2 * vShift - cx
  // Beyond the sum's own range, and maybe beyond what float64 counts.
  if (bitLength(cm) - shift > 48) return MAX_SUM
  return Math.min(roundShift(cm, shift), MAX_SUM)
}
