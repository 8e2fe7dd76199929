/** The gate of the channel mixer. */
import { type Arithmetic, DEFINITION } from './arithmetic.ts'
import { silu } from './exp.ts'

/** silu(gate) * up. gateUp [T, 2I] holds gate, then up in each row; result [T, I]. */
export function glu(gateUp: Float32Array, intermediateSize: number, { round }: Arithmetic = DEFINITION): Float32Array {
  const out = new Float32Array(gateUp.length / 2)
  for (let t = 0; t < out.length / intermediateSize; t++) {
    for (let i = 0; i < intermediateSize; i++) {
      const gate = gateUp[t * 2 * intermediateSize + i]
      const up = gateUp[t * 2 * intermediateSize + intermediateSize + i]
      out[t * intermediateSize + i] = round(silu(gate, round) * up)
    }
  }
  return out
}
