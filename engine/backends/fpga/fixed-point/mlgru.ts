/** The recurrence of one channel: h goes towards silu(i) by 1 - f, rounded once, and never past it. */
import { roundShift, sigmoid, silu } from './arithmetic.ts'

/** 1 - f, u17.16, of f s24.12 and the lower bound u16.16. */
export const openness = (f: number, lowerBound: number): number =>
  roundShift((65_536 - lowerBound) * (65_536 - sigmoid(f)), 16)

/** h, c s28.16; nf = 1 - f u17.16. Always between h and c. */
export const mix = (h: number, c: number, nf: number): number => h + roundShift((c - h) * nf, 16)

/** i, f s24.12 [E]; the state h s28.16 [E] in place. */
export function mlgru(i: Int32Array, f: Int32Array, lowerBound: Int32Array, h: Int32Array): void {
  for (let e = 0; e < h.length; e++) h[e] = mix(h[e], silu(i[e]), openness(f[e], lowerBound[e]))
}
