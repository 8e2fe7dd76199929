/** The numeric domain: what no admitted model can compute, and files that are refused for it. */
import { describe, expect, it } from 'vitest'
import { toErrorData } from '../../contract/errors.ts'
import { createReferenceBackend } from '../../engine/backends/reference/backend.ts'
import { loadModel } from '../../engine/engine.ts'
import type { GgufModel } from '../../engine/formats/gguf.ts'
import { openGguf } from '../../engine/formats/gguf.ts'
import { checkNumericDomain } from '../../engine/formats/numeric-magnitudes.ts'
import type { ModelConfig } from '../../engine/model/config.ts'
import { checkStateDomain, MAX_MAGNITUDE } from '../../engine/model/numeric-domain.ts'
import { EMBEDDING } from '../../engine/model/tensors.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { fileSource } from '../byte-sources.ts'
import { randomModel } from '../conformance/random-model.ts'
import { convertTinyCase, EMBEDDED_MODEL, TINY_CASES } from '../golden/golden-data.ts'
import { createTestWasmBackend } from '../wasm-backend.ts'

const WIDTH = { hiddenSize: 64, stateWidth: 64 }

/** A model with some of its float tensors changed; `change` gets a copy of the values. */
function changed(
  change: (name: string, values: Float32Array) => void,
  config: Partial<ModelConfig> = WIDTH,
): GgufModel {
  const model = randomModel({ seed: 7, config })
  return {
    ...model,
    config: { ...model.config, ...config },
    async readTensor(name, offset = 0, length) {
      const info = model.tensor(name)
      const bytes = await model.readTensor(name)
      if (info.type === 'F32') change(name, new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4))
      return bytes.slice(offset, length === undefined ? undefined : offset + length)
    },
  }
}
const setAll = (wanted: (name: string) => boolean, value: number) => (name: string, values: Float32Array) => {
  if (wanted(name)) values.fill(value)
}

describe('models that are refused', () => {
  const cases: [string, GgufModel, string][] = [
    ['all scales of the GLU at 1e36', changed(setAll(name => /glu.*\.scale$/.test(name), 1e36)), 'blk.0.glu_gate_up'],
    ['all scales at 1e30', changed(setAll(name => name.endsWith('.scale'), 1e30)), 'blk.0.mlgru_i'],
    ['one output scale at 1e38', changed(setAll(name => name === 'blk.0.mlgru_o.scale', 1e38)), 'blk.0.mlgru_o'],
    [
      'one weight of a norm at 3e38',
      changed((name, values) => {
        if (name === 'blk.0.mlgru_norm.weight') values[0] = 3e38
      }),
      'blk.0.mlgru_norm',
    ],
    ['the last norm at 3e38', changed(setAll(name => name === 'output_norm.weight', 3e38)), 'output_norm'],
    ['a negative one too', changed(setAll(name => name === 'output_norm.weight', -3e38)), 'output_norm'],
    [
      'a column of the embedding at 3e38',
      changed((name, values) => {
        if (name !== EMBEDDING) return
        for (let row = 0; row < values.length; row += WIDTH.hiddenSize) values[row] = 3e38
      }),
      'embedding',
    ],
    [
      'an input norm at 1e20',
      changed(setAll(name => name === 'blk.2.glu_down_in_norm.weight', 1e20)),
      'blk.2.glu_down',
    ],
    ['epsilon 0', changed(() => {}, { ...WIDTH, rmsNormEpsilon: 0 }), 'epsilon'],
    ['epsilon 1e-13', changed(() => {}, { ...WIDTH, rmsNormEpsilon: 1e-13 }), 'epsilon'],
    ['epsilon NaN', changed(() => {}, { ...WIDTH, rmsNormEpsilon: Number.NaN }), 'epsilon'],
    ['epsilon 1', changed(() => {}, { ...WIDTH, rmsNormEpsilon: 1 }), 'epsilon'],
  ]
  it.each(cases)('%s', async (_, model, place) => {
    const error = toErrorData(await checkNumericDomain(model).catch((thrown: unknown) => thrown))
    expect(error).toMatchObject({ code: 'format-invalid', remedy: expect.any(String) })
    expect(error.message).toContain(place)
    // On every backend alike: before any of them sees it.
    for (const backend of [createReferenceBackend(), await createTestWasmBackend({ threads: 1 })]) {
      await expect(loadModel(model, backend, nodeEngineEnvironment)).rejects.toMatchObject({ code: 'format-invalid' })
      await backend.dispose()
    }
  })

  it('the shipped model with flipped bits in a norm', async () => {
    const source = await fileSource(EMBEDDED_MODEL)
    const file = await openGguf(source)
    const damaged: GgufModel = {
      ...file,
      readTensor: async (name, offset, length, into) => {
        const bytes = (await file.readTensor(name, offset, length, into)).slice()
        if (name === 'output_norm.weight') for (let i = 0; i < 24; i++) bytes[4 * 32 * i + 3] ^= 0x40
        return bytes
      },
    }
    // The flipped bit makes 1e38 of 0.9, and infinity of 1.
    await expect(checkNumericDomain(damaged)).rejects.toMatchObject({
      code: expect.stringMatching(/^(format-invalid|tensor-not-finite)$/),
    })
    await file.close()
  })
})

describe('models that are admitted', () => {
  it('the one that ships, with room to spare', async () => {
    const file = await openGguf(await fileSource(EMBEDDED_MODEL))
    expect((await checkNumericDomain(file)).largest).toBeLessThan(2 ** 30)
    await file.close()
  })

  it.each(TINY_CASES)('%s', async name => {
    const file = await convertTinyCase(name, 'tq2_0')
    expect((await checkNumericDomain(file)).largest).toBeLessThan(MAX_MAGNITUDE)
    await file.close()
  })

  it('stay within their envelope: states and logits of a model at the edge', async () => {
    // Scales as large as they may be: each doubled until it is refused.
    let scale = 1
    while (scale < 1e30) {
      const next = changed(setAll(name => name.endsWith('.scale'), scale * 2))
      if (
        await checkNumericDomain(next).then(
          () => false,
          () => true,
        )
      )
        break
      scale *= 2
    }
    expect(scale).toBeGreaterThan(2)
    const model = changed(setAll(name => name.endsWith('.scale'), scale))
    const { stateBounds, largest } = await checkNumericDomain(model)
    const runner = await createReferenceBackend().load(model)
    const state = await runner.createState()
    for (let token = 0; token < 40; token++) {
      const logits = (await runner.readChunk(state, [(token * 31) % model.config.vocabularySize], 'last'))!
      expect(logits.every(value => Math.abs(value) <= largest)).toBe(true)
    }
    const { values } = await runner.exportState(state)
    for (const [i, value] of values.entries()) {
      expect(Math.abs(value)).toBeLessThanOrEqual(stateBounds[Math.floor(i / 64)] * (1 + 2 ** -20))
    }
    expect(() => checkStateDomain(values, { stateBounds, largest })).not.toThrow()
  })
})

it('a state with numbers that its model cannot have made is refused', () => {
  const envelope = { stateBounds: [1, 1000], largest: 1e6 }
  expect(() => checkStateDomain(Float32Array.of(1, -1, 1000, -1000), envelope)).not.toThrow()
  for (const state of [
    [3, 0, 0, 0],
    [0, 0, 0, -2001],
    [Number.NaN, 0, 0, 0],
    [0, Number.POSITIVE_INFINITY, 0, 0],
  ]) {
    expect(() => checkStateDomain(Float32Array.from(state), envelope)).toThrow(/cannot have computed/)
  }
})
