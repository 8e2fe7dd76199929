/** int8 quantisation of activations with one absmax scale a token. */
import type { Quantized } from '../ops.ts'
import { roundHalfEven } from './exp.ts'

const fround = Math.fround

/** Below this largest magnitude a token counts as zero (upstream: `clamp(min=1e-5)`). */
const ABSMAX_FLOOR = fround(1e-5)

/** s = 127 / max(max|y|, 1e-5) and q = clamp(round(y * s), -128, 127), ties to even, for each row of y [T, K]. */
export function absmaxQuantize(y: Float32Array, columns: number): Quantized {
  const tokens = y.length / columns
  const q = new Int8Array(y.length)
  const scales = new Float32Array(tokens)
  for (let t = 0; t < tokens; t++) {
    const start = t * columns
    let absmax = ABSMAX_FLOOR
    for (let k = 0; k < columns; k++) absmax = Math.max(absmax, Math.abs(y[start + k]))
    const scale = fround(127 / absmax)
    scales[t] = scale
    for (let k = 0; k < columns; k++) {
      q[start + k] = Math.min(Math.max(roundHalfEven(fround(y[start + k] * scale)), -128), 127)
    }
  }
  return { q, scales }
}
