/** The output gate of the recurrence. */
import { type Arithmetic, DEFINITION } from './arithmetic.ts'
import { sigmoid } from './exp.ts'
import { rmsNorm } from './rms-norm.ts'

/** rms(g) * h * sigmoid(h), in this order. g, h [T, E], outNorm [E], result [T, E]. */
export function mlgruOutput(
  g: Float32Array,
  h: Float32Array,
  outNorm: Float32Array,
  epsilon: number,
  arithmetic: Arithmetic = DEFINITION,
): Float32Array {
  const { round } = arithmetic
  const out = rmsNorm(g, outNorm, epsilon, arithmetic)
  for (let i = 0; i < out.length; i++) out[i] = round(round(out[i] * h[i]) * sigmoid(h[i], round))
  return out
}
