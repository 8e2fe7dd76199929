import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GGMLQuantizationType, gguf } from '@huggingface/gguf'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GgufModel, openGguf } from '../../engine/formats/gguf.ts'
import { type GgufEntry, GgufWriter } from '../../engine/formats/gguf-writer.ts'
import { writeRandomModel } from '../../engine/formats/random-model.ts'
import { readFloatRows, readFloats, readScale, readTernaryRows } from '../../engine/formats/read-tensors.ts'
import type { ModelSource } from '../../engine/model/source.ts'
import { hashModel } from '../../engine/state/identity.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { type CountingSource, fileSource, memorySink, memorySource } from '../byte-sources.ts'
import { type GgufFileTensor, ggufFile, tinyGguf, V } from '../gguf-file.ts'

const EMBEDDED_MODEL = new URL('../../models/tern-98m-v2.gguf', import.meta.url).pathname

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tern-gguf-'))
})
afterAll(() => rm(folder, { recursive: true }))

test('the embedded model, written by gguf-py, opens with its configuration', async () => {
  const source = await fileSource(EMBEDDED_MODEL)
  const model = await openGguf(source)
  expect(model.config).toEqual({
    vocabularySize: 8192,
    hiddenSize: 768,
    stateWidth: 768,
    layerCount: 12,
    intermediateSize: 2048,
    rmsNormEpsilon: Math.fround(1e-6),
    useLowerBound: true,
    trainingContextLength: 1024,
    bosTokenId: 1,
    // <|end|> as declared, and </s> because the vocabulary has it.
    eosTokenIds: [7, 2],
  })
  expect(model).toMatchObject({
    name: 'Tern 98M',
    license: 'cc-by-sa-4.0',
    packing: 'TQ2_0',
    embeddingType: 'F16',
    parameterCount: 97_626_624,
    ternaryParameterCount: 91_226_112,
  })
  expect(model.chatTemplate).toContain('add_generation_prompt')
  expect(JSON.parse(model.tokenizerJson!)).toHaveProperty('model.type', 'BPE')
  expect(model.metadata.get('tokenizer.ggml.tokens')).toEqual({ elementType: 'string', length: 8192 })
  // Opening reads the header of 857 kB and no tensor.
  expect(source.bytesRead).toBeLessThan(2_000_000)
  await model.close()
  expect(source.closed).toBe(true)
})

test('tensors of the embedded model hold plausible numbers', async () => {
  const model = await openGguf(await fileSource(EMBEDDED_MODEL))
  const codes = await readTernaryRows(model, 'blk.0.mlgru_i.weight', 0, 768, 768)
  const zeros = codes.reduce((count, code) => count + (code === 0 ? 1 : 0), 0)
  expect(zeros / codes.length).toBeGreaterThan(0.2)
  expect(zeros / codes.length).toBeLessThan(0.6)
  // The first weights and the scale as another reader, in Python, reads them.
  const head = await readTernaryRows(model, 'output.weight', 0, 1, 768)
  expect([...head.subarray(0, 20)]).toEqual([0, -1, -1, 1, 0, 0, 1, 0, -1, -1, -1, -1, 1, 1, -1, 1, 0, 1, 1, 1])
  expect(await readScale(model, 'output.scale')).toBe(Math.fround(0.36038423))
  const embedding = await readFloats(model, 'token_embd.weight', [8192, 768])
  expect(await readFloatRows(model, 'token_embd.weight', 77, 2, 768)).toEqual(embedding.slice(77 * 768, 79 * 768))
  await model.close()
})

const SMALL = {
  vocabularySize: 40,
  hiddenSize: 24,
  stateWidth: 36,
  layerCount: 2,
  intermediateSize: 300,
  rmsNormEpsilon: 1e-5,
  useLowerBound: false,
  trainingContextLength: 99,
  bosTokenId: 3,
  eosTokenIds: [4, 9],
}

test.each(['tq1_0', 'tq2_0'] as const)('a written %s file comes back, in our reader and in another', async packing => {
  const sink = memorySink()
  const { outputBytes } = await writeRandomModel(SMALL, sink, { packing, modelName: 'Small' })
  const bytes = sink.bytes()
  expect(bytes.length).toBe(outputBytes)
  const model = await openGguf(memorySource(bytes))
  expect(model.config).toEqual({ ...SMALL, rmsNormEpsilon: Math.fround(1e-5) })
  expect(model.packing).toBe(packing.toUpperCase())

  const path = join(folder, `${packing}.gguf`)
  await writeFile(path, bytes)
  const { metadata, tensorInfos, tensorDataOffset } = await gguf(path, { allowLocalFile: true })
  expect(metadata).toMatchObject({
    version: 3,
    'general.architecture': 'hgrn_bit',
    'general.name': 'Small',
    'general.file_type': packing === 'tq1_0' ? 36 : 37,
    'hgrn_bit.embedding_length': 24,
    'hgrn_bit.expand_ratio': 1.5,
    'hgrn_bit.use_lower_bound': false,
    'tokenizer.ggml.bos_token_id': 3,
    'tokenizer.ggml.eos_token_ids': [4, 9],
  })
  expect(
    tensorInfos.map(({ name, shape, dtype }) => [name, shape.map(Number).reverse(), GGMLQuantizationType[dtype]]),
  ).toEqual(model.tensors().map(({ name, shape, type }) => [name, shape, type]))
  // The last tensor ends where the file ends, but for padding.
  const last = tensorInfos.at(-1)!
  const end = Number(tensorDataOffset) + Number(last.offset) + model.tensor(last.name).byteLength
  expect(Math.ceil(end / 32) * 32).toBe(bytes.length)
})

test('the other reader and ours agree on the embedded model', async () => {
  const { metadata, tensorInfos } = await gguf(EMBEDDED_MODEL, { allowLocalFile: true })
  const model = await openGguf(await fileSource(EMBEDDED_MODEL))
  expect(tensorInfos.map(({ name, shape }) => [name, shape.map(Number).reverse()])).toEqual(
    model.tensors().map(({ name, shape }) => [name, shape]),
  )
  for (const [key, value] of model.metadata) {
    const other = metadata[key as keyof typeof metadata] as unknown
    if (typeof value === 'object' && 'elementType' in value) expect(other).toHaveLength(value.length)
    else expect(other).toEqual(value)
  }
  await model.close()
})

async function openTiny(change: (file: ReturnType<typeof tinyGguf>) => void = () => {}): Promise<GgufModel> {
  const file = tinyGguf()
  change(file)
  return openGguf(memorySource(ggufFile(file), 'tiny.gguf'))
}

test('without lower bounds their tensor is not asked for', async () => {
  const model = await openTiny(file => {
    file.metadata = file.metadata.map(([key, value]) =>
      key === 'hgrn_bit.use_lower_bound' ? [key, V.bool(false)] : [key, value],
    )
    file.tensors = file.tensors.filter(({ name }) => name !== 'mlgru_lower_bounds.weight')
  })
  expect(model.config.useLowerBound).toBe(false)
})

test('a reply ends at every declared id and at </s>', async () => {
  const model = await openTiny(file => file.metadata.push(['tokenizer.ggml.eos_token_ids', V.u32s([5, 4])]))
  expect(model.config.eosTokenIds).toEqual([5, 4, 2])
})

test('-1 in 32 bits without a sign, as other writers have it, is no token', async () => {
  const none = 0xffffffff
  const model = await openTiny(file => {
    file.metadata = file.metadata.filter(([key]) => !/ggml.(bos|eos)_token_id/.test(key))
    file.metadata.push(['tokenizer.ggml.bos_token_id', V.u32(none)], ['tokenizer.ggml.eos_token_id', V.u32(none)])
  })
  expect(model.config).toMatchObject({ bosTokenId: null, eosTokenIds: [2] })
})

test.each<[string, Partial<GgufFileTensor>]>([
  ['F32', {}],
  ['a type that Tern does not read', { typeId: 12, dimensions: [256] }],
  ['a type that nobody knows', { typeId: 4_000_000_000 }],
  ['integers', { typeId: 26 }],
  ['no dimensions', { dimensions: [] }],
  ['a dimension of 0', { dimensions: [0, 7] }],
  ['nine dimensions', { dimensions: [1, 1, 1, 1, 1, 1, 1, 1, 1] }],
  ['rows that are no whole blocks', { typeId: 35, dimensions: [3] }],
  ['a place between two others', { offset: 4 }],
  ['the place of another', { offset: 0 }],
  ['a place behind the end', { offset: 2n ** 60n }],
])('a tensor that no model has is passed over: %s', async (_, extra) => {
  const plain = await openTiny()
  const model = await openTiny(file =>
    file.tensors.push({ name: 'extra', typeId: 0, dimensions: [1], bytes: new Uint8Array(4), ...extra }),
  )
  expect(model.tensors()).toEqual(plain.tensors())
  expect(() => model.tensor('extra')).toThrow(expect.objectContaining({ code: 'tensor-missing' }))
  const { createSha256 } = nodeEngineEnvironment
  expect(await hashModel(model, createSha256)).toBe(await hashModel(plain, createSha256))
})

test('extra keys do no harm', async () => {
  const model = await openTiny(file => file.metadata.push(['general.tags', V.strings(['small', 'ternär'])]))
  expect(model.metadata.get('general.tags')).toEqual(['small', 'ternär'])
})

const TEXT = V.string('two')
const NUMBER = V.u32(1)
test.each<[string, Uint8Array]>([
  ['general.name', NUMBER],
  ['general.license', V.strings(['mit'])],
  ['general.description', V.bool(true)],
  ['tokenizer.huggingface.json', NUMBER],
  ['tokenizer.chat_template', V.strings(['a', 'b'])],
  ['tokenizer.ggml.bos_token_id', TEXT],
  ['tokenizer.ggml.eos_token_id', TEXT],
  ['tokenizer.ggml.eos_token_id', V.u32s([1])],
  ['tokenizer.ggml.eos_token_ids', NUMBER],
  ['tokenizer.ggml.eos_token_ids', V.strings(['1', '2'])],
  ['tokenizer.ggml.eos_token_ids', V.u32s(new Array(300).fill(1))],
  ['tokenizer.ggml.tokens', V.u32s([1, 2])],
  ['tokenizer.ggml.tokens', V.u32s(new Array(300).fill(1))],
  ['tokenizer.ggml.tokens', TEXT],
  ['hgrn_bit.use_lower_bound', NUMBER],
  ['hgrn_bit.context_length', TEXT],
  ['hgrn_bit.vocab_size', TEXT],
  ['hgrn_bit.expand_ratio', V.bool(true)],
])('%s of a wrong type is refused by its name', async (key, value) => {
  const opened = openTiny(file => {
    file.metadata = [...file.metadata.filter(([other]) => other !== key), [key, value]]
  })
  await expect(opened).rejects.toMatchObject({
    code: 'config-invalid',
    message: expect.stringContaining(`"${key}"`),
    remedy: expect.any(String),
  })
})

test.each<[string, Uint8Array]>([
  ['hgrn_bit.context_length', V.f32(Number.NaN)],
  ['hgrn_bit.context_length', V.f32(-5)],
  ['hgrn_bit.context_length', V.f32(1.5)],
  ['hgrn_bit.context_length', V.f32(1e30)],
  ['hgrn_bit.context_length', V.u32(0)],
  ['hgrn_bit.context_length', V.u64(2n ** 64n - 1n)],
  ['hgrn_bit.embedding_length', V.f32(0.5)],
  ['hgrn_bit.feed_forward_length', V.u32(0)],
  ['hgrn_bit.vocab_size', V.f32(Number.NaN)],
  ['hgrn_bit.expand_ratio', V.f32(Number.POSITIVE_INFINITY)],
  ['hgrn_bit.block_count', V.f32(Number.NaN)],
  ['hgrn_bit.attention.layer_norm_rms_epsilon', V.f32(-1)],
  ['tokenizer.ggml.bos_token_id', V.f32(Number.NaN)],
  ['tokenizer.ggml.eos_token_id', V.f32(0.5)],
  ['tokenizer.ggml.eos_token_ids', V.u32s([1, 6])],
])('%s out of range is refused by its name, with what to do', async (key, value) => {
  const opened = openTiny(file => {
    file.metadata = [...file.metadata.filter(([other]) => other !== key), [key, value]]
  })
  await expect(opened).rejects.toMatchObject({
    code: 'config-invalid',
    message: `"tiny.gguf": metadata "${key}" is out of range.`,
    expected: expect.any(String),
    remedy: expect.any(String),
  })
})

test('embeddings may be F16, BF16 or Q8_0', async () => {
  const embedding = (typeId: number, dimensions: number[], bytes: Uint8Array) =>
    openGguf(
      memorySource(
        ggufFile({
          ...tinyGguf(),
          tensors: tinyGguf().tensors.map(tensor =>
            tensor.name === 'token_embd.weight' ? { ...tensor, typeId, dimensions, bytes } : tensor,
          ),
        }),
      ),
    )
  const f16 = await embedding(1, [8, 6], new Uint8Array(new Uint16Array(48).fill(0xbc00).buffer))
  expect(await readFloats(f16, 'token_embd.weight', [6, 8])).toEqual(new Float32Array(48).fill(-1))
  const bf16 = await embedding(30, [8, 6], new Uint8Array(new Uint16Array(48).fill(0x4040).buffer))
  expect(await readFloats(bf16, 'token_embd.weight', [6, 8])).toEqual(new Float32Array(48).fill(3))
  expect([f16.embeddingType, bf16.embeddingType]).toEqual(['F16', 'BF16'])
})

test('Q8_0 is read as ggml stores it', async () => {
  // gguf-py's quantisation of (-32..31) / 7.
  const hex =
    '9c288185898d9195999da1a5a9adb1b5b9bdc0c4c8ccd0d4d8dce0e4e8ecf0f4f8fc' +
    '77280004080c1014191d2125292d3135393d42464a4e52565a5e62666b6f73777b7f'
  const bytes = Uint8Array.from(Buffer.from(hex, 'hex'))
  const tiny = await openTiny()
  const model: ModelSource = {
    ...tiny,
    tensor: name => ({ name, type: 'Q8_0', shape: [2, 32], byteLength: bytes.length }),
    readTensor: async () => bytes,
  }
  const values = await readFloats(model, 'q8', [2, 32])
  expect([...values.subarray(0, 4)]).toEqual([-4.5733643, -4.4293213, -4.2852783, -4.1412354].map(Math.fround))
  values.forEach((value, i) => {
    expect(Math.abs(value - (i - 32) / 7)).toBeLessThan(0.02)
  })
})

test('reading beyond a tensor, or under a wrong shape, is refused', async () => {
  const model = await openTiny()
  const refused = (code: string) => expect.objectContaining({ code })
  await expect(readFloats(model, 'output_norm.weight', [9])).rejects.toEqual(refused('tensor-shape-mismatch'))
  await expect(readFloats(model, 'nothing', [9])).rejects.toEqual(refused('tensor-missing'))
  await expect(readFloats(model, 'output.weight', [6, 256])).rejects.toEqual(refused('tensor-type-unsupported'))
  await expect(readTernaryRows(model, 'output.weight', 5, 2, 8)).rejects.toEqual(refused('invalid-argument'))
  await expect(readTernaryRows(model, 'output.weight', 0, 6, 300)).rejects.toEqual(refused('tensor-shape-mismatch'))
  await expect(readTernaryRows(model, 'token_embd.weight', 0, 6, 8)).rejects.toEqual(refused('tensor-type-unsupported'))
  await expect(model.readTensor('output_norm.weight', 16, 17)).rejects.toEqual(refused('invalid-argument'))
  await expect(model.readTensor('output_norm.weight', -1)).rejects.toEqual(refused('invalid-argument'))
})

test('a file is closed when it cannot be opened', async () => {
  const source: CountingSource = memorySource(new Uint8Array(100))
  await expect(openGguf(source)).rejects.toEqual(expect.objectContaining({ code: 'format-unknown' }))
  expect(source.closed).toBe(true)
})

test('the writer keeps to the announced order and sizes', async () => {
  const metadata: GgufEntry[] = [{ key: 'general.architecture', type: 'string', value: 'hgrn_bit' }]
  const tensors = [
    { name: 'a', type: 'F32' as const, shape: [2] },
    { name: 'b', type: 'F32' as const, shape: [1] },
  ]
  const writer = new GgufWriter(memorySink(), metadata, tensors)
  await writer.writeHeader()
  await expect(writer.writeTensor('b', new Uint8Array(4))).rejects.toThrow('out of order')
  await writer.writeTensor('a', new Uint8Array(4))
  await expect(writer.writeTensor('a', new Uint8Array(5))).rejects.toThrow('out of order')
  await writer.writeTensor('a', new Uint8Array(4))
  await expect(writer.finish()).rejects.toThrow('"b" was not written')
  await writer.writeTensor('b', new Uint8Array(4))
  await writer.finish()
})
