/** What the state shows: v = g h sigmoid(h), and the sum of g^2 that the epsilon of v's norm needs. */
import { roundShift, saturate, sigmoid } from './arithmetic.ts'
import type { SaturationFlags } from './flags.ts'

/** h sigmoid(h), s28.16. */
export const shown = (h: number): number => roundShift(h * sigmoid(saturate(roundShift(h, 4), 24)), 16)

/** g s24.12 [E], h s28.16 [E]; v s32.14 [E], the sum of squares of g with seven bits after the point, u44. */
export function mlgruOutput(g: Int32Array, h: Int32Array, flags: SaturationFlags): { v: Int32Array; sumOfG: number } {
  const v = new Int32Array(h.length)
  let sumOfG = 0
  for (let e = 0; e < h.length; e++) {
    const exact = roundShift(g[e] * shown(h[e]), 14)
    v[e] = saturate(exact, 32)
    if (v[e] !== exact) flags.add('v')
    const g7 = saturate(roundShift(g[e], 5), 17)
    sumOfG += g7 * g7
  }
  return { v, sumOfG }
}
