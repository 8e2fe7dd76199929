/** How the reference rounds: the definition's float32, and what a graphics processor may make of it. */

export interface Arithmetic {
  /** The result of one operation on float32 numbers, computed in float64, as float32. */
  round(value: number): number
  /** Units in the last place by which the root of RMSNorm is off. */
  rootUlps: -1 | 0 | 1
}

/** docs/model-format.md: float32, round to nearest even, denormals as they are. */
export const DEFINITION: Arithmetic = { round: Math.fround, rootUlps: 0 }

const MIN_NORMAL = 2 ** -126

/** Denormal results, and so the operands made of them, are zero: what WGSL allows. */
export const flushToZero = (value: number): number => {
  const rounded = Math.fround(value)
  return Math.abs(rounded) < MIN_NORMAL ? rounded * 0 : rounded
}

/** The float32 next to a positive one, by its bits. */
export function neighbour(value: number, ulps: number): number {
  BITS.setFloat32(0, value)
  BITS.setUint32(0, BITS.getUint32(0) + ulps)
  return BITS.getFloat32(0)
}
const BITS = new DataView(new ArrayBuffer(4))
