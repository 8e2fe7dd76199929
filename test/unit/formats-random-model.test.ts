import { expect, test } from 'vitest'
import { openGguf } from '../../engine/formats/gguf.ts'
import { PUBLISHED_SHAPES, writeRandomModel } from '../../engine/formats/random-model.ts'
import { readFloats, readScale, readTernaryRows } from '../../engine/formats/read-tensors.ts'
import { parameterCounts, tensorsOf } from '../../engine/model/tensors.ts'
import { memorySink, memorySource } from '../byte-sources.ts'

const CONFIG = { ...PUBLISHED_SHAPES['370M'], hiddenSize: 300, stateWidth: 300, layerCount: 2, vocabularySize: 600 }

async function write(seed: number, packing: 'tq1_0' | 'tq2_0' = 'tq2_0') {
  const sink = memorySink()
  await writeRandomModel({ ...CONFIG, intermediateSize: 512 }, sink, { packing, seed })
  return sink.bytes()
}

test('published shapes have the published sizes', () => {
  const sizes = Object.values(PUBLISHED_SHAPES).map(config => [config.intermediateSize, parameterCounts(config).all])
  expect(sizes).toEqual([
    [2816, 374_108_160],
    [5632, 1_364_779_008],
    [6912, 2_702_357_504],
  ])
})

test('same seed, same file; another seed, another', async () => {
  const [first, again, other] = [await write(5), await write(5), await write(6)]
  expect(Buffer.compare(first, again)).toBe(0)
  expect(first.length).toBe(other.length)
  expect(Buffer.compare(first, other)).not.toBe(0)
})

test.each(['tq1_0', 'tq2_0'] as const)('%s: every tensor of the model is readable and sane', async packing => {
  const model = await openGguf(memorySource(await write(1, packing)))
  for (const { name, role, shape } of tensorsOf(model.config)) {
    if (role === 'ternary') {
      const codes = await readTernaryRows(model, name, 0, shape[0]!, shape[1]!)
      const share = (code: number) => codes.filter(other => other === code).length / codes.length
      for (const code of [-1, 0, 1]) expect(Math.abs(share(code) - 1 / 3)).toBeLessThan(0.02)
    } else if (role === 'scale') {
      expect(await readScale(model, name)).toBeLessThan(1)
    } else {
      const values = await readFloats(model, name, shape)
      expect(new Set(values).size).toBeGreaterThan(values.length > 1 ? 1 : 0)
    }
  }
})

test('a cancel leaves nothing behind', async () => {
  const sink = memorySink()
  const signal = { aborted: false }
  const onProgress = () => {
    signal.aborted = true
  }
  await expect(writeRandomModel(CONFIG, sink, { packing: 'tq2_0', signal, onProgress })).rejects.toMatchObject({
    code: 'cancelled',
  })
  expect(sink.state).toBe('aborted')
})
