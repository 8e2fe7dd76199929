/**
 * exp, sigmoid and silu in float32, step by step as reference/exp.ts defines them: the same order, no fused
 * multiply-add, so that every lane equals the reference bit for bit.
 */
import { EXP_CONSTANTS } from './memory-layout'

const EXP_LIMIT: f32 = 87
/** log2(e), rounded to float32. */
const LOG2_E: f32 = 1.4426950216293335
/** 1.5 x 2^23: adding it rounds to a whole number, ties to even. */
const ROUNDING: f32 = 12582912
const LN2_HIGH: f32 = 0.693359375
const LN2_LOW: f32 = -2.1219444e-4
const P0: f32 = 1.98756915e-4
const P1: f32 = 1.3981999507e-3
const P2: f32 = 8.3334519073e-3
const P3: f32 = 4.1665795894e-2
const P4: f32 = 1.6666665459e-1
const P5: f32 = 5.0000001201e-1

function exp(x: f32): f32 {
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

/**
 * The constants above, once in every lane of a vector: the compiler of the host would rebuild a constant in every turn of a
 * loop, a load costs next to nothing.
 */
export function writeExpConstants(): void {
  const zero: usize = EXP_CONSTANTS
  splat(zero, -EXP_LIMIT)
  splat(zero + 16, EXP_LIMIT)
  splat(zero + 32, LOG2_E)
  splat(zero + 48, ROUNDING)
  splat(zero + 64, LN2_HIGH)
  splat(zero + 80, LN2_LOW)
  splat(zero + 96, P0)
  splat(zero + 112, P1)
  splat(zero + 128, P2)
  splat(zero + 144, P3)
  splat(zero + 160, P4)
  splat(zero + 176, P5)
  splat(zero + 192, 1)
}

function splat(at: usize, value: f32): void {
  for (let lane: usize = 0; lane < 16; lane += 4) store<f32>(at + lane, value)
}

function one4(): v128 {
  return v128.load(EXP_CONSTANTS, 192)
}

/** pmax and pmin are one instruction each and let a NaN in their first operand through, as max and min do. */
function exp4(x: v128): v128 {
  const limited = f32x4.pmin(f32x4.pmax(x, v128.load(EXP_CONSTANTS)), v128.load(EXP_CONSTANTS, 16))
  // n in the low bits of the sum: 2^n is those bits moved to the exponent's place.
  const sum = f32x4.add(f32x4.mul(limited, v128.load(EXP_CONSTANTS, 32)), v128.load(EXP_CONSTANTS, 48))
  const n = f32x4.sub(sum, v128.load(EXP_CONSTANTS, 48))
  const high = f32x4.sub(limited, f32x4.mul(n, v128.load(EXP_CONSTANTS, 64)))
  const r = f32x4.sub(high, f32x4.mul(n, v128.load(EXP_CONSTANTS, 80)))
  let p = v128.load(EXP_CONSTANTS, 96)
  p = f32x4.add(f32x4.mul(p, r), v128.load(EXP_CONSTANTS, 112))
  p = f32x4.add(f32x4.mul(p, r), v128.load(EXP_CONSTANTS, 128))
  p = f32x4.add(f32x4.mul(p, r), v128.load(EXP_CONSTANTS, 144))
  p = f32x4.add(f32x4.mul(p, r), v128.load(EXP_CONSTANTS, 160))
  p = f32x4.add(f32x4.mul(p, r), v128.load(EXP_CONSTANTS, 176))
  const e = f32x4.add(f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), r), one4())
  // The bits of 1 are an exponent of 0.
  return f32x4.mul(e, i32x4.add(i32x4.shl(sum, 23), one4()))
}

export function sigmoid4(x: v128): v128 {
  return f32x4.div(one4(), f32x4.add(one4(), exp4(f32x4.neg(x))))
}

export function silu4(x: v128): v128 {
  return f32x4.mul(x, sigmoid4(x))
}
