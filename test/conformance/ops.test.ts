/** Every backend's single operations against the reference, over the whole case table. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Backend } from '../../engine/backends/backend.ts'
import { referenceOps as reference } from '../../engine/backends/reference/ops.ts'
import { BACKENDS } from './backends.ts'
import { OP_CASES } from './cases.ts'
import { firstBitDifference, firstNormalDifference } from './compare.ts'

// The reference is held against float64 in reference.test.ts; here it only shows that the table runs.
describe.each(BACKENDS)('operations of $name', ({ create, flushesDenormals }) => {
  let backend: Backend
  beforeAll(async () => {
    backend = await create()
  })
  afterAll(async () => {
    await backend.dispose()
  })

  const compareFloats = (actual: Float32Array, expected: Float32Array): void => {
    const first = flushesDenormals ? firstNormalDifference(actual, expected) : firstBitDifference(actual, expected)
    expect(first, 'first difference').toBe(-1)
  }

  it.each(OP_CASES.rmsNorm)('$name', async ({ make }) => {
    const args = make()
    compareFloats(await backend.ops.rmsNorm(...args), reference.rmsNorm(...args))
  })

  it.each(OP_CASES.absmaxQuantize)('$name', async ({ make }) => {
    const args = make()
    const actual = await backend.ops.absmaxQuantize(...args)
    const expected = reference.absmaxQuantize(...args)
    compareFloats(actual.scales, expected.scales)
    expect(firstBitDifference(actual.q, expected.q), 'first differing q').toBe(-1)
  })

  it.each(OP_CASES.ternaryMatmul)('$name', async ({ make }) => {
    const args = make()
    const actual = await backend.ops.ternaryMatmul(...args)
    expect(firstBitDifference(actual, reference.ternaryMatmul(...args)), 'first differing byte').toBe(-1)
  })

  it.each(OP_CASES.bitLinear)('$name', async ({ make }) => {
    const args = make()
    compareFloats(await backend.ops.bitLinear(...args), reference.bitLinear(...args))
  })

  it.each(OP_CASES.mlgru)('$name', async ({ make }) => {
    const [input] = make()
    compareFloats(await backend.ops.mlgru(input), reference.mlgru(input))
  })

  it.each(OP_CASES.mlgruOutput)('$name', async ({ make }) => {
    const args = make()
    compareFloats(await backend.ops.mlgruOutput(...args), reference.mlgruOutput(...args))
  })

  it.each(OP_CASES.glu)('$name', async ({ make }) => {
    const args = make()
    compareFloats(await backend.ops.glu(...args), reference.glu(...args))
  })
})
