/** BitLinear: RMSNorm, int8 quantisation, ternary product, dequantisation. */
import { BITLINEAR_EPSILON, type BitLinearWeights } from '../ops.ts'
import { absmaxQuantize } from './absmax-quantize.ts'
import { type Arithmetic, DEFINITION } from './arithmetic.ts'
import { rmsNorm } from './rms-norm.ts'
import { ternaryMatmul } from './ternary-matmul.ts'

/** x [T, K] gives [T, N]: sums * (m / s), the factor rounded to float32 once for each token. */
export function bitLinear(
  x: Float32Array,
  { matrix, inNorm }: BitLinearWeights,
  arithmetic: Arithmetic = DEFINITION,
): Float32Array {
  const { round } = arithmetic
  const { q, scales } = absmaxQuantize(rmsNorm(x, inNorm, BITLINEAR_EPSILON, arithmetic), matrix.columns)
  const sums = ternaryMatmul(q, matrix)
  const out = new Float32Array(sums.length)
  for (let t = 0; t < scales.length; t++) {
    const factor = round(matrix.scale / scales[t])
    for (let n = t * matrix.rows; n < (t + 1) * matrix.rows; n++) out[n] = round(Math.fround(sums[n]) * factor)
  }
  return out
}
