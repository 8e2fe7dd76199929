/** Integer sums to float32, and the residual connection. */

/** m / s, rounded to float32 once for each token. `meta` is the record of absmaxQuantize. */
export function dequantizeFactor(matrixScale: f32, meta: usize): f32 {
  return matrixScale / load<f32>(meta)
}

/** values[first..last-1]: i32 to float32 times factor, in place. */
export function dequantize(values: usize, first: i32, last: i32, factor: f32): void {
  let k = first
  if (ASC_FEATURE_SIMD) {
    const factors = f32x4.splat(factor)
    for (; k + 4 <= last; k += 4) {
      const p = values + ((<usize>k) << 2)
      v128.store(p, f32x4.mul(f32x4.convert_i32x4_s(v128.load(p)), factors))
    }
  }
  for (; k < last; k++) {
    const p = values + ((<usize>k) << 2)
    store<f32>(p, <f32>load<i32>(p) * factor)
  }
}

/** x[k] = x[k] + f32(sums[k]) * factor for k = first..last-1: a projection and its residual connection. */
export function addDequantized(x: usize, sums: usize, first: i32, last: i32, factor: f32): void {
  let k = first
  if (ASC_FEATURE_SIMD) {
    const factors = f32x4.splat(factor)
    for (; k + 4 <= last; k += 4) {
      const at = (<usize>k) << 2
      const y = f32x4.mul(f32x4.convert_i32x4_s(v128.load(sums + at)), factors)
      v128.store(x + at, f32x4.add(v128.load(x + at), y))
    }
  }
  for (; k < last; k++) {
    const at = (<usize>k) << 2
    store<f32>(x + at, load<f32>(x + at) + <f32>load<i32>(sums + at) * factor)
  }
}
