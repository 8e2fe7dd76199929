/** z = silu(gate) up. */
import { roundShift, saturate, silu } from './arithmetic.ts'
import type { SaturationFlags } from './flags.ts'

/** s24.12 [2 I], gate then up, to s32.14 [I]. */
export function glu(gateUp: Int32Array, flags: SaturationFlags): Int32Array {
  const z = new Int32Array(gateUp.length / 2)
  for (let j = 0; j < z.length; j++) {
    const exact = roundShift(silu(gateUp[j]) * gateUp[z.length + j], 14)
    z[j] = saturate(exact, 32)
    if (z[j] !== exact) flags.add('z')
  }
  return z
}
