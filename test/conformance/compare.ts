/** How results of different accuracy are held together. Bit for bit: engine/conformance/compare.ts. */

/**
 * Largest |actual - expected| relative to |expected|, where values far below the row's largest count against
 * `floor` times that one: what cancels to nearly nothing has no relative accuracy.
 */
export function worstRelativeError(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  columns: number,
  floor = 1e-3,
): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY
  let worst = 0
  for (let start = 0; start < expected.length; start += columns) {
    let largest = 0
    for (let i = start; i < start + columns; i++) largest = Math.max(largest, Math.abs(expected[i]))
    for (let i = start; i < start + columns; i++) {
      // Below the smallest normal float32 there is no relative accuracy either.
      const size = Math.max(Math.abs(expected[i]), floor * largest, 1.2e-38)
      const error = Math.abs(actual[i] - expected[i]) / size
      worst = Number.isNaN(error) ? Number.POSITIVE_INFINITY : Math.max(worst, error)
    }
  }
  return worst
}

/** |a - b| / |b| in the Euclidean norm. */
export function relativeL2Error(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0
  let size = 0
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2
    size += expected[i] ** 2
  }
  return Math.sqrt(difference / size)
}

export function argMax(values: ArrayLike<number>): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i
  return best
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
