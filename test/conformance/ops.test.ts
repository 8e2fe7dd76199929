/** Every backend's single operations against the reference, over the whole case table. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Backend } from '../../engine/backends/backend.ts'
import type { OpTable } from '../../engine/backends/ops.ts'
import { differenceFromReference, OP_NAMES, RUNNABLE_CASES } from '../../engine/conformance/run-case.ts'
import { BACKENDS, PLAIN_WEBGPU, withWebGpu } from './backends.ts'

// The reference is held against float64 in reference.test.ts.
describe.each([...BACKENDS, ...withWebGpu(PLAIN_WEBGPU)])('operations of $name', ({ create }) => {
  let backend: Backend
  beforeAll(async () => {
    backend = await create()
  })
  afterAll(async () => {
    await backend?.dispose()
  })

  describe.each(OP_NAMES)('%s', op => {
    it.each(RUNNABLE_CASES[op])('$name', async opCase => {
      const flushesDenormals = backend.capabilities.arithmetic === 'flushes-denormals'
      const difference = await differenceFromReference(opCase, backend.ops as OpTable, flushesDenormals)
      expect(difference, 'first difference').toBeNull()
    })
  })
})
