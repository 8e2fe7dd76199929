/**
 * The golden checkpoints, converted and read back, held tensor by tensor against a computation that shares nothing with
 * the converter: file formats are read by the few lines below, weights are ternarised in double precision.
 */
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { convertCheckpoint } from '../../engine/formats/convert.ts'
import { type GgufModel, openGguf } from '../../engine/formats/gguf.ts'
import { readFloats, readScale, readTernaryRows } from '../../engine/formats/read-tensors.ts'
import { fileFolder, memoryFolder, memorySink, memorySource } from '../byte-sources.ts'
import { type PlainTensors, torchTensors } from '../tiny-checkpoint.ts'
import { torchLegacy, torchZip } from '../torch-files.ts'

const DATA = new URL('./data/', import.meta.url).pathname
const SAFETENSORS_CASES: Record<string, string[]> = {
  'tiny-f32': ['model.safetensors'],
  'tiny-f16-sharded': ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'],
  'tiny-heads-expand': ['model.safetensors'],
  'odd-shapes': ['model.safetensors'],
}

async function convert(folder: string, packing: 'tq1_0' | 'tq2_0'): Promise<Uint8Array> {
  const sink = memorySink()
  await convertCheckpoint(fileFolder(DATA + folder), sink, { packing })
  return sink.bytes()
}

const f16 = (bits: number): number => {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023]
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15)
  return bits & 0x8000 ? -magnitude : magnitude
}

async function plainSafetensors(folder: string): Promise<PlainTensors> {
  const tensors: PlainTensors = new Map()
  for (const file of SAFETENSORS_CASES[folder]!) {
    const bytes = await readFile(`${DATA}${folder}/${file}`)
    const headerBytes = Number(bytes.readBigUInt64LE(0))
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes))
    for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries<Record<string, never>>(header)) {
      if (name === '__metadata__') continue
      const data = bytes.subarray(8 + headerBytes + offsets![0], 8 + headerBytes + offsets![1])
      const size = dtype === 'F16' ? 2 : 4
      const values = Float32Array.from({ length: data.length / size }, (_, i) =>
        size === 2 ? f16(data.readUInt16LE(2 * i)) : data.readFloatLE(4 * i),
      )
      tensors.set(name, { shape, values })
    }
  }
  return tensors
}

/** The golden .bin is bfloat16, one storage a tensor, numbered in the order of the names in its pickle. */
async function plainBin(): Promise<PlainTensors> {
  const bytes = await readFile(`${DATA}tiny-bf16-bin/pytorch_model.bin`)
  const pickleAt = bytes.indexOf('\x80\x02}', 0, 'latin1')
  const pickle = bytes.toString('latin1', pickleAt, bytes.indexOf('PK', pickleAt))
  const names = [...pickle.matchAll(/(?:model|lm_head)\.[a-z0-9_.]*(?:weight|lower_bounds)/g)].map(([name]) => name)
  const entries = new Map<string, Uint8Array>()
  for (let at = bytes.indexOf('PK\x01\x02'); bytes.readUInt32LE(at) === 0x02014b50; ) {
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map(field => bytes.readUInt16LE(at + field))
    const local = bytes.readUInt32LE(at + 42)
    const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28)
    const name = bytes.toString('latin1', at + 46, at + 46 + nameBytes!)
    entries.set(name.replace(/^.*data\//, ''), bytes.subarray(start, start + bytes.readUInt32LE(at + 24)))
    at += 46 + nameBytes! + extraBytes! + commentBytes!
  }
  return new Map(
    names.map((name, index) => {
      const data = Buffer.from(entries.get(String(index))!)
      const high = (i: number) => new Float32Array(Uint32Array.of(data.readUInt16LE(2 * i) << 16).buffer)[0]!
      const values = Float32Array.from({ length: data.length / 2 }, (_, i) => high(i))
      return [name, { shape: [values.length], values }]
    }),
  )
}

const OUR_NAMES: [RegExp, string][] = [
  [/^model\.embeddings\.weight$/, 'token_embd.weight'],
  [/^model\.lower_bounds$/, 'mlgru_lower_bounds.weight'],
  [/^model\.norm\.weight$/, 'output_norm.weight'],
  [/^lm_head/, 'output'],
  [/^model\.layers\.(\d+)\.attn_norm/, 'blk.$1.mlgru_norm'],
  [/^model\.layers\.(\d+)\.mlp_norm/, 'blk.$1.glu_norm'],
  [/^model\.layers\.(\d+)\.attn\.g_norm/, 'blk.$1.mlgru_out_norm'],
  [/^model\.layers\.(\d+)\.attn\.([ifgo])_proj/, 'blk.$1.mlgru_$2'],
  [/^model\.layers\.(\d+)\.mlp\.gate_proj/, 'blk.$1.glu_gate_up'],
  [/^model\.layers\.(\d+)\.mlp\.down_proj/, 'blk.$1.glu_down'],
]

/** `blk.0.mlgru_i.norm.weight` in the checkpoint is `blk.0.mlgru_i_in_norm.weight` here. */
function ourName(upstream: string): string {
  for (const [pattern, ours] of OUR_NAMES) {
    if (pattern.test(upstream)) return upstream.replace(pattern, ours).replace('.norm.weight', '_in_norm.weight')
  }
  throw new Error(`no name for ${upstream}`)
}

const TERNARY = /_proj\.weight$|^lm_head\.weight$/

async function expectSameModel(model: GgufModel, tensors: PlainTensors): Promise<void> {
  let ternaryCount = 0
  for (const [upstream, { values }] of tensors) {
    const name = ourName(upstream)
    const stored = model.tensor(name).shape
    if (!TERNARY.test(upstream)) {
      expect(await readFloats(model, name, stored), name).toEqual(values)
      continue
    }
    ternaryCount++
    const rows = stored[0]!
    const columns = values.length / rows
    const mean = values.reduce((sum, value) => sum + Math.abs(value), 0) / values.length
    expect(await readScale(model, name.replace(/weight$/, 'scale'))).toBe(Math.fround(Math.max(mean, 1e-5)))
    const expected = Int8Array.from(values, value => Math.max(-1, Math.min(1, Math.round(value / mean))))
    // Beside an edge the rounding of the scale would decide; no golden weight lies there.
    const edge = values.reduce((nearest, value) => Math.min(nearest, Math.abs(Math.abs(value / mean) - 0.5)), 1)
    expect(edge).toBeGreaterThan(1e-7)
    expect(await readTernaryRows(model, name, 0, rows, columns), name).toEqual(expected)
  }
  expect(ternaryCount).toBe(6 * model.config.layerCount + 1)
  expect(model.tensors().length).toBe(tensors.size + ternaryCount)
}

test.each(Object.keys(SAFETENSORS_CASES))('%s', async folder => {
  const tensors = await plainSafetensors(folder)
  for (const packing of ['tq1_0', 'tq2_0'] as const) {
    const model = await openGguf(memorySource(await convert(folder, packing)))
    expect(model.packing).toBe(packing.toUpperCase())
    await expectSameModel(model, tensors)
  }
})

test('tiny-bf16-bin', async () => {
  const model = await openGguf(memorySource(await convert('tiny-bf16-bin', 'tq2_0')))
  expect(model.embeddingType).toBe('BF16')
  await expectSameModel(model, await plainBin())
})

test.each(['tiny-f32', 'odd-shapes', 'tiny-heads-expand'])('%s gives the same file from every layout', async folder => {
  const config = JSON.parse(await readFile(`${DATA}${folder}/config.json`, 'utf8'))
  const tensors = torchTensors(await plainSafetensors(folder))
  const expected = await convert(folder, 'tq2_0')
  for (const bin of [torchZip(tensors), torchZip(tensors, { zip64: true }), torchLegacy(tensors)]) {
    const sink = memorySink()
    await convertCheckpoint(memoryFolder({ 'config.json': config, 'pytorch_model.bin': bin }, folder), sink, {
      packing: 'tq2_0',
    })
    expect(Buffer.compare(sink.bytes(), expected)).toBe(0)
  }
})
