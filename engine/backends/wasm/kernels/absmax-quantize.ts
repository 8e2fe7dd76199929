/** int8 quantisation of one row with one absmax scale; ties round to even. */

/**
 * y f32 [n] gives q int8 [n], padded with zeros to a whole group of 4, and the record at `meta`: the float32 scale
 * s = 127 / max(max|y|, 1e-5), then the i32 sum of q.
 */
export function absmaxQuantize(y: usize, n: i32, q: usize, meta: usize): void {
  let absmax: f32 = 1e-5
  let k = 0
  if (ASC_FEATURE_SIMD) {
    let m0 = f32x4.splat(absmax)
    let m1 = m0
    for (; k + 8 <= n; k += 8) {
      const p = y + ((<usize>k) << 2)
      m0 = f32x4.max(m0, f32x4.abs(v128.load(p)))
      m1 = f32x4.max(m1, f32x4.abs(v128.load(p, 16)))
    }
    m0 = f32x4.max(m0, m1)
    absmax = max<f32>(
      max<f32>(f32x4.extract_lane(m0, 0), f32x4.extract_lane(m0, 1)),
      max<f32>(f32x4.extract_lane(m0, 2), f32x4.extract_lane(m0, 3)),
    )
  }
  for (; k < n; k++) absmax = max<f32>(absmax, abs<f32>(load<f32>(y + ((<usize>k) << 2))))

  const scale = <f32>127 / absmax
  let sum = 0
  k = 0
  if (ASC_FEATURE_SIMD) {
    const factor = f32x4.splat(scale)
    let sums = i32x4.splat(0)
    for (; k + 16 <= n; k += 16) {
      const p = y + ((<usize>k) << 2)
      const a = rounded4(v128.load(p), factor)
      const b = rounded4(v128.load(p, 16), factor)
      const c = rounded4(v128.load(p, 32), factor)
      const d = rounded4(v128.load(p, 48), factor)
      const bytes = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d))
      v128.store(q + <usize>k, bytes)
      sums = i32x4.add(sums, i32x4.extadd_pairwise_i16x8_s(i16x8.extadd_pairwise_i8x16_s(bytes)))
    }
    sum =
      i32x4.extract_lane(sums, 0) +
      i32x4.extract_lane(sums, 1) +
      i32x4.extract_lane(sums, 2) +
      i32x4.extract_lane(sums, 3)
  }
  for (; k < n; k++) {
    const value = <i32>min<f32>(max<f32>(nearest<f32>(load<f32>(y + ((<usize>k) << 2)) * scale), -128), 127)
    store<i8>(q + <usize>k, value)
    sum += value
  }
  for (; (k & 3) !== 0; k++) store<i8>(q + <usize>k, 0)
  store<f32>(meta, scale)
  store<i32>(meta, sum, 4)
}

function rounded4(y: v128, factor: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(y, factor)))
}
