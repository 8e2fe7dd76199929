/**
 * A last norm that holds a value which is not finite is refused by each backend itself, not only by the check of the numeric
 * domain that stands before them.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Backend } from '../../engine/backends/backend.ts'
import type { GgufModel } from '../../engine/formats/gguf.ts'
import { headTensors } from '../../engine/model/tensors.ts'
import { BACKENDS, FUNCTIONAL_FPGA, REFERENCE } from './backends.ts'
import { randomModel } from './random-model.ts'

const VALUES = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]

/** The last norm holds `value` at one element. */
function damagedModel(value: number, element: number): GgufModel {
  const model = randomModel({ seed: 7 })
  const { name: damaged } = headTensors(model.config).outputNorm
  return {
    ...model,
    readTensor: async (name, offset = 0, length) => {
      const bytes = await model.readTensor(name)
      if (name === damaged) new DataView(bytes.buffer, bytes.byteOffset).setFloat32(4 * element, value, true)
      return bytes.slice(offset, length === undefined ? undefined : offset + length)
    },
  }
}

describe.each([...BACKENDS, REFERENCE, FUNCTIONAL_FPGA])('a last norm on $name', ({ create }) => {
  let backend: Backend
  beforeAll(async () => {
    backend = await create()
  })
  afterAll(async () => {
    await backend?.dispose()
  })

  // The first element stands in a whole vector, the last in the rest of a row of 33.
  it.each(VALUES.flatMap(value => [0, 32].map(element => ({ value, element }))))(
    'with $value at element $element is refused',
    async ({ value, element }) => {
      await expect(backend.load(damagedModel(value, element))).rejects.toMatchObject({
        code: 'tensor-not-finite',
        message: expect.stringContaining('output_norm.weight'),
        actual: `${value} at element ${element}`,
      })
    },
  )

  it('is taken when its numbers are finite', async () => {
    const runner = await backend.load(damagedModel(1, 32))
    await runner.dispose()
  })
})
