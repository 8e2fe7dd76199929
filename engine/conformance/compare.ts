/** How results are held together, bit for bit. */

/** Index of the first byte that differs, or -1; lengths must agree. Zero and minus zero are different bits. */
export function firstBitDifference(actual: ArrayBufferView, expected: ArrayBufferView): number {
  if (actual.byteLength !== expected.byteLength) return Math.min(actual.byteLength, expected.byteLength)
  const a = new Uint8Array(actual.buffer, actual.byteOffset, actual.byteLength)
  const b = new Uint8Array(expected.buffer, expected.byteOffset, expected.byteLength)
  return a.findIndex((byte, i) => byte !== b[i])
}

/**
 * Index of the first element that differs by more than the smallest normal float32, or -1: equality bit for bit for all but
 * denormals.
 */
export function firstNormalDifference(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length) return Math.min(actual.length, expected.length)
  return actual.findIndex((value, i) => !(value === expected[i] || Math.abs(value - expected[i]) <= 2 ** -126))
}
