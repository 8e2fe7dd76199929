/**
 * Conversions between float32 and the two 16-bit float formats of checkpoints: IEEE binary16 (F16) and bfloat16 (BF16).
 * Bits in, bits out; nothing about files. Little-endian hosts only, as everywhere in engine/formats.
 */

const floatView = new Float32Array(1)
const bitsView = new Uint32Array(floatView.buffer)

/** Every binary16 value as float32, by its bits: 256 KiB, made on first use. */
let halfTable: Float32Array | null = null

function makeHalfTable(): Float32Array {
  const table = new Float32Array(1 << 16)
  for (let bits = 0; bits < 1 << 16; bits++) {
    const sign = bits & 0x8000 ? -1 : 1
    const exponent = (bits >> 10) & 0x1f
    const mantissa = bits & 0x3ff
    if (exponent === 0x1f) table[bits] = mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY
    else if (exponent === 0) table[bits] = sign * mantissa * 2 ** -24
    else table[bits] = sign * (1024 + mantissa) * 2 ** (exponent - 25)
  }
  return table
}

/** float32 of one binary16. */
export function f16ToF32(bits: number): number {
  halfTable ??= makeHalfTable()
  return halfTable[bits & 0xffff]!
}

/** binary16 bits of a number, rounded to nearest, ties to even; overflow gives infinity, NaN stays NaN. */
export function f32ToF16(value: number): number {
  floatView[0] = value
  const bits = bitsView[0]!
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00
  // 65520 lies halfway between the largest binary16 and the next power of two: it and all above round to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00
  if (magnitude < 0x38800000) {
    // Subnormal in binary16: a whole number of steps of 2^-24. The sum rounds to even in float32 by itself.
    floatView[0] = Math.abs(value) + 0.5
    return sign | (bitsView[0]! - 0x3f000000)
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1)
  return sign | ((rounded - 0x38000000) >>> 13)
}

/** float32 of one bfloat16. */
export function bf16ToF32(bits: number): number {
  bitsView[0] = bits << 16
  return floatView[0]!
}

/** bfloat16 bits of a number, rounded to nearest, ties to even; NaN stays NaN. */
export function f32ToBf16(value: number): number {
  floatView[0] = value
  const bits = bitsView[0]!
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}

/** Fills `out` from as many binary16 values. */
export function f16ArrayToF32(bits: Uint16Array, out: Float32Array): void {
  halfTable ??= makeHalfTable()
  for (let i = 0; i < bits.length; i++) out[i] = halfTable[bits[i]!]!
}

/** Fills `out` from as many bfloat16 values. */
export function bf16ArrayToF32(bits: Uint16Array, out: Float32Array): void {
  const outBits = new Uint32Array(out.buffer, out.byteOffset, out.length)
  for (let i = 0; i < bits.length; i++) outBits[i] = bits[i]! << 16
}
