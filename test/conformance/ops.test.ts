/** Every backend's single operations against the reference, over the whole case table. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Backend } from '../../engine/backends/backend.ts'
import type { OpTable } from '../../engine/backends/ops.ts'
import { appliesTo, differenceFromReference, OP_NAMES, RUNNABLE_CASES } from '../../engine/conformance/run-case.ts'
import { BACKENDS, PLAIN_WEBGPU, withWebGpu } from './backends.ts'

// The reference is held against float64 in reference.test.ts.
describe.each([...BACKENDS, ...withWebGpu(PLAIN_WEBGPU)])('operations of $name', ({ name, create }) => {
  // Known before there is a backend to ask; the first test holds it against what that says.
  const arithmetic = name.startsWith('webgpu') ? 'flushes-denormals' : 'definition'
  let backend: Backend
  beforeAll(async () => {
    backend = await create()
  })
  afterAll(async () => {
    await backend?.dispose()
  })

  it('are in the arithmetic that it tells', () => {
    expect(backend.capabilities.arithmetic).toBe(arithmetic)
  })

  describe.each(OP_NAMES)('%s', op => {
    it.each(RUNNABLE_CASES[op].filter(opCase => appliesTo(opCase, arithmetic)))('$name', async opCase => {
      const difference = await differenceFromReference(opCase, backend.ops as OpTable, arithmetic)
      expect(difference, 'first difference').toBeNull()
    })
  })
})
