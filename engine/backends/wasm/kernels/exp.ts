/**
 * exp, sigmoid and silu in float32, step by step as reference/exp.ts defines them: the same order, no fused
 * multiply-add, so that every lane equals the reference bit for bit.
 */
const EXP_LIMIT: f32 = 87
/** log2(e), rounded to float32. */
const LOG2_E: f32 = 1.4426950216293335
const LN2_HIGH: f32 = 0.693359375
const LN2_LOW: f32 = -2.1219444e-4
const P0: f32 = 1.98756915e-4
const P1: f32 = 1.3981999507e-3
const P2: f32 = 8.3334519073e-3
const P3: f32 = 4.1665795894e-2
const P4: f32 = 1.6666665459e-1
const P5: f32 = 5.0000001201e-1

export function exp(x: f32): f32 {
  const limited = min<f32>(max<f32>(x, -EXP_LIMIT), EXP_LIMIT)
  const n = nearest<f32>(limited * LOG2_E)
  const r = limited - n * LN2_HIGH - n * LN2_LOW
  let p = P0
  p = p * r + P1
  p = p * r + P2
  p = p * r + P3
  p = p * r + P4
  p = p * r + P5
  const e = p * (r * r) + r + <f32>1
  return e * reinterpret<f32>((<i32>n + 127) << 23)
}

export function sigmoid(x: f32): f32 {
  return <f32>1 / (<f32>1 + exp(-x))
}

export function silu(x: f32): f32 {
  return x * sigmoid(x)
}

function multiplyAdd(a: v128, b: v128, c: f32): v128 {
  return f32x4.add(f32x4.mul(a, b), f32x4.splat(c))
}

function exp4(x: v128): v128 {
  const limited = f32x4.min(f32x4.max(x, f32x4.splat(-EXP_LIMIT)), f32x4.splat(EXP_LIMIT))
  const n = f32x4.nearest(f32x4.mul(limited, f32x4.splat(LOG2_E)))
  const r = f32x4.sub(f32x4.sub(limited, f32x4.mul(n, f32x4.splat(LN2_HIGH))), f32x4.mul(n, f32x4.splat(LN2_LOW)))
  let p = f32x4.splat(P0)
  p = multiplyAdd(p, r, P1)
  p = multiplyAdd(p, r, P2)
  p = multiplyAdd(p, r, P3)
  p = multiplyAdd(p, r, P4)
  p = multiplyAdd(p, r, P5)
  const e = f32x4.add(f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), r), f32x4.splat(1))
  return f32x4.mul(e, i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23))
}

export function sigmoid4(x: v128): v128 {
  const one = f32x4.splat(1)
  return f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(x))))
}

export function silu4(x: v128): v128 {
  return f32x4.mul(x, sigmoid4(x))
}
