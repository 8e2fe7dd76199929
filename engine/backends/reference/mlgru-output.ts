/** The output gate of the recurrence. */
import { sigmoid } from './exp.ts'
import { rmsNorm } from './rms-norm.ts'

const fround = Math.fround

/** rms(g) * h * sigmoid(h), in this order. g, h [T, E], outNorm [E], result [T, E]. */
export function mlgruOutput(g: Float32Array, h: Float32Array, outNorm: Float32Array, epsilon: number): Float32Array {
  const out = rmsNorm(g, outNorm, epsilon)
  for (let i = 0; i < out.length; i++) out[i] = fround(out[i] * h[i]) * sigmoid(h[i])
  return out
}
