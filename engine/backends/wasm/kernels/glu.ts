/** The gate of the channel mixer. */
import { silu, silu4 } from './exp'

/** gate[k] = silu(gate[k]) * up[k] for k = first..last-1, f32, in place. */
export function glu(gate: usize, up: usize, first: i32, last: i32): void {
  let k = first
  if (ASC_FEATURE_SIMD) {
    for (; k + 4 <= last; k += 4) {
      const at = (<usize>k) << 2
      v128.store(gate + at, f32x4.mul(silu4(v128.load(gate + at)), v128.load(up + at)))
    }
  }
  for (; k < last; k++) {
    const at = (<usize>k) << 2
    store<f32>(gate + at, silu(load<f32>(gate + at)) * load<f32>(up + at))
  }
}
