/** How results are held together, bit for bit. */

/** Index of the first byte that differs, or -1; lengths must agree. Zero and minus zero are different bits. */
export function firstBitDifference(actual: ArrayBufferView, expected: ArrayBufferView): number {
  if (actual.byteLength !== expected.byteLength) return Math.min(actual.byteLength, expected.byteLength)
  const a = new Uint8Array(actual.buffer, actual.byteOffset, actual.byteLength)
  const b = new Uint8Array(expected.buffer, expected.byteOffset, expected.byteLength)
  return a.findIndex((byte, i) => byte !== b[i])
}

export type OpResult = Float32Array | Int32Array | Int8Array

/** Index of the first element that differs, or -1. NaN is NaN, whatever its bits: no arithmetic defines them. */
export const firstDifference = (actual: OpResult, expected: OpResult): number =>
  firstUnlike(actual, expected, (a, b) => Object.is(a, b))

const MIN_NORMAL = 2 ** -126
/**
 * A graphics processor's quotients are corrected by their residual, which is 24 to 36 bits smaller. Below this it is a denormal
 * number, may be lost, and the quotient may be one unit in the last place off; products carry that on.
 */
const TINY = 2 ** -90
const TINY_ERROR = 2 ** -21

/** As firstDifference, where denormals may count as zero, zero may lose its sign, and tiny numbers their last two bits. */
export const firstNormalDifference = (actual: OpResult, expected: OpResult): number =>
  firstUnlike(actual, expected, (a, b) => {
    if (a === b || Object.is(a, b)) return true
    return Math.abs(b) < TINY && Math.abs(a - b) <= Math.max(MIN_NORMAL, TINY_ERROR * Math.abs(b))
  })

function firstUnlike(actual: OpResult, expected: OpResult, isLike: (a: number, b: number) => boolean): number {
  if (actual.length !== expected.length) return Math.min(actual.length, expected.length)
  return actual.findIndex((value, i) => !isLike(value, expected[i]))
}
