/** The int8 inputs of a BitLinear: its own norm, then absmax quantisation. */
import { ABSMAX_FLOOR, quantize } from './absmax-quantize'
import { divideRow, rootMeanSquare, weightRow } from './rms-norm'

/** Of BitLinear's own RMSNorm: not the model's. */
const BITLINEAR_EPSILON: f64 = 1e-6

/**
 * x f32 [n], whose sum of squares is known, normalised by the BitLinear's own norm and quantised. `divided` (which may be x)
 * and `scaled` are scratch f32 [n].
 */
export function quantizeInput(
  x: usize,
  n: i32,
  sum: f64,
  inNorm: usize,
  divided: usize,
  scaled: usize,
  q: usize,
  meta: usize,
): void {
  divideRow(x, n, rootMeanSquare(sum, n, BITLINEAR_EPSILON), divided)
  quantizeNormalized(divided, n, inNorm, scaled, q, meta)
}

/** The same for an input that is already divided by its root mean square: i, f and g share theirs. */
export function quantizeNormalized(x: usize, n: i32, inNorm: usize, scaled: usize, q: usize, meta: usize): void {
  quantize(scaled, n, weightRow(x, n, inNorm, scaled, ABSMAX_FLOOR), q, meta)
}
