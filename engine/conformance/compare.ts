/** How results are held together, bit for bit. */

/** Index of the first byte that differs, or -1; lengths must agree. Zero and minus zero are different bits. */
export function firstBitDifference(actual: ArrayBufferView, expected: ArrayBufferView): number {
  if (actual.byteLength !== expected.byteLength) return Math.min(actual.byteLength, expected.byteLength)
  const a = new Uint8Array(actual.buffer, actual.byteOffset, actual.byteLength)
  const b = new Uint8Array(expected.buffer, expected.byteOffset, expected.byteLength)
  return a.findIndex((byte, i) => byte !== b[i])
}

/**
 * What becomes of a denormal that counts as zero: RMSNorm divides it by the root of its epsilon, at least 1e-3, and
 * multiplies it by a weight of about 1.
 */
const FLUSHED = 2 ** -115

/** Index of the first element that differs by more than denormals can have caused, or -1: equality bit for bit for the rest. */
export function firstNormalDifference(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length) return Math.min(actual.length, expected.length)
  return actual.findIndex((value, i) => !(value === expected[i] || Math.abs(value - expected[i]) <= FLUSHED))
}
