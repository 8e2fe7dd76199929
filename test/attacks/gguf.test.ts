/** Hostile GGUF files, made here: each is refused with a typed error before anything large is read or allocated. */
import { expect, test } from 'vitest'
import type { EngineErrorCode } from '../../engine/errors.ts'
import { openGguf } from '../../engine/formats/gguf.ts'
import { readFloats, readScale, readTernaryRows } from '../../engine/formats/read-tensors.ts'
import { tensorsOf } from '../../engine/model/tensors.ts'
import { createRandom } from '../../engine/seeded-random.ts'
import { countingSource, memorySource } from '../byte-sources.ts'
import { type GgufFile, ggufFile, string, tinyGguf, V } from '../gguf-file.ts'
import { concat, u32, u64 } from '../torch-files.ts'
import { allocatedBytes, expectRefusal, MIB } from './expect-refusal.ts'

const open = (bytes: Uint8Array) => openGguf(memorySource(bytes, 'hostile.gguf'))
const changed = (change: (file: GgufFile) => void): Uint8Array => {
  const file = tinyGguf()
  change(file)
  return ggufFile(file)
}
const tensor = (file: GgufFile, name: string) => file.tensors.find(other => other.name === name)!
const replace = (file: GgufFile, key: string, value: Uint8Array | null) => {
  file.metadata = file.metadata.flatMap(entry => (entry[0] !== key ? [entry] : value ? [[key, value]] : []))
}

test('the file that the attacks are made from is a good one', async () => {
  const model = await open(ggufFile(tinyGguf()))
  for (const { name, role, shape } of tensorsOf(model.config)) {
    if (role === 'ternary') await readTernaryRows(model, name, 0, shape[0]!, shape[1]!)
    else await readFloats(model, name, shape)
  }
})

test('cut off anywhere, it is called truncated or unknown', async () => {
  const whole = ggufFile(tinyGguf())
  const headerEnd = whole.indexOf(0x55) // first ternary block
  for (let length = 0; length < whole.length - 32; length += length < headerEnd ? 1 : 97) {
    await expectRefusal(() => open(whole.subarray(0, length)), length < 4 ? 'format-unknown' : 'file-truncated')
  }
})

const HUGE = [2n ** 32n, 2n ** 53n, 2n ** 60n, 2n ** 63n, 2n ** 64n - 1n]

test.each<[string, (file: GgufFile) => void, EngineErrorCode]>([
  ['wrong magic', file => (file.magic = 'GGML'), 'format-unknown'],
  ['version 1', file => (file.version = 1), 'format-unsupported'],
  ['version 4', file => (file.version = 4), 'format-unsupported'],
  ['big-endian', file => (file.version = 0x03000000), 'format-unsupported'],
  ['another architecture', file => replace(file, 'general.architecture', V.string('llama')), 'config-unsupported'],
  ['no architecture', file => replace(file, 'general.architecture', null), 'config-unsupported'],
  ['architecture as a number', file => replace(file, 'general.architecture', V.u32(7)), 'config-unsupported'],
  ['a key twice', file => file.metadata.push(['general.name', V.string('again')]), 'format-invalid'],
  ['a tensor twice', file => file.tensors.push(tensor(file, 'output.scale')), 'format-invalid'],
  ['a missing size', file => replace(file, 'hgrn_bit.embedding_length', null), 'config-invalid'],
  ['a size as text', file => replace(file, 'hgrn_bit.block_count', V.string('1')), 'config-invalid'],
  ['a size of 0', file => replace(file, 'hgrn_bit.block_count', V.u32(0)), 'config-invalid'],
  ['absurd layers', file => replace(file, 'hgrn_bit.block_count', V.u32(2 ** 31)), 'config-invalid'],
  ['an absurd width', file => replace(file, 'hgrn_bit.embedding_length', V.u32(2 ** 32 - 1)), 'config-invalid'],
  ['a fractional width', file => replace(file, 'hgrn_bit.expand_ratio', V.f32(1.3)), 'config-invalid'],
  ['a NaN epsilon', file => replace(file, 'hgrn_bit.attention.layer_norm_rms_epsilon', V.f32(NaN)), 'config-invalid'],
  ['lower bounds beside a wider state', file => replace(file, 'hgrn_bit.expand_ratio', V.u32(2)), 'config-unsupported'],
  ['another number of layers', file => replace(file, 'hgrn_bit.block_count', V.u32(2)), 'tensor-missing'],
  ['a missing block', withoutBlock, 'tensor-missing'],
  [
    'another feed-forward size',
    file => replace(file, 'hgrn_bit.feed_forward_length', V.u32(11)),
    'tensor-shape-mismatch',
  ],
  ['a special token outside', file => replace(file, 'tokenizer.ggml.bos_token_id', V.u32(6)), 'config-invalid'],
  ['alignment 0', file => file.metadata.push(['general.alignment', V.u32(0)]), 'format-invalid'],
  ['alignment 33', file => file.metadata.push(['general.alignment', V.u32(33)]), 'format-invalid'],
  ['alignment as text', file => file.metadata.push(['general.alignment', V.string('32')]), 'format-invalid'],
  ['a value type 13', file => file.metadata.push(['x', u32(13)]), 'format-invalid'],
  ['a boolean 2', file => file.metadata.push(['x', concat(u32(7), 2)]), 'format-invalid'],
  [
    'a value that is not UTF-8',
    file => file.metadata.push(['x', concat(u32(8), u64(2), 0xff, 0xfe)]),
    'format-invalid',
  ],
  [
    'an array of arrays',
    file => file.metadata.push(['x', concat(u32(9), u32(9), u64(1), u32(9))]),
    'format-unsupported',
  ],
  ['a missing tensor', file => file.tensors.pop(), 'tensor-missing'],
  ['an unknown type', file => (tensor(file, 'output.scale').typeId = 12), 'tensor-type-unsupported'],
  ['a ternary matrix as F32', file => asFloats(file), 'tensor-type-unsupported'],
  ['a norm as TQ2_0', file => asTernary(file), 'tensor-type-unsupported'],
  ['a dimension 0', file => (tensor(file, 'output.scale').dimensions = [0]), 'format-invalid'],
  ['no dimensions', file => (tensor(file, 'output.scale').dimensions = []), 'format-invalid'],
  ['five dimensions', file => (tensor(file, 'output.scale').dimensions = [1, 1, 1, 1, 1]), 'limit-exceeded'],
  ['rows that are no whole blocks', file => (tensor(file, 'output.weight').dimensions = [255, 6]), 'format-invalid'],
  ['a transposed matrix', file => (tensor(file, 'token_embd.weight').dimensions = [6, 8]), 'tensor-shape-mismatch'],
  ['overlapping tensors', file => (tensor(file, 'output.scale').offset = 0), 'format-invalid'],
  ['a misaligned tensor', file => (tensor(file, 'output.scale').offset = 4), 'format-invalid'],
  ['an offset behind the end', file => (tensor(file, 'output.scale').offset = 2 ** 20), 'file-truncated'],
])('%s', async (_, change, code) => {
  await expectRefusal(() => open(changed(change)), code)
})

function withoutBlock(file: GgufFile): void {
  replace(file, 'hgrn_bit.block_count', V.u32(2))
  replace(file, 'hgrn_bit.use_lower_bound', V.bool(false))
}
function asFloats(file: GgufFile): void {
  Object.assign(tensor(file, 'output.weight'), { typeId: 0, dimensions: [8, 6], bytes: new Uint8Array(192) })
}
function asTernary(file: GgufFile): void {
  Object.assign(tensor(file, 'output_norm.weight'), { typeId: 35, dimensions: [256], bytes: new Uint8Array(66) })
}

test.each(HUGE)('counts, lengths, dimensions and offsets of %s', async huge => {
  const attacks: Uint8Array[] = [
    changed(file => (file.tensorCount = huge)),
    changed(file => (file.metadataCount = huge)),
    changed(file => file.metadata.push(['x', concat(u32(8), u64(huge), 'abc')])),
    changed(file => file.metadata.push(['x', concat(u32(9), u32(4), u64(huge))])),
    changed(file => file.metadata.push(['x', concat(u32(9), u32(8), u64(huge))])),
    changed(file => file.metadata.push(['x', concat(u32(9), u32(8), u64(300), u64(huge))])),
    changed(file => (tensor(file, 'output.scale').dimensions = [huge])),
    changed(file => (tensor(file, 'output.scale').dimensions = [2 ** 16, 2 ** 16, huge, huge])),
    changed(file => (tensor(file, 'output.scale').offset = huge)),
    concat('GGUF', u32(3), u64(1), u64(1), u64(huge), 'key'),
    concat('GGUF', u32(3), u64(1), u64(0), u64(huge), 'name'),
  ]
  for (const bytes of attacks) {
    const codes = ['limit-exceeded', 'file-truncated', 'tensor-shape-mismatch'] as const
    const allocated = await allocatedBytes(() => expectRefusal(() => open(bytes), ...codes))
    expect(allocated).toBeLessThan(8 * MIB)
  }
})

test('a real header in front of terabytes that are not there is read to its end and no further', async () => {
  const bytes = changed(file => file.metadata.push(['x', concat(u32(9), u32(8), u64(2 ** 30))]))
  // The file claims a terabyte; every read beyond the header gives zeros, so strings of length 0.
  const source = countingSource('large.gguf', 2 ** 40, async (offset, length) => {
    const piece = new Uint8Array(length)
    if (offset < bytes.length) piece.set(bytes.subarray(offset, Math.min(bytes.length, offset + length)))
    return piece
  })
  await expectRefusal(() => openGguf(source), 'limit-exceeded')
  expect(source.largestRead).toBeLessThan(MIB)
  expect(source.bytesRead).toBeLessThan(600 * MIB)
})

test('values that are no weights are refused when they are read', async () => {
  const openChanged = (name: string, bytes: Uint8Array) => open(changed(file => (tensor(file, name).bytes = bytes)))
  const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer)
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    const norm = await openChanged('output_norm.weight', floats(1, 1, 1, bad, 1, 1, 1, 1))
    await expectRefusal(() => readFloats(norm, 'output_norm.weight', [8]), 'tensor-not-finite')
    const scale = await openChanged('output.scale', floats(bad))
    await expectRefusal(() => readScale(scale, 'output.scale'), 'tensor-not-finite')
  }
  for (const bad of [0, -1]) {
    const scale = await openChanged('output.scale', floats(bad))
    await expectRefusal(() => readScale(scale, 'output.scale'), 'format-invalid')
  }
  const matrix = await openChanged('output.weight', new Uint8Array(6 * 66).fill(0xff))
  await expectRefusal(() => readTernaryRows(matrix, 'output.weight', 0, 6, 8), 'format-invalid')
  const scaled = await openChanged('output.weight', new Uint8Array(6 * 66).fill(0x55))
  await expectRefusal(() => readTernaryRows(scaled, 'output.weight', 0, 6, 8), 'format-invalid')
})

test('bytes changed at random give a model or a typed error, never anything else', async () => {
  const random = createRandom(11)
  const whole = ggufFile(tinyGguf())
  const outcomes = { opened: 0, refused: 0 }
  for (let round = 0; round < 3000; round++) {
    const bytes = Uint8Array.from(whole)
    const changes = 1 + Math.floor(random() * 4)
    for (let i = 0; i < changes; i++) bytes[Math.floor(random() * 2600)] = Math.floor(random() * 256)
    const attempt = open(bytes)
    const model = await attempt.catch(() => null)
    if (!model) {
      outcomes.refused++
      await expectRefusal(
        () => attempt,
        ...(['format-unknown', 'format-unsupported', 'format-invalid', 'file-truncated', 'limit-exceeded'] as const),
        ...(['config-unsupported', 'config-invalid'] as const),
        ...(['tensor-missing', 'tensor-shape-mismatch', 'tensor-type-unsupported'] as const),
      )
    } else outcomes.opened++
  }
  expect(outcomes.refused).toBeGreaterThan(500)
  expect(outcomes.opened).toBeGreaterThan(10)
})

test('a key that is not UTF-8', async () => {
  const bytes = concat('GGUF', u32(3), u64(0), u64(1), u64(2), 0xff, 0xfe, V.u32(1))
  await expectRefusal(() => open(bytes), 'format-invalid')
})

test('a download that broke off says how long the file must be', async () => {
  const whole = ggufFile(tinyGguf())
  const error = await expectRefusal(() => open(whole.subarray(0, whole.length - 200)), 'file-truncated')
  // The last tensor, 8 floats, is followed by no padding.
  expect(error.expected).toBe(`at least ${whole.length} bytes`)
  expect(error.actual).toBe(`${whole.length - 200} bytes`)
})

test('one key of a kilobyte is fine, one of a megabyte is not', async () => {
  await open(changed(file => file.metadata.push(['k'.repeat(1000), V.u32(1)])))
  const long = changed(file => file.metadata.push(['k'.repeat(MIB), V.u32(1)]))
  await expectRefusal(() => open(long), 'limit-exceeded')
  expect(string('k').length).toBe(9)
})
