/** Files of checkpoints read as tensors: safetensors, both layouts of torch .bin, shards. */
import { expect, test } from 'vitest'
import type { Checkpoint } from '../../engine/formats/checkpoint.ts'
import { openCheckpoint } from '../../engine/formats/checkpoint-folder.ts'
import { openSafetensors, writeSafetensorsHeader } from '../../engine/formats/safetensors.ts'
import { openTorchBin } from '../../engine/formats/torch-bin.ts'
import { memoryFolder, memorySink, memorySource } from '../byte-sources.ts'
import { safetensorsFile, tinyTensors, torchTensors } from '../tiny-checkpoint.ts'
import { P, stateDictPickle, type TorchStorage, type TorchTensor, torchLegacy, torchZip } from '../torch-files.ts'

const floatBytes = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer)
const storage = (key: string, ...values: number[]): TorchStorage => ({
  kind: 'FloatStorage',
  key,
  bytes: floatBytes(...values),
})

async function elements(checkpoint: Checkpoint, name: string): Promise<number[]> {
  const count = checkpoint.tensors.get(name)!.shape.reduce((product, size) => product * size, 1)
  return [...(await checkpoint.readElements(name, 0, count))]
}

const LAYOUTS = {
  zip: (tensors: Map<string, TorchTensor>) => torchZip(tensors),
  zip64: (tensors: Map<string, TorchTensor>) => torchZip(tensors, { zip64: true, comment: 'a comment PK' }),
  legacy: (tensors: Map<string, TorchTensor>) => torchLegacy(tensors),
}

test.each(Object.entries(LAYOUTS))('torch %s: every tensor comes back', async (_, write) => {
  const tensors = tinyTensors()
  const checkpoint = await openTorchBin(memorySource(write(torchTensors(tensors))))
  expect([...checkpoint.tensors.keys()]).toEqual([...tensors.keys()])
  for (const [name, { shape, values }] of tensors) {
    expect(checkpoint.tensors.get(name)!.shape).toEqual(shape)
    expect(await elements(checkpoint, name)).toEqual([...values])
  }
})

test.each(Object.entries(LAYOUTS))('torch %s: strides, offsets and shared storages', async (_, write) => {
  const shared = storage('0', 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
  const checkpoint = await openTorchBin(
    memorySource(
      write(
        new Map<string, TorchTensor>([
          ['whole', { storage: shared, shape: [3, 4] }],
          ['transposed', { storage: shared, shape: [4, 3], strides: [1, 4] }],
          ['tail', { storage: shared, offset: 8, shape: [4] }],
          ['everyOther', { storage: shared, offset: 1, shape: [2, 3], strides: [6, 2] }],
          ['expanded', { storage: shared, offset: 5, shape: [2, 2], strides: [0, 1] }],
          ['permuted', { storage: shared, shape: [2, 2, 3], strides: [3, 6, 1] }],
          ['one', { storage: shared, offset: 3, shape: [1, 1], strides: [77, 5] }],
          ['scalar', { storage: shared, offset: 2, shape: [] }],
          ['empty', { storage: shared, offset: 0, shape: [0, 4] }],
          ['parameter', { storage: storage('1', 42), shape: [1], parameter: true }],
        ]),
      ),
    ),
  )
  const all = Object.fromEntries(
    await Promise.all(
      [...checkpoint.tensors.keys()].map(async name => [name, await elements(checkpoint, name)] as const),
    ),
  )
  expect(all).toEqual({
    whole: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    transposed: [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11],
    tail: [8, 9, 10, 11],
    everyOther: [1, 3, 5, 7, 9, 11],
    expanded: [5, 6, 5, 6],
    permuted: [0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11],
    one: [3],
    scalar: [2],
    empty: [],
    parameter: [42],
  })
  // Pieces of a scattered tensor, from any element on.
  expect([...(await checkpoint.readElements('transposed', 5, 4))]).toEqual([9, 2, 6, 10])
  expect([...(await checkpoint.readElements('permuted', 7, 3))]).toEqual([4, 5, 9])
})

test('torch: half, bfloat16 and double become float32, whole numbers are only listed', async () => {
  const checkpoint = await openTorchBin(
    memorySource(
      torchZip(
        new Map<string, TorchTensor>([
          ['half', { storage: { kind: 'HalfStorage', key: 'a', bytes: Uint8Array.of(0, 0x3c, 0, 0xc0) }, shape: [2] }],
          ['bf16', { storage: { kind: 'BFloat16Storage', key: 'b', bytes: Uint8Array.of(0x40, 0x40) }, shape: [1] }],
          [
            'double',
            {
              storage: { kind: 'DoubleStorage', key: 'c', bytes: new Uint8Array(Float64Array.of(0.1).buffer) },
              shape: [1],
            },
          ],
          ['ids', { storage: { kind: 'LongStorage', key: 'd', bytes: new Uint8Array(16) }, shape: [2] }],
        ]),
      ),
    ),
  )
  expect(await elements(checkpoint, 'half')).toEqual([1, -2])
  expect(await elements(checkpoint, 'bf16')).toEqual([3])
  expect(await elements(checkpoint, 'double')).toEqual([Math.fround(0.1)])
  await expect(elements(checkpoint, 'ids')).rejects.toEqual(
    expect.objectContaining({ code: 'tensor-type-unsupported' }),
  )
})

test('torch: what training scripts wrap around a state dict is taken off', async () => {
  const inner = new Map<string, TorchTensor>([['model.norm.weight', { storage: storage('0', 1, 2), shape: [2] }]])
  for (const key of ['state_dict', 'model', 'module', 'model_state_dict']) {
    // The state dict's own pickle without its frame of PROTO and STOP.
    const body = stateDictPickle(inner).subarray(2, -1)
    const pickle = P.pickle(P.dict(P.text('epoch'), P.int(3), P.text(key), body))
    const checkpoint = await openTorchBin(memorySource(torchZip(inner, { pickle })))
    expect(await elements(checkpoint, 'model.norm.weight')).toEqual([1, 2])
  }
})

test.each([
  ['torch.compile', '_orig_mod.'],
  ['data-parallel training', 'module.'],
  ['both', 'module._orig_mod.'],
  ['FSDP', '_fsdp_wrapped_module.'],
  ['a model within a model', 'model.'],
])('names that %s has put something before are those of the model', async (_, prefix) => {
  const tensors = tinyTensors()
  const wrapped = new Map([...tensors].map(([name, tensor]) => [prefix + name, tensor]))
  for (const folder of [
    memoryFolder({ 'model.safetensors': await safetensorsFile(wrapped) }),
    memoryFolder({ 'pytorch_model.bin': torchZip(torchTensors(wrapped)) }),
  ]) {
    const checkpoint = await openCheckpoint(folder)
    expect([...checkpoint.tensors.keys()]).toEqual([...tensors.keys()])
    expect(await elements(checkpoint, 'model.norm.weight')).toEqual([...tensors.get('model.norm.weight')!.values])
  }
})

test('names of parts that were compiled alone are those of the model', async () => {
  const tensors = tinyTensors()
  const wrapped = new Map(
    [...tensors].map(([name, tensor]) => [name.replace('layers.1.', 'layers.1._orig_mod.'), tensor]),
  )
  const checkpoint = await openCheckpoint(memoryFolder({ 'model.safetensors': await safetensorsFile(wrapped) }))
  expect([...checkpoint.tensors.keys()]).toEqual([...tensors.keys()])
})

test.each(['model.safetensors', 'pytorch_model.bin', 'model.safetensors.index.json'])(
  'a Git LFS pointer in the place of %s is named',
  async name => {
    const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 478558315\n'
    const opening = openCheckpoint(memoryFolder({ [name]: pointer }))
    await expect(opening).rejects.toMatchObject({
      code: 'format-unknown',
      message: `"${name}" is a Git LFS pointer, not the file itself.`,
      expected: 'a file of 478558315 bytes',
      remedy: expect.stringContaining('git lfs pull'),
    })
  },
)

test.each([
  ['model.safetensors', '<!DOCTYPE html>\n<html lang="en"><title>Sign in</title></html>'],
  ['pytorch_model.bin', '\n<HTML><body>404</body></HTML>'],
  ['model.safetensors.index.json', `<!doctype html>${' '.repeat(5000)}`],
])('a web page in the place of %s is named', async (name, page) => {
  await expect(openCheckpoint(memoryFolder({ [name]: page }))).rejects.toMatchObject({
    code: 'format-unknown',
    message: `"${name}" is a web page, not the file itself.`,
    remedy: expect.stringContaining('download the file again'),
  })
})

test('a file of another format under the name of safetensors shows its first bytes', async () => {
  await expect(openCheckpoint(memoryFolder({ 'model.safetensors': 'PK\x03\x04 and so on' }))).rejects.toMatchObject({
    code: 'limit-exceeded',
    message: '"model.safetensors" is not a safetensors file.',
    actual: 'first bytes 50 4b 03 04 20 61 6e 64',
  })
})

test('torch: pickles of newer protocols and of untyped storages', async () => {
  const short = (text: string) => Buffer.concat([Uint8Array.of(0x8c, text.length), Buffer.from(text)])
  const name = (module: string, attribute: string) =>
    Buffer.concat([short(module), short(attribute), Buffer.of(0x93, 0x94)])
  const untyped = P.tuple(
    P.text('storage'),
    name('torch.storage', 'UntypedStorage'),
    P.text('0'),
    P.text('cpu'),
    P.int(8),
  )
  const shape = P.tuple(P.int(2))
  const args = P.tuple(
    Buffer.concat([untyped, P.persistentId]),
    P.int(0),
    Buffer.concat([name('torch', 'Size'), P.tuple(shape), P.reduce]),
    P.tuple(P.int(1)),
    P.false,
    P.dict(),
    name('torch', 'float32'),
  )
  const tensor = Buffer.concat([name('torch._utils', '_rebuild_tensor_v3'), args, P.reduce])
  const frame = Buffer.concat([Uint8Array.of(0x80, 4, 0x95), Buffer.alloc(8)])
  const pickle = Buffer.concat([frame, P.dict(P.text('w'), tensor), P.stop])
  const file = torchZip(new Map([['w', { storage: storage('0', 5, 6), shape: [2] }]]), { pickle })
  expect(await elements(await openTorchBin(memorySource(file)), 'w')).toEqual([5, 6])
})

test('safetensors: the writer and the reader agree, and data is aligned', async () => {
  const tensors = tinyTensors()
  const reader = await openSafetensors(memorySource(await safetensorsFile(tensors)))
  expect(reader.metadata).toEqual({ format: 'pt' })
  for (const [name, { values }] of tensors) {
    expect(await elements(reader, name)).toEqual([...values])
    expect(reader.tensors.get(name)!.fileOffset % 4).toBe(0)
  }
})

test('safetensors: the size announced is the size written', async () => {
  const sink = memorySink()
  const total = await writeSafetensorsHeader(sink, [{ name: 'logits', dtype: 'F32', shape: [2, 3] }])
  await sink.write(floatBytes(1, 2, 3, 4, 5, 6))
  await sink.finish()
  expect(sink.bytes().length).toBe(total)
  expect([...(await (await openSafetensors(memorySource(sink.bytes()))).readElements('logits', 4, 2))]).toEqual([5, 6])
})

test('shards are joined by their index, and every file is closed', async () => {
  const tensors = [...tinyTensors()]
  const files = { a: new Map(tensors.slice(0, 10)), b: new Map(tensors.slice(10)) }
  const weight_map = Object.fromEntries(tensors.map(([name], i) => [name, i < 10 ? 'a.bin' : 'b.bin']))
  const folder = memoryFolder({
    'pytorch_model.bin.index.json': { metadata: {}, weight_map },
    'a.bin': torchZip(torchTensors(files.a)),
    'b.bin': torchLegacy(torchTensors(files.b)),
  })
  const checkpoint = await openCheckpoint(folder)
  for (const [name, { values }] of tensors) expect(await elements(checkpoint, name)).toEqual([...values])
  await checkpoint.close()
  expect(folder.opened.map(({ closed }) => closed)).toEqual([true, true, true])
})

test('safetensors go before .bin', async () => {
  const tensors = tinyTensors()
  const folder = memoryFolder({ 'pytorch_model.bin': 'unread', 'model.safetensors': await safetensorsFile(tensors) })
  expect((await openCheckpoint(folder)).tensors.size).toBe(tensors.size)
})
