/**
 * Float tensors as bytes and as float32. F64 is read (rounded to float32), never written. Little-endian hosts only.
 */
import { bf16ArrayToF32, f16ArrayToF32, f32ToBf16, f32ToF16 } from './half.ts'

export type FloatType = 'F32' | 'F16' | 'BF16' | 'F64'

export const FLOAT_BYTES: Record<FloatType, number> = { F32: 4, F16: 2, BF16: 2, F64: 8 }

export const isFloatType = (type: string): type is FloatType => Object.hasOwn(FLOAT_BYTES, type)

/**
 * The first `count` elements of `bytes` as float32. F32 bytes at an aligned address are used in place, not copied.
 * Not checked for finiteness.
 */
export function floatsOfBytes(type: FloatType, bytes: Uint8Array, count: number): Float32Array {
  if (type === 'F32') return new Float32Array(...aligned(bytes, 4), count)
  if (type === 'F64') return Float32Array.from(new Float64Array(...aligned(bytes, 8), count))
  const values = new Float32Array(count)
  const bits = new Uint16Array(...aligned(bytes, 2), count)
  if (type === 'F16') f16ArrayToF32(bits, values)
  else bf16ArrayToF32(bits, values)
  return values
}

/** Buffer and offset at which a typed array of that element size may start: the bytes themselves, or a copy. */
function aligned(bytes: Uint8Array, elementBytes: number): [ArrayBufferLike, number] {
  return bytes.byteOffset % elementBytes === 0 ? [bytes.buffer, bytes.byteOffset] : [new Uint8Array(bytes).buffer, 0]
}

/** Bytes of float32 values in a type, rounded to nearest even. F32 gives a view, not a copy. */
export function bytesOfFloats(type: 'F32' | 'F16' | 'BF16', values: Float32Array): Uint8Array {
  if (type === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  const bits = new Uint16Array(values.length)
  const convert = type === 'F16' ? f32ToF16 : f32ToBf16
  for (let i = 0; i < values.length; i++) bits[i] = convert(values[i]!)
  return new Uint8Array(bits.buffer)
}

/** Index of the first NaN or infinity, or -1. */
export function firstNotFinite(values: Float32Array): number {
  // Only NaN and the infinities do not give zero when taken from themselves.
  for (let i = 0; i < values.length; i++) if (values[i]! - values[i]! !== 0) return i
  return -1
}
