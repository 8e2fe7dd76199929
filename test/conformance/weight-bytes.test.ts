/** What a plan or a report says of the weights' bytes is what their loading takes, to the byte. */
import { describe, expect, it } from 'vitest'
import { readWeights, weightBytesOf as referenceBytes } from '../../engine/backends/reference/weights.ts'
import { createMemory, instantiate } from '../../engine/backends/wasm/kernels.ts'
import { loadWeights } from '../../engine/backends/wasm/load.ts'
import { planModelMemory } from '../../engine/backends/wasm/model-memory.ts'
import { chooseKernels } from '../../engine/backends/wasm/self-test.ts'
import { weightBytesOf as webGpuBytes } from '../../engine/backends/webgpu/weights.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { readKernels } from '../wasm-backend.ts'
import { WEBGPU, withWebGpu } from './backends.ts'
import { randomModel } from './random-model.ts'

const MODELS = [
  ['sizes that nothing divides', randomModel({ seed: 1 })],
  ['no lower bounds', randomModel({ seed: 2, config: { useLowerBound: false } })],
  ['one layer', randomModel({ seed: 3, config: { layerCount: 1 } })],
  ['a state wider than the model', randomModel({ seed: 4, config: { stateWidth: 66 } })],
  ['TQ1_0 and binary16', randomModel({ seed: 5, packing: 'TQ1_0', embeddingType: 'F16' })],
  ['Q8_0', randomModel({ seed: 6, config: { hiddenSize: 64, stateWidth: 64 }, embeddingType: 'Q8_0' })],
] as const

/** Of all arrays that hang on a value, each once. */
function bytesWithin(value: unknown): number {
  if (ArrayBuffer.isView(value)) return value.byteLength
  if (typeof value !== 'object' || value === null) return 0
  return Object.values(value).reduce((sum: number, part) => sum + bytesWithin(part), 0)
}

describe.each(MODELS)('%s', (_, model) => {
  it('reference', async () => {
    expect(referenceBytes(model.config)).toBe(bytesWithin(await readWeights(model)))
  })

  it('wasm', async () => {
    const { module, variant } = chooseKernels(await readKernels(), 'simd', nodeEngineEnvironment.clock)
    const plan = planModelMemory(model, 1)
    const memory = createMemory(plan.totalBytes, 1, variant)
    await loadWeights(model, memory, instantiate(module, memory), plan, {})
    expect(plan.weights.end).toBe(plan.weightBytes)
    expect(plan.scratch.start).toBe(plan.weightBytes)
  })

  it.each(withWebGpu(WEBGPU))('$name', async ({ create }) => {
    const backend = await create()
    try {
      const runner = await backend.load(model)
      expect(runner.memory().weightBytes).toBe(webGpuBytes(model))
    } finally {
      await backend.dispose()
    }
  })
})
