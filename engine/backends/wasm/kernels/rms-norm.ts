/**
 * RMSNorm of one row. The sum of squares is in float64, where squares of float32 are exact, as eight sums of every
 * eighth element: one running sum would wait for each addition. This order is the definition's; all kernel variants and
 * the reference add in it.
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
      const at = x + ((<usize>k) << 2)
      const a = v128.load(at)
      const b = v128.load(at, 16)
      s01 = addSquares(s01, a)
      s23 = addSquares(s23, upperHalf(a))
      s45 = addSquares(s45, b)
      s67 = addSquares(s67, upperHalf(b))
    }
    sum = addLanes(s01, s23, s45, s67)
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

/** sum + the squares of the two lower lanes of `values`. */
function addSquares(sum: v128, values: v128): v128 {
  const wide = f64x2.promote_low_f32x4(values)
  return f64x2.add(sum, f64x2.mul(wide, wide))
}

function upperHalf(values: v128): v128 {
  return i64x2.shuffle(values, values, 1, 1)
}

function addLanes(s01: v128, s23: v128, s45: v128, s67: v128): f64 {
  const s = f64x2.add(f64x2.add(s01, s45), f64x2.add(s23, s67))
  return f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1)
}

/** sqrt(mean of squares + epsilon), rounded to float32 once. */
export function rootMeanSquare(sum: f64, n: i32, epsilon: f64): f32 {
  return <f32>sqrt<f64>(sum / <f64>n + epsilon)
}

/**
 * out = x / sqrt(mean(x^2) + epsilon) * weight, f32 [n]; returns the sum of out[k]^2, which the BitLinear that follows
 * needs for its own norm.
 */
export function rmsNorm(x: usize, n: i32, weight: usize, epsilon: f64, out: usize): f64 {
  const root = rootMeanSquare(sumOfSquares(x, n), n, epsilon)
  if (!ASC_FEATURE_SIMD) {
    for (let k: usize = 0; k < <usize>n; k++) store<f32>(out + (k << 2), normalized(x, weight, k, root))
    return sumOfSquares(out, n)
  }
  const divisor = f32x4.splat(root)
  let s01 = f64x2.splat(0)
  let s23 = f64x2.splat(0)
  let s45 = f64x2.splat(0)
  let s67 = f64x2.splat(0)
  const whole = n & ~7
  let k = 0
  for (; k < whole; k += 8) {
    const at = (<usize>k) << 2
    const a = f32x4.mul(f32x4.div(v128.load(x + at), divisor), v128.load(weight + at))
    const b = f32x4.mul(f32x4.div(v128.load(x + at, 16), divisor), v128.load(weight + at, 16))
    v128.store(out + at, a)
    v128.store(out + at, b, 16)
    s01 = addSquares(s01, a)
    s23 = addSquares(s23, upperHalf(a))
    s45 = addSquares(s45, b)
    s67 = addSquares(s67, upperHalf(b))
  }
  let sum = addLanes(s01, s23, s45, s67)
  for (; k < n; k++) {
    store<f32>(out + ((<usize>k) << 2), normalized(x, weight, k, root))
    sum += square(out + ((<usize>k) << 2))
  }
  return sum
}

function normalized(x: usize, weight: usize, k: usize, root: f32): f32 {
  return (load<f32>(x + (k << 2)) / root) * load<f32>(weight + (k << 2))
}

/** out[k] = x[k] / root, f32 [n]; out may be x. */
export function divideRow(x: usize, n: i32, root: f32, out: usize): void {
  let k = 0
  if (ASC_FEATURE_SIMD) {
    const divisor = f32x4.splat(root)
    for (; k + 4 <= n; k += 4) {
      const at = (<usize>k) << 2
      v128.store(out + at, f32x4.div(v128.load(x + at), divisor))
    }
  }
  for (; k < n; k++) {
    const at = (<usize>k) << 2
    store<f32>(out + at, load<f32>(x + at) / root)
  }
}

/** out[k] = x[k] * weight[k], f32 [n]; returns max(floor, the largest |out[k]|). */
export function weightRow(x: usize, n: i32, weight: usize, out: usize, floor: f32): f32 {
  let largest = floor
  let k = 0
  if (ASC_FEATURE_SIMD) {
    let m0 = f32x4.splat(floor)
    let m1 = m0
    for (; k + 8 <= n; k += 8) {
      const at = (<usize>k) << 2
      const a = f32x4.mul(v128.load(x + at), v128.load(weight + at))
      const b = f32x4.mul(v128.load(x + at, 16), v128.load(weight + at, 16))
      v128.store(out + at, a)
      v128.store(out + at, b, 16)
      // pmax is one instruction, max several. They differ for NaN, which no model of the numeric domain can make here, and
      // for signs of zero, which |x| has not.
      m0 = f32x4.pmax(m0, f32x4.abs(a))
      m1 = f32x4.pmax(m1, f32x4.abs(b))
    }
    m0 = f32x4.pmax(m0, m1)
    largest = max<f32>(
      max<f32>(f32x4.extract_lane(m0, 0), f32x4.extract_lane(m0, 1)),
      max<f32>(f32x4.extract_lane(m0, 2), f32x4.extract_lane(m0, 3)),
    )
  }
  for (; k < n; k++) {
    const value = load<f32>(x + ((<usize>k) << 2)) * load<f32>(weight + ((<usize>k) << 2))
    store<f32>(out + ((<usize>k) << 2), value)
    largest = max<f32>(largest, abs<f32>(value))
  }
  return largest
}
