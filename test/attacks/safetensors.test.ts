/** Hostile safetensors files and indexes, made here. */
import { expect, test } from 'vitest'
import type { EngineErrorCode } from '../../engine/errors.ts'
import { openCheckpoint } from '../../engine/formats/checkpoint-folder.ts'
import { openSafetensors } from '../../engine/formats/safetensors.ts'
import { createRandom } from '../../engine/seeded-random.ts'
import { countingSource, memoryFolder, memorySource } from '../byte-sources.ts'
import { safetensorsFile, tinyTensors } from '../tiny-checkpoint.ts'
import { concat, u64 } from '../torch-files.ts'
import { allocatedBytes, expectRefusal, MIB } from './expect-refusal.ts'

const file = (header: string | object, dataBytes = 8): Uint8Array => {
  const json = typeof header === 'string' ? header : JSON.stringify(header)
  return concat(u64(Buffer.byteLength(json)), json, new Uint8Array(dataBytes))
}
const open = (bytes: Uint8Array) => openSafetensors(memorySource(bytes, 'hostile.safetensors'))
const entry = (begin: number, end: number, shape = [(end - begin) / 4]) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
})

test.each<[string, Uint8Array, EngineErrorCode]>([
  ['an empty file', new Uint8Array(0), 'file-truncated'],
  ['seven bytes', new Uint8Array(7), 'file-truncated'],
  ['a header of 2^60 bytes', concat(u64(2n ** 60n), '{}'), 'limit-exceeded'],
  ['a header of 2^64 - 1 bytes', concat(u64(2n ** 64n - 1n), '{}'), 'limit-exceeded'],
  ['a header of 2^53 bytes', concat(u64(2n ** 53n), '{}'), 'limit-exceeded'],
  ['a header longer than the file', concat(u64(1000), '{}'), 'file-truncated'],
  ['a header that is not JSON', file('{"a": '), 'format-invalid'],
  ['a header that is not UTF-8', concat(u64(2), 0xff, 0xfe), 'format-invalid'],
  ['a header of an array', file('[]'), 'format-invalid'],
  ['a header of null', file('null'), 'format-invalid'],
  ['a tensor of the wrong form', file({ a: { dtype: 'F32', shape: 'x', data_offsets: [0, 8] } }), 'format-invalid'],
  ['a tensor that is null', file({ a: null }), 'format-invalid'],
  ['a negative size', file({ a: { dtype: 'F32', shape: [-2], data_offsets: [0, 8] } }), 'format-invalid'],
  ['a fractional offset', file({ a: { dtype: 'F32', shape: [2], data_offsets: [0.5, 8] } }), 'format-invalid'],
  ['three offsets', file({ a: { dtype: 'F32', shape: [2], data_offsets: [0, 8, 8] } }), 'format-invalid'],
  ['an unknown field', file({ a: { ...entry(0, 8), url: 'x' } }), 'format-invalid'],
  ['offsets the wrong way round', file({ a: entry(8, 0, [2]) }), 'format-invalid'],
  ['a tensor beyond the end', file({ a: entry(0, 16) }), 'file-truncated'],
  ['a length that does not fit the shape', file({ a: entry(0, 8, [3]) }), 'format-invalid'],
  ['an absurd shape', file({ a: entry(0, 8, [2 ** 50, 2 ** 50]) }), 'format-invalid'],
  ['nine dimensions', file({ a: entry(0, 8, [1, 1, 1, 1, 1, 1, 1, 1, 2]) }), 'format-invalid'],
  ['overlapping tensors', file({ a: entry(0, 8), b: entry(4, 8) }), 'format-invalid'],
  ['the same bytes twice', file({ a: entry(0, 8), b: entry(0, 8) }), 'format-invalid'],
  [
    'a name twice',
    file(`{"a": ${JSON.stringify(entry(0, 4))}, "a": ${JSON.stringify(entry(4, 8))}}`),
    'format-invalid',
  ],
  [
    'a field twice',
    file('{"a": {"dtype": "F32", "dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'),
    'format-invalid',
  ],
  ['metadata that is not text', file({ __metadata__: { a: 1 } }), 'format-invalid'],
])('%s', async (_, bytes, code) => {
  const allocated = await allocatedBytes(() => expectRefusal(() => open(bytes), code))
  expect(allocated).toBeLessThan(8 * MIB)
})

test('names with colons, quotes and escapes are no duplicates', async () => {
  const names = ['a:b', '"', '\\', '\\":"', '__proto__', 'ü:']
  const header = `{${names.map(name => `${JSON.stringify(name)}: ${JSON.stringify(entry(0, 0, [0]))}`).join()}}`
  expect([...(await open(file(header))).tensors.keys()]).toEqual(names)
})

test('a deeply nested header neither overflows the stack nor hangs', async () => {
  await expectRefusal(() => open(file(`{"a": ${'['.repeat(MIB)}${']'.repeat(MIB)}}`)), 'format-invalid')
  await expectRefusal(() => open(file(`${'{"a":'.repeat(200_000)}1${'}'.repeat(200_000)}`)), 'format-invalid')
})

test('cut off anywhere, it is refused', async () => {
  const whole = await safetensorsFile(tinyTensors())
  for (let length = 0; length < whole.length; length += length < 4000 ? 7 : 331) {
    await expectRefusal(() => open(whole.subarray(0, length)), 'file-truncated')
  }
})

test('bytes changed at random give tensors inside the file or a typed error', async () => {
  const random = createRandom(21)
  const whole = await safetensorsFile(tinyTensors())
  const headerBytes = Number(Buffer.from(whole).readBigUInt64LE(0))
  let refused = 0
  for (let round = 0; round < 2000; round++) {
    const bytes = Uint8Array.from(whole)
    for (let i = 0; i < 2; i++) bytes[Math.floor(random() * (8 + headerBytes))] = 32 + Math.floor(random() * 95)
    try {
      const { tensors } = await open(bytes)
      for (const { fileOffset, byteLength } of tensors.values())
        expect(fileOffset + byteLength <= bytes.length).toBe(true)
    } catch (error) {
      refused++
      await expectRefusal(() => Promise.reject(error), 'format-invalid', 'file-truncated', 'limit-exceeded')
    }
  }
  expect(refused).toBeGreaterThan(500)
})

test('a large plausible header is not read when the file is too short for it', async () => {
  const source = countingSource('short.safetensors', 100, async (_, length) => {
    const bytes = new Uint8Array(length)
    bytes.set(u64(15 * MIB))
    return bytes
  })
  await expectRefusal(() => openSafetensors(source), 'file-truncated')
  expect(source.bytesRead).toBeLessThanOrEqual(2 * 100)
})

const index = (weightMap: unknown, name = 'model.safetensors.index.json') =>
  memoryFolder({ [name]: { weight_map: weightMap }, 'a.safetensors': file({}) })

test.each<[string, unknown, EngineErrorCode]>([
  ['a path upwards', { w: '../../../etc/passwd' }, 'format-invalid'],
  ['a path upwards, Windows', { w: '..\\secret.safetensors' }, 'format-invalid'],
  ['an absolute path', { w: '/etc/passwd' }, 'format-invalid'],
  ['a folder inside', { w: 'sub/a.safetensors' }, 'format-invalid'],
  ['the folder itself', { w: '.' }, 'format-invalid'],
  ['a missing shard', { w: 'b.safetensors' }, 'file-not-found'],
  ['a number as a file', { w: 3 }, 'format-invalid'],
  ['no map', undefined, 'format-invalid'],
  [
    'thousands of shards',
    Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`w${i}`, `${i}`])),
    'limit-exceeded',
  ],
])('an index with %s', async (_, weightMap, code) => {
  await expectRefusal(() => openCheckpoint(index(weightMap)), code)
  await expectRefusal(() => openCheckpoint(index(weightMap, 'pytorch_model.bin.index.json')), code)
})

test('an index never opens a file that the folder does not list', async () => {
  const folder = index({ w: '../a.safetensors' })
  await expectRefusal(() => openCheckpoint(folder), 'format-invalid')
  expect(folder.opened.map(({ name }) => name)).toEqual(['model.safetensors.index.json'])
})
