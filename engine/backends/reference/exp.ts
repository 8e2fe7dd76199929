/**
 * The one exponential that every backend computes, step by step in float32: the C library's and the browser's `exp`
 * differ in the last place between machines, and one such difference can flip an int8 and move the logits by a percent.
 * Kernels elsewhere mirror these steps in this order, without fused multiply-add:
 *
 *   x = min(max(x, -87), 87)                        no overflow, no denormal, NaN stays NaN
 *   n = roundHalfEven(x * LOG2_E)                   a whole number from -126 to 126, as float32
 *   r = (x - n * LN2_HIGH) - n * LN2_LOW            |r| <= 0.347; n * LN2_HIGH is exact
 *   p = P0;  p = p * r + P1;  ...  p = p * r + P5   Horner, each product and each sum rounded
 *   e = ((p * (r * r)) + r) + 1
 *   exp = e * 2^n                                   exact: the float whose bits are (n + 127) << 23
 *
 * Relative error against the true value is below 1e-7 for |x| <= 87. Coefficients: Cephes expf (S. Moshier).
 * `Math.fround` after every operation on float32 operands gives exactly the float32 result.
 */
import type { Arithmetic } from './arithmetic.ts'

type Round = Arithmetic['round']
const fround = Math.fround

const EXP_LIMIT = 87
const LOG2_E = fround(Math.LOG2E)
/** 355 / 512: nine bits, so that its product with n is exact. */
const LN2_HIGH = 0.693359375
const LN2_LOW = fround(-2.1219444e-4)
const P0 = fround(1.98756915e-4)
const P1 = fround(1.3981999507e-3)
const P2 = fround(8.3334519073e-3)
const P3 = fround(4.1665795894e-2)
const P4 = fround(1.6666665459e-1)
const P5 = fround(5.0000001201e-1)

/** 1.5 x 2^23: adding it in float32 leaves no fraction bits, so the sum is rounded to a whole number, ties to even. */
const ROUNDING = 12582912

/** Round to a whole number, ties to even, for float32 |x| < 2^22 (`f32x4.nearest`, WGSL `round`); Math.round is not that. */
export const roundHalfEven = (x: number): number => fround(fround(x + ROUNDING) - ROUNDING)

/** e^x in float32 for a float32 x; saturates beyond |x| = 87. */
export function exp(x: number, round: Round = fround): number {
  const limited = Math.min(Math.max(x, -EXP_LIMIT), EXP_LIMIT)
  const n = roundHalfEven(round(limited * LOG2_E))
  const r = round(round(limited - round(n * LN2_HIGH)) - round(n * LN2_LOW))
  let p = P0
  p = round(round(p * r) + P1)
  p = round(round(p * r) + P2)
  p = round(round(p * r) + P3)
  p = round(round(p * r) + P4)
  p = round(round(p * r) + P5)
  const e = round(round(round(p * round(r * r)) + r) + 1)
  return round(e * 2 ** n)
}

/** 1 / (1 + exp(-x)) in float32; from 1.6e-38 to 1, never a denormal. */
export const sigmoid = (x: number, round: Round = fround): number => round(1 / round(1 + exp(-x, round)))

/** x * sigmoid(x) in float32. */
export const silu = (x: number, round: Round = fround): number => round(x * sigmoid(x, round))
