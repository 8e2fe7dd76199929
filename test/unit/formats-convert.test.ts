import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { EngineError } from '../../engine/errors.ts'
import { type ConvertOptions, convertCheckpoint } from '../../engine/formats/convert.ts'
import { openGguf } from '../../engine/formats/gguf.ts'
import { readFloats, readScale, readTernaryRows } from '../../engine/formats/read-tensors.ts'
import { absmeanScale, magnitudeSum, ternarize } from '../../engine/formats/ternarize.ts'
import { createTokenizer, type Tokenizer } from '../../engine/tokenizer/tokenizer.ts'
import { countingSource, type FolderFiles, memoryFolder, memorySink, memorySource } from '../byte-sources.ts'
import { type PlainTensors, safetensorsFile, TINY_CONFIG, type TinyConfig, tinyTensors } from '../tiny-checkpoint.ts'

interface Case {
  config?: Partial<TinyConfig> & Record<string, unknown>
  change?: (tensors: PlainTensors) => void
  files?: FolderFiles
  options?: Partial<ConvertOptions>
}

async function convert({ config, change, files, options }: Case = {}) {
  const full = { ...TINY_CONFIG, ...config }
  const tensors = tinyTensors(full)
  change?.(tensors)
  const folder = memoryFolder(
    { 'config.json': full, 'model.safetensors': await safetensorsFile(tensors), ...files },
    'my-checkpoint',
  )
  const sink = memorySink()
  const result = convertCheckpoint(folder, sink, { packing: 'tq2_0', ...options })
  const settled = await result.then(
    async ({ outputBytes }) => {
      expect(sink.bytes().length).toBe(outputBytes)
      return { model: await openGguf(memorySource(sink.bytes())), error: null }
    },
    (error: EngineError) => ({ model: null, error }),
  )
  expect(folder.opened.every(({ closed }) => closed)).toBe(true)
  return { ...settled, sink, tensors }
}

async function converted(options: Case = {}) {
  const { model, error, ...rest } = await convert(options)
  if (!model) throw error
  return { model, ...rest }
}

/** The error of a conversion that must fail, with nothing left behind. */
async function failure(options: Case): Promise<EngineError> {
  const { error, sink } = await convert(options)
  expect(sink.state).toBe('aborted')
  if (!(error instanceof EngineError)) throw error ?? new Error('the conversion succeeded')
  return error
}

test('ternarisation rounds as written down: double mean, float32 scale, ties to even', () => {
  const weights = Float32Array.of(0.5, -0.5, 0.50001, -0.50001, 1.5, -9, 0, 1e-30)
  const codes = new Int8Array(8)
  ternarize(weights, 1, codes)
  expect([...codes]).toEqual([0, 0, 1, -1, 1, -1, 0, 0])
  // A float32 sum would lose the small weights beside the large one.
  const many = new Float32Array(100_001).fill(1e-4)
  many[0] = 10_000
  expect(absmeanScale(magnitudeSum(many, 0), many.length)).toBe(
    Math.fround((10_000 + 100_000 * Math.fround(1e-4)) / 100_001),
  )
  expect(absmeanScale(0, 5)).toBe(Math.fround(1e-5))
})

test('an all-zero matrix converts to zeros with the smallest scale', async () => {
  const { model } = await converted({ change: tensors => tensors.get('lm_head.weight')!.values.fill(0) })
  expect(await readScale(model, 'output.scale')).toBe(Math.fround(1e-5))
  expect(await readTernaryRows(model, 'output.weight', 0, 12, 8)).toEqual(new Int8Array(96))
})

test('name, sizes and file type are in the metadata', async () => {
  const { model } = await converted({ options: { packing: 'tq1_0' } })
  expect(model.name).toBe('my-checkpoint')
  expect(Object.fromEntries(model.metadata)).toMatchObject({ 'general.file_type': 36, 'hgrn_bit.context_length': 64 })
  expect((await converted({ options: { modelName: 'Mine' } })).model.name).toBe('Mine')
})

test('tied embeddings: the head is the embedding, ternarised, with the norm of its own', async () => {
  const { model, tensors } = await converted({
    config: { tie_word_embeddings: true },
    change: all => all.delete('lm_head.weight'),
  })
  const embedding = tensors.get('model.embeddings.weight')!.values
  const scale = absmeanScale(magnitudeSum(embedding, 0), embedding.length)
  const codes = new Int8Array(embedding.length)
  ternarize(embedding, scale, codes)
  expect(await readScale(model, 'output.scale')).toBe(scale)
  expect(await readTernaryRows(model, 'output.weight', 0, 12, 8)).toEqual(codes)
  expect(await readFloats(model, 'output_in_norm.weight', [8])).toEqual(tensors.get('lm_head.norm.weight')!.values)
})

test('the embedding stays as it is, or becomes F16 on request', async () => {
  expect((await converted()).model.embeddingType).toBe('F32')
  expect((await converted({ options: { embedding: 'f16' } })).model.embeddingType).toBe('F16')
  const large = (tensors: PlainTensors) => tensors.get('model.embeddings.weight')!.values.fill(70_000, 3, 4)
  expect((await converted({ change: large })).model.embeddingType).toBe('F32')
  expect(await failure({ change: large, options: { embedding: 'f16' } })).toMatchObject({ code: 'tensor-not-finite' })
})

test('expand_ratio, and sizes left to the defaults', async () => {
  const { model } = await converted({ config: { expand_ratio: 2, use_lower_bound: false } })
  expect(model.config).toMatchObject({ hiddenSize: 8, stateWidth: 16, useLowerBound: false })
  const standard = await converted({
    // floor(8 * 4 * 2 / 3) rounded up to 256.
    config: { intermediate_size: null as unknown as number, expand_ratio: null },
    change: tensors => {
      for (const [name, tensor] of tinyTensors({ ...TINY_CONFIG, intermediate_size: 256 })) tensors.set(name, tensor)
    },
  })
  expect(standard.model.config.intermediateSize).toBe(256)
})

test.each<[string, Case, string]>([
  ['short convolutions', { config: { use_short_conv: true } }, 'config-unsupported'],
  ['another architecture', { config: { model_type: 'llama' } }, 'config-unsupported'],
  ['a missing tensor', { change: t => t.delete('model.layers.1.mlp.down_proj.norm.weight') }, 'tensor-missing'],
  ['a missing head', { change: t => t.delete('lm_head.weight') }, 'tensor-missing'],
  ['a wrong shape', { config: { intermediate_size: 24 }, change: t => swap(t) }, 'tensor-shape-mismatch'],
  [
    'NaN in a matrix',
    { change: t => t.get('model.layers.0.attn.i_proj.weight')!.values.fill(NaN, 5, 6) },
    'tensor-not-finite',
  ],
  ['infinity in a matrix', { change: t => t.get('lm_head.weight')!.values.fill(-Infinity, 95) }, 'tensor-not-finite'],
  ['NaN in a norm', { change: t => t.get('model.norm.weight')!.values.fill(NaN, 7) }, 'tensor-not-finite'],
  ['no config.json', { files: { 'config.json': '' } }, 'format-invalid'],
  ['a broken tokenizer', { files: { 'tokenizer.json': '{"model": 3}' } }, 'tokenizer-invalid'],
])('%s is refused and nothing is left behind', async (_, options, code) => {
  const error = await failure(options)
  expect(error.code).toBe(code)
  expect(error.remedy ?? error.expected).toBeTruthy()
})

/** Weights of intermediate size 20 under a configuration of another. */
function swap(tensors: PlainTensors): void {
  for (const [name, tensor] of tinyTensors()) tensors.set(name, tensor)
}

test('the refused tensor is named, with the place of the value', async () => {
  const error = await failure({ change: t => t.get('model.layers.0.attn.i_proj.weight')!.values.fill(NaN, 5, 6) })
  expect(error.message).toContain('model.layers.0.attn.i_proj.weight')
  expect(error.actual).toBe('NaN at element 5')
})

test('tensors that the model does not need are left out', async () => {
  const extra = (tensors: PlainTensors) =>
    tensors.set('model.rotary.inv_freq', { shape: [2], values: Float32Array.of(NaN, 1) })
  const { model } = await converted({ change: extra })
  expect(model.tensors().some(({ name }) => name.includes('rotary'))).toBe(false)
})

test('progress rises to 1, and a cancel stops at the next piece', async () => {
  const seen: number[] = []
  await converted({ options: { onProgress: fraction => seen.push(fraction) } })
  expect(seen).toEqual(seen.toSorted((a, b) => a - b))
  expect(seen.at(-1)).toBe(1)

  const signal = { aborted: false }
  let calls = 0
  const error = await failure({
    options: {
      signal,
      onProgress: () => {
        calls++
        if (calls === 3) signal.aborted = true
      },
    },
  })
  expect(error.code).toBe('cancelled')
  expect(calls).toBe(3)
})

test('a sink that cannot write is aborted', async () => {
  const folder = memoryFolder({ 'config.json': TINY_CONFIG, 'model.safetensors': await safetensorsFile(tinyTensors()) })
  const sink = memorySink()
  const full = { ...sink, write: async () => Promise.reject(new EngineError('disk-full', 'No space left.')) }
  let aborted = false
  full.abort = async () => {
    aborted = true
  }
  await expect(convertCheckpoint(folder, full, { packing: 'tq2_0' })).rejects.toMatchObject({ code: 'disk-full' })
  expect(aborted).toBe(true)
})

test('a large checkpoint streams: no read is larger than a few megabytes', async () => {
  // 320 million weights, never in memory: the source makes its bytes when asked.
  const config = { ...TINY_CONFIG, hidden_size: 4096, num_hidden_layers: 1, intermediate_size: 64, vocab_size: 32000 }
  const shapes = [...tinyTensors({ ...config, hidden_size: 8, vocab_size: 12, intermediate_size: 20 })].map(
    ([name, { shape }]) => ({
      name,
      dtype: 'F32' as const,
      shape: shape.map(size => ({ 8: 4096, 12: 32000, 20: 64, 40: 128, 1: 1 })[size]!),
    }),
  )
  const header = memorySink()
  const { writeSafetensorsHeader } = await import('../../engine/formats/safetensors.ts')
  const size = await writeSafetensorsHeader(header, shapes)
  await header.finish()
  const headerBytes = header.bytes()
  const pattern = new Float32Array(1 << 20).map((_, i) => ((i * 7) % 5) - 2)
  const source = countingSource('model.safetensors', size, async (offset, length) => {
    if (offset < headerBytes.length) return headerBytes.slice(offset, Math.min(offset + length, headerBytes.length))
    return new Uint8Array(pattern.buffer, 0, length)
  })
  const folder = memoryFolder({ 'config.json': config })
  const virtual = {
    ...folder,
    list: async () => ['config.json', 'model.safetensors'],
    open: async (name: string) => (name === 'model.safetensors' ? source : folder.open(name)),
  }
  const sink = memorySink()
  let largestWrite = 0
  const discard = {
    ...sink,
    write: async (bytes: Uint8Array) => {
      largestWrite = Math.max(largestWrite, bytes.length)
    },
  }
  await convertCheckpoint(virtual, discard, { packing: 'tq1_0' })
  expect(source.bytesRead).toBeGreaterThan(size)
  expect(source.largestRead).toBeLessThanOrEqual(4 * 2 ** 20)
  expect(largestWrite).toBeLessThanOrEqual(4 * 2 ** 20)
})

const TOKENIZER = {
  version: '1.0',
  added_tokens: [
    { id: 0, content: '<unk>', special: true },
    { id: 1, content: '<s>', special: true },
    { id: 2, content: '</s>', special: true },
    { id: 10, content: '<|note|>', special: false },
  ],
  model: {
    type: 'BPE',
    vocab: { '<unk>': 0, '<s>': 1, '</s>': 2, '<0x0A>': 3, a: 4, b: 5, ab: 6, '▁': 7, '▁a': 8 },
    merges: ['a b', ['▁', 'a']],
  },
}

test('the tokenizer goes in as it is, with lists for other programs', async () => {
  const text = `${JSON.stringify(TOKENIZER, null, 2)}\n`
  const { model, sink } = await converted({
    files: {
      'tokenizer.json': text,
      'tokenizer_config.json': {
        bos_token: { content: '<s>' },
        eos_token: '</s>',
        pad_token: null,
        unk_token: '<unk>',
        chat_template: [
          { name: 'tool_use', template: 'no' },
          { name: 'default', template: '{{ messages }}' },
        ],
      },
      'generation_config.json': { eos_token_id: [4, 2] },
    },
  })
  expect(sink.state).toBe('finished')
  expect(model.tokenizerJson).toBe(text)
  expect(model.chatTemplate).toBe('{{ messages }}')
  expect(model.config).toMatchObject({ bosTokenId: 1, eosTokenIds: [4, 2] })
  expect(Object.fromEntries(model.metadata)).toMatchObject({
    'tokenizer.ggml.model': 'hf-bpe',
    'tokenizer.ggml.tokens': [
      '<unk>',
      '<s>',
      '</s>',
      '<0x0A>',
      'a',
      'b',
      'ab',
      '▁',
      '▁a',
      '[PAD9]',
      '<|note|>',
      '[PAD11]',
    ],
    'tokenizer.ggml.token_type': [3, 3, 3, 6, 1, 1, 1, 1, 1, 5, 4, 5],
    'tokenizer.ggml.merges': ['a b', '▁ a'],
    'tokenizer.ggml.unknown_token_id': 0,
    'tokenizer.ggml.eos_token_ids': [4, 2],
  })
})

test('special ids outside the vocabulary are dropped; chat_template.jinja goes first', async () => {
  const { model } = await converted({
    config: { eos_token_id: 12, bos_token_id: -1 },
    files: {
      'tokenizer_config.json': { eos_token: '</s>', chat_template: 'old' },
      'tokenizer.json': TOKENIZER,
      'chat_template.jinja': 'new',
    },
  })
  expect(model.config).toMatchObject({ bosTokenId: null, eosTokenIds: [2] })
  expect(model.chatTemplate).toBe('new')
})

test('without a tokenizer a checkpoint converts too', async () => {
  const { model } = await converted()
  expect(model).toMatchObject({ tokenizerJson: null, chatTemplate: null })
  expect(model.config).toMatchObject({ bosTokenId: 1, eosTokenIds: [2] })
})

test('a tokenizer of megabytes comes back whole', async () => {
  const vocab = Object.fromEntries(Array.from({ length: 60_000 }, (_, id) => [`token-${id}-ä`, id]))
  const text = JSON.stringify({ model: { type: 'BPE', vocab, merges: [] } })
  const { model } = await converted({ config: { vocab_size: 60_000 }, files: { 'tokenizer.json': text } })
  expect(model.tokenizerJson).toBe(text)
  expect(model.tokenizerJson!.length).toBeGreaterThan(2 ** 20)
})

describe('an older folder with only a SentencePiece model', () => {
  /** The model's own tokens are fewer. */
  const vocab_size = 1300
  const older = async (files: FolderFiles) => {
    const bytes = await readFile(new URL('../golden/data/sentencepiece/llama-bpe.model', import.meta.url))
    const { model } = await converted({ config: { vocab_size }, files: { 'tokenizer.model': bytes, ...files } })
    const tokenizer = createTokenizer(JSON.parse(model.tokenizerJson!), { vocabularySize: vocab_size })
    return { model, tokenizer }
  }
  const read = (tokenizer: Tokenizer, text: string) =>
    tokenizer.encode(text, { parseSpecial: true, continuation: true })

  test('gets its tokenizer from it', async () => {
    const { model } = await older({})
    expect(JSON.parse(model.tokenizerJson!)).toHaveProperty('model.type', 'BPE')
    expect(model.metadata.get('tokenizer.ggml.model')).toBe('hf-bpe')
    expect(model.config).toMatchObject({ bosTokenId: 1, eosTokenIds: [2] })
  })

  test('keeps the tokens that were added in tokenizer_config.json', async () => {
    const { model, tokenizer } = await older({
      'tokenizer_config.json': {
        added_tokens_decoder: {
          1: { content: '<s>', special: true },
          1298: { content: '<turn>', special: true, lstrip: false },
          1299: { content: ' word', special: false, normalized: false },
        },
        eos_token: '<turn>',
      },
    })
    expect(tokenizer.specialTokens.get('<turn>')).toBe(1298)
    expect(tokenizer.specialTokens.has(' word')).toBe(false)
    expect(read(tokenizer, '<turn> word')).toEqual([1298, 1299])
    expect(model.config.eosTokenIds).toEqual([2, 1298])
  })

  test('and those of added_tokens.json and special_tokens_map.json', async () => {
    const { model, tokenizer } = await older({
      'added_tokens.json': { '<turn>': 1298, '<note>': 1299 },
      'special_tokens_map.json': { eos_token: { content: '<turn>' } },
    })
    expect(tokenizer.specialTokens.get('<turn>')).toBe(1298)
    expect(tokenizer.specialTokens.has('<note>')).toBe(false)
    expect(read(tokenizer, '<turn><note>')).toEqual([1298, 1299])
    expect(model.config.eosTokenIds).toEqual([2, 1298])
  })
})

test('a tokenizer or template that could not be loaded is refused', async () => {
  const refusal = async (files: FolderFiles) => {
    const { code } = await failure({ files })
    return code
  }
  const outside = { ...TOKENIZER, model: { ...TOKENIZER.model, vocab: { ...TOKENIZER.model.vocab, far: 12 } } }
  expect(await refusal({ 'tokenizer.json': outside })).toBe('tokenizer-invalid')
  const words = { model: { type: 'WordLevel', vocab: { a: 0 } } }
  expect(await refusal({ 'tokenizer.json': words })).toBe('tokenizer-unsupported')
  expect(await refusal({ 'chat_template.jinja': '{% for' })).toBe('template-invalid')
})

test.each<[string, unknown]>([
  ['vocab_size', 0],
  ['hidden_size', -1],
  ['hidden_size', 1.5],
  ['num_hidden_layers', 1e300],
  ['intermediate_size', 0],
  ['hidden_ratio', -4],
  ['hidden_ratio', 1e300],
  ['expand_ratio', 0],
  ['expand_ratio', 1e300],
  ['rms_norm_eps', -1],
  ['max_position_embeddings', 0],
  ['max_position_embeddings', 1.5],
  ['max_position_embeddings', 1e300],
])('config.json with %s %d is refused by its key', async (key, value) => {
  const config = { ...TINY_CONFIG, ...(key === 'hidden_ratio' ? { intermediate_size: null } : {}), [key]: value }
  const { error } = await convert({ files: { 'config.json': config } })
  expect(error).toMatchObject({
    code: 'config-invalid',
    message: `config.json: ${key} is out of range.`,
    expected: expect.any(String),
    remedy: expect.any(String),
  })
})

test('what the reader would refuse is not written: more end tokens than a file may name', async () => {
  const ids = (count: number) => ({ vocab_size: 300, eos_token_id: Array.from({ length: count }, (_, id) => id) })
  expect((await convert({ config: ids(257) })).error).toMatchObject({
    code: 'config-invalid',
    message: expect.stringContaining('eos_token_id'),
    actual: '257',
  })
  const { model } = await convert({ config: ids(256) })
  expect(model?.config.eosTokenIds).toHaveLength(256)
})
