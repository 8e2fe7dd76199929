/** Hostile text files of a checkpoint folder: configuration, tokenizer settings, sizes. */
import { expect, test } from 'vitest'
import type { EngineErrorCode } from '../../engine/errors.ts'
import { convertCheckpoint } from '../../engine/formats/convert.ts'
import { countingSource, type FolderFiles, memoryFolder, memorySink } from '../byte-sources.ts'
import { safetensorsFile, TINY_CONFIG, tinyTensors } from '../tiny-checkpoint.ts'
import { allocatedBytes, expectRefusal, MIB } from './expect-refusal.ts'

const weights = await safetensorsFile(tinyTensors())

async function expectFolderRefused(files: FolderFiles, ...codes: EngineErrorCode[]): Promise<void> {
  const folder = memoryFolder({ 'config.json': TINY_CONFIG, 'model.safetensors': weights, ...files })
  const sink = memorySink()
  await expectRefusal(() => convertCheckpoint(folder, sink, { packing: 'tq2_0' }), ...codes)
  expect(sink.state).toBe('aborted')
  expect(folder.opened.every(({ closed }) => closed)).toBe(true)
}

const bpe = (vocab: object): FolderFiles => ({ 'tokenizer.json': { model: { type: 'BPE', vocab, merges: [] } } })
const config = (change: object) => ({ 'config.json': { ...TINY_CONFIG, ...change } })

test.each<[string, FolderFiles, EngineErrorCode]>([
  ['a configuration that is not JSON', { 'config.json': '{' }, 'format-invalid'],
  ['a configuration that is an array', { 'config.json': [] }, 'config-invalid'],
  ['no sizes', { 'config.json': { model_type: 'hgrn_bit' } }, 'config-invalid'],
  ['a negative size', config({ hidden_size: -8 }), 'config-invalid'],
  ['a fractional size', config({ hidden_size: 8.5 }), 'config-invalid'],
  ['a size of 1e300', config({ vocab_size: 1e300 }), 'config-invalid'],
  ['a billion layers', config({ num_hidden_layers: 1e9 }), 'config-invalid'],
  ['an absurd ratio', config({ intermediate_size: null, hidden_ratio: 1e300 }), 'config-invalid'],
  ['a negative ratio', config({ expand_ratio: -1 }), 'config-invalid'],
  ['sizes that the weights do not have', config({ hidden_size: 16 }), 'tensor-shape-mismatch'],
  ['a tokenizer that is not JSON', { 'tokenizer.json': '{"model":' }, 'tokenizer-invalid'],
  ['a tokenizer that is not UTF-8', { 'tokenizer.json': Uint8Array.of(0xff, 0xfe) }, 'format-invalid'],
  ['a vocabulary of negative ids', bpe({ a: -1 }), 'tokenizer-invalid'],
  ['a vocabulary id of 2^40', bpe({ a: 2 ** 40 }), 'tokenizer-invalid'],
  ['a template without an end', { 'chat_template.jinja': '{% for x in messages %}' }, 'template-invalid'],
  ['a template of a megabyte', { 'chat_template.jinja': 'x'.repeat(MIB) }, 'template-limit-exceeded'],
  ['a template that is a number', { 'tokenizer_config.json': { chat_template: 7 } }, 'tokenizer-invalid'],
  ['end tokens that are texts', { 'generation_config.json': { eos_token_id: ['</s>'] } }, 'tokenizer-invalid'],
])('%s', async (_, files, code) => {
  await expectFolderRefused(files, code)
})

test.each([
  ['config.json'],
  ['tokenizer.json'],
  ['tokenizer.model'],
  ['tokenizer_config.json'],
  ['special_tokens_map.json'],
  ['generation_config.json'],
  ['chat_template.jinja'],
])('%s of a terabyte is refused unread', async name => {
  const folder = memoryFolder({ 'config.json': TINY_CONFIG, 'model.safetensors': weights })
  const huge = countingSource(name, 2 ** 40, async (_, length) => new Uint8Array(length))
  const virtual = {
    ...folder,
    list: async () => [...new Set([...(await folder.list()), name])],
    open: async (file: string) => (file === name ? huge : folder.open(file)),
  }
  const allocated = await allocatedBytes(() =>
    expectRefusal(() => convertCheckpoint(virtual, memorySink(), { packing: 'tq2_0' }), 'limit-exceeded'),
  )
  expect(huge.bytesRead).toBe(0)
  expect(huge.closed).toBe(true)
  expect(allocated).toBeLessThan(8 * MIB)
})

test('an added token of id 2^53 makes no list of that length', async () => {
  const folder = memoryFolder({
    'config.json': TINY_CONFIG,
    'model.safetensors': weights,
    'tokenizer.json': {
      added_tokens: [{ id: 2 ** 53 - 1, content: 'far', special: true }],
      model: { type: 'BPE', vocab: { a: 0 }, merges: [] },
    },
  })
  const sink = memorySink()
  const allocated = await allocatedBytes(() => convertCheckpoint(folder, sink, { packing: 'tq2_0' }))
  expect(sink.state).toBe('finished')
  expect(allocated).toBeLessThan(32 * MIB)
})

test('without weights, or without a configuration, the folder says what it lacks', async () => {
  const convert = (files: FolderFiles) => convertCheckpoint(memoryFolder(files), memorySink(), { packing: 'tq2_0' })
  const noWeights = await expectRefusal(
    () => convert({ 'config.json': TINY_CONFIG, 'README.md': '' }),
    'file-not-found',
  )
  expect(noWeights.expected).toContain('model.safetensors')
  const noConfig = await expectRefusal(() => convert({ 'model.safetensors': weights }), 'file-not-found')
  expect(noConfig.message).toContain('config.json')
  await expectRefusal(() => convert({}), 'file-not-found')
})
