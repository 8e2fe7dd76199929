/** The reference's single operations against float64 and against numbers worked out by hand. */
import { describe, expect, it } from 'vitest'
import { exp, roundHalfEven, sigmoid, silu } from '../../engine/backends/reference/exp.ts'
import { referenceOps as reference } from '../../engine/backends/reference/ops.ts'
import { OP_CASES } from '../../engine/conformance/cases.ts'
import { lowerBounds } from '../../engine/model/lower-bounds.ts'
import { createRandom } from '../../engine/seeded-random.ts'
import { worstRelativeError } from './compare.ts'
import * as float64 from './float64.ts'

const TOLERANCE = 1e-6

/** Float64 holds products that float32 does not; beyond the numeric domain they differ. */
const finite = <C extends { isBeyondDomain: boolean }>(cases: C[]): C[] =>
  cases.filter(({ isBeyondDomain }) => !isBeyondDomain)

describe('reference against float64', () => {
  it.each(OP_CASES.rmsNorm)('$name', ({ make }) => {
    const [x, weight, epsilon] = make()
    const error = worstRelativeError(
      reference.rmsNorm(x, weight, epsilon),
      float64.rmsNorm(x, weight, epsilon),
      weight.length,
    )
    expect(error).toBeLessThan(TOLERANCE)
  })

  it.each(OP_CASES.absmaxQuantize)('$name', ({ make }) => {
    const [y, columns] = make()
    const { q, scales } = reference.absmaxQuantize(y, columns)
    const { scaled, scales: expectedScales } = float64.absmaxScale(y, columns)
    expect(worstRelativeError(scales, expectedScales, 1)).toBeLessThan(TOLERANCE)
    // Rounded to nearest, with a little room for y * s in float32.
    for (const [i, value] of q.entries()) expect(Math.abs(value - scaled[i])).toBeLessThanOrEqual(0.5 + 1e-4)
  })

  it.each(OP_CASES.ternaryMatmul)('$name', ({ make }) => {
    const [q, matrix] = make()
    expect(Array.from(reference.ternaryMatmul(q, matrix))).toEqual(float64.ternaryMatmul(q, matrix))
  })

  it.each(OP_CASES.bitLinear)('$name', ({ make }) => {
    const [x, weights] = make()
    const y = reference.rmsNorm(x, weights.inNorm, 1e-6)
    const expected = float64.dequantizedProduct(reference.absmaxQuantize(y, weights.matrix.columns), weights)
    const error = worstRelativeError(reference.bitLinear(x, weights), expected, weights.matrix.rows)
    expect(error).toBeLessThan(TOLERANCE)
  })

  it.each(OP_CASES.mlgru)('$name', ({ make }) => {
    const [input] = make()
    const before = input.state.slice()
    // 1 - f cancels where f is nearly 1: relative to the largest channel, as all that follows is.
    const error = worstRelativeError(reference.mlgru(input), float64.mlgru(input), input.state.length, 1)
    expect(error).toBeLessThan(TOLERANCE)
    expect(input.state).toEqual(before)
  })

  it.each(finite(OP_CASES.mlgruOutput))('$name', ({ make }) => {
    const [g, h, outNorm, epsilon] = make()
    const expected = float64.mlgruOutput(g, h, outNorm, epsilon)
    const error = worstRelativeError(reference.mlgruOutput(g, h, outNorm, epsilon), expected, outNorm.length)
    expect(error).toBeLessThan(TOLERANCE)
  })

  it.each(finite(OP_CASES.glu))('$name', ({ make }) => {
    const [gateUp, intermediateSize] = make()
    const expected = float64.glu(gateUp, intermediateSize)
    expect(worstRelativeError(reference.glu(gateUp, intermediateSize), expected, intermediateSize)).toBeLessThan(
      TOLERANCE,
    )
  })

  it('RMSNorm adds squares in eight sums: rows whose root is decided by that order', () => {
    const roots = OP_CASES.rmsNorm
      .filter(({ name }) => name.includes('tied root'))
      .map(({ make }) => {
        const [x, weight, epsilon] = make()
        return reference.rmsNorm(x, weight, epsilon)[0]
      })
    // One sum after another gives 0.66885912 for the first; the other two are an ulp from the neighbour as well.
    expect(roots[0]).toBe(Math.fround(0.66885918))
    const sequential = OP_CASES.rmsNorm
      .filter(({ name }) => name.includes('tied root'))
      .map(({ make }) => {
        const [x, , epsilon] = make()
        const sum = x.reduce((total, value) => total + value * value, 0)
        return Math.fround(x[0] / Math.fround(Math.sqrt(sum / x.length + epsilon)))
      })
    expect(roots.map((root, i) => root === sequential[i])).toEqual([false, false, false])
  })

  it('exp, over its whole range', () => {
    const random = createRandom(0xe4b)
    let worst = 0
    for (let i = 0; i < 200_000; i++) {
      const x = Math.fround((2 * random() - 1) * 87)
      worst = Math.max(worst, Math.abs(exp(x) / Math.exp(x) - 1))
    }
    expect(worst).toBeLessThan(1e-7)
  })
})

describe('reference by hand', () => {
  it('rounds ties to even', () => {
    expect([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, -127.5].map(x => roundHalfEven(x) + 0)).toEqual([
      0, 2, 2, 0, -2, -2, 126, -128,
    ])
    const { q, scales } = reference.absmaxQuantize(Float32Array.of(127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5), 7)
    expect([...q]).toEqual([127, 0, 2, 2, 0, -2, -2])
    expect([...scales]).toEqual([1])
  })

  it('quantises each token by its own largest magnitude, and counts less than 1e-5 as nothing', () => {
    const { q, scales } = reference.absmaxQuantize(Float32Array.of(-2, 1, 0, 1e-6, -1e-6, 0), 3)
    expect([...q]).toEqual([-127, 64, 0, 13, -13, 0])
    expect(scales[0]).toBe(63.5)
    expect(scales[1]).toBeCloseTo(12_700_000, -1)
  })

  it('normalises by the root of the mean square', () => {
    expect([...reference.rmsNorm(Float32Array.of(3, 4, 0, 0), Float32Array.of(1, 1, 1, 2), 0)]).toEqual([
      Math.fround(1.2),
      Math.fround(1.6),
      0,
      0,
    ])
    expect([...reference.rmsNorm(new Float32Array(3), Float32Array.of(1, 1, 1), 1e-6)]).toEqual([0, 0, 0])
  })

  it('multiplies with -1, 0 and +1', () => {
    const matrix = { rows: 2, columns: 3, codes: Int8Array.of(1, 0, -1, 1, 1, 1), scale: 1 }
    expect([...reference.ternaryMatmul(Int8Array.of(-128, 5, 127, 1, 2, 3), matrix)]).toEqual([-255, 4, -2, 6])
  })

  it('multiplies with the weight scale and divides by the activation scale', () => {
    // Mean square 1, so y = x = [1, -1]: s = 127, q = [127, -127]; sums 254 and 127; m / s = 0.5 / 127.
    const weights = {
      matrix: { rows: 2, columns: 2, codes: Int8Array.of(1, -1, 1, 0), scale: 0.5 },
      inNorm: Float32Array.of(1, 1),
    }
    const out = reference.bitLinear(Float32Array.of(1, -1), weights)
    expect(out[0]).toBeCloseTo(1, 5)
    expect(out[1]).toBeCloseTo(0.5, 5)
  })

  it('lets an open gate keep the state and a shut one take the input', () => {
    const input = Float32Array.of(1, 1)
    const forget = Float32Array.of(100, -100)
    const h = reference.mlgru({ input, forget, lowerBound: null, state: Float32Array.of(5, 5) })
    expect(h[0]).toBe(5)
    expect(h[1]).toBeCloseTo(1 / (1 + Math.exp(-1)), 6)
    const bounded = reference.mlgru({
      input,
      forget,
      lowerBound: Float32Array.of(0.5, 0.5),
      state: Float32Array.of(4, 4),
    })
    expect(bounded[1]).toBeCloseTo(2 + 0.5 / (1 + Math.exp(-1)), 6)
  })

  it('never makes NaN of a large number', () => {
    for (const x of [-3e38, -1e30, -88, 88, 1e30, 3e38]) {
      expect(Number.isFinite(exp(x)) && Number.isFinite(sigmoid(x)) && Number.isFinite(silu(x)), String(x)).toBe(true)
    }
    expect(sigmoid(1e30)).toBe(1)
    expect(silu(200)).toBe(200)
    expect(exp(0)).toBe(1)
    expect(Number.isNaN(exp(Number.NaN))).toBe(true)
  })

  it('derives lower bounds from a softmax over layers', () => {
    const raw = Float32Array.of(0, 0, 0, Math.log(2), 0, Math.log(5))
    const [first, second, third] = lowerBounds(raw, 3, 2)
    expect(first).toBeNull()
    // Channel 0: 1/3 each. Channel 1: 1/8, 2/8, 5/8.
    expect(second![0]).toBeCloseTo(1 / 3, 6)
    expect(second![1]).toBeCloseTo(2 / 8, 6)
    expect(third![0]).toBeCloseTo(2 / 3, 6)
    expect(third![1]).toBeCloseTo(7 / 8, 6)
    expect(lowerBounds(null, 3, 2)).toEqual([null, null, null])
  })
})
