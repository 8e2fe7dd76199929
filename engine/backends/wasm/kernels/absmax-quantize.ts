/** int8 quantisation of one row with one absmax scale; ties round to even. */

/** Below this largest magnitude a token counts as zero. */
export const ABSMAX_FLOOR: f32 = 1e-5

/**
 * 1.5 x 2^23. Adding it leaves no fraction bits, so the sum is rounded to a whole number, ties to even, and the low byte of
 * its bits is that number as an int8.
 */
const ROUNDING: f32 = 12582912

/** y f32 [n] to q and meta as `quantize` writes them. */
export function absmaxQuantize(y: usize, n: i32, q: usize, meta: usize): void {
  let absmax = ABSMAX_FLOOR
  for (let k: usize = 0; k < <usize>n; k++) absmax = max<f32>(absmax, abs<f32>(load<f32>(y + (k << 2))))
  quantize(y, n, absmax, q, meta)
}

/**
 * y f32 [n], |y| <= absmax, gives q int8 [n], padded with zeros to a whole group of 4, and the record at `meta`: the
 * float32 scale s = 127 / absmax, then the i32 sum of q. |y * s| stays below 127.5, so nothing is clamped.
 */
export function quantize(y: usize, n: i32, absmax: f32, q: usize, meta: usize): void {
  const scale = <f32>127 / absmax
  let sum = 0
  let k = 0
  if (ASC_FEATURE_SIMD) {
    const factor = f32x4.splat(scale)
    let sums = i32x4.splat(0)
    for (; k + 16 <= n; k += 16) {
      const p = y + ((<usize>k) << 2)
      const a = lowByte(v128.load(p), factor)
      const b = lowByte(v128.load(p, 16), factor)
      const c = lowByte(v128.load(p, 32), factor)
      const d = lowByte(v128.load(p, 48), factor)
      const bytes = i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_u(a, b), i16x8.narrow_i32x4_u(c, d))
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
    const value = <i32>(<i8>reinterpret<i32>(load<f32>(y + ((<usize>k) << 2)) * scale + ROUNDING))
    store<i8>(q + <usize>k, value)
    sum += value
  }
  for (; (k & 3) !== 0; k++) store<i8>(q + <usize>k, 0)
  store<f32>(meta, scale)
  store<i32>(meta, sum, 4)
}

/** The rounded product's int8 in the low byte of each lane. */
function lowByte(y: v128, factor: v128): v128 {
  return v128.and(f32x4.add(f32x4.mul(y, factor), f32x4.splat(ROUNDING)), i32x4.splat(0xff))
}
