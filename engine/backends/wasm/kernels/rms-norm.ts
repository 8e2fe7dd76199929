/**
 * RMSNorm of one row. The sum of squares is in float64, where squares of float32 are exact, as eight sums of every
 * eighth element: one running sum would wait for each addition. All kernel variants add in this order; it differs from
 * the reference's single sum by float64 rounding only.
 */

/** Sum of x[k]^2, x f32 [n]. */
export function sumOfSquares(x: usize, n: i32): f64 {
  const whole = n & ~7
  let sum: f64
  let k = 0
  if (ASC_FEATURE_SIMD) {
    let s01 = f64x2.splat(0)
    let s23 = f64x2.splat(0)
    let s45 = f64x2.splat(0)
    let s67 = f64x2.splat(0)
    for (; k < whole; k += 8) {
      const a = v128.load(x + ((<usize>k) << 2))
      const b = v128.load(x + ((<usize>k) << 2), 16)
      const a01 = f64x2.promote_low_f32x4(a)
      const a23 = f64x2.promote_low_f32x4(i64x2.shuffle(a, a, 1, 1))
      const b01 = f64x2.promote_low_f32x4(b)
      const b23 = f64x2.promote_low_f32x4(i64x2.shuffle(b, b, 1, 1))
      s01 = f64x2.add(s01, f64x2.mul(a01, a01))
      s23 = f64x2.add(s23, f64x2.mul(a23, a23))
      s45 = f64x2.add(s45, f64x2.mul(b01, b01))
      s67 = f64x2.add(s67, f64x2.mul(b23, b23))
    }
    const s = f64x2.add(f64x2.add(s01, s45), f64x2.add(s23, s67))
    sum = f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1)
  } else {
    let s0: f64 = 0
    let s1: f64 = 0
    let s2: f64 = 0
    let s3: f64 = 0
    let s4: f64 = 0
    let s5: f64 = 0
    let s6: f64 = 0
    let s7: f64 = 0
    for (; k < whole; k += 8) {
      const p = x + ((<usize>k) << 2)
      s0 += square(p)
      s1 += square(p + 4)
      s2 += square(p + 8)
      s3 += square(p + 12)
      s4 += square(p + 16)
      s5 += square(p + 20)
      s6 += square(p + 24)
      s7 += square(p + 28)
    }
    sum = s0 + s4 + (s2 + s6) + (s1 + s5 + (s3 + s7))
  }
  for (; k < n; k++) sum += square(x + ((<usize>k) << 2))
  return sum
}

function square(p: usize): f64 {
  const value = <f64>load<f32>(p)
  return value * value
}

/** sqrt(mean of squares + epsilon), rounded to float32 once. */
export function rootMeanSquare(sum: f64, n: i32, epsilon: f64): f32 {
  return <f32>sqrt<f64>(sum / <f64>n + epsilon)
}

/** out[k] = x[k] / rms * weight[k], f32 [n]. */
export function normalizeRow(x: usize, n: i32, rms: f32, weight: usize, out: usize): void {
  let k = 0
  if (ASC_FEATURE_SIMD) {
    const divisor = f32x4.splat(rms)
    for (; k + 4 <= n; k += 4) {
      const at = (<usize>k) << 2
      v128.store(out + at, f32x4.mul(f32x4.div(v128.load(x + at), divisor), v128.load(weight + at)))
    }
  }
  for (; k < n; k++) {
    const at = (<usize>k) << 2
    store<f32>(out + at, (load<f32>(x + at) / rms) * load<f32>(weight + at))
  }
}

/** out = x / sqrt(mean(x^2) + epsilon) * weight, f32 [n]. */
export function rmsNorm(x: usize, n: i32, weight: usize, epsilon: f64, out: usize): void {
  normalizeRow(x, n, rootMeanSquare(sumOfSquares(x, n), n, epsilon), weight, out)
}
