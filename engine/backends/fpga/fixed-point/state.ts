/** States and hidden values between the device's integers and float32: one stated rounding each. */
import { EngineError } from '../../../errors.ts'
import { saturate } from './arithmetic.ts'

/** Of h: s28.16. */
const STATE_FRACTION = 16
const STATE_BITS = 28

/** Half up, clamped to +-2048. Throws `state-corrupt` for what is no finite number. */
export function stateFromFloat(values: Float32Array): Int32Array {
  return Int32Array.from(values, value => {
    if (Number.isFinite(value)) return saturate(Math.floor(value * 2 ** STATE_FRACTION + 0.5), STATE_BITS)
    throw new EngineError('state-corrupt', 'This state holds a value that is not a finite number.', {
      actual: String(value),
      remedy: 'Use another copy, or read the conversation again.',
    })
  })
}

/** Exact up to 256 in magnitude, above that one rounding to the nearest even. */
export const stateToFloat = (state: Int32Array): Float32Array => Float32Array.from(state, h => h / 2 ** STATE_FRACTION)

/** An embedding [D] as the residual: s32 with `fraction` bits after the point, half up. */
export const residualFromFloat = (embedding: Float32Array, fraction: number): Int32Array =>
  Int32Array.from(embedding, value => saturate(Math.floor(value * 2 ** fraction + 0.5), 32))

/** The residual as the hidden state [D] before the last norm: exact below 2^24 units. */
export const residualToFloat = (x: Int32Array, fraction: number): Float32Array =>
  Float32Array.from(x, value => value / 2 ** fraction)
