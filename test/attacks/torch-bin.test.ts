/** Hostile pytorch_model.bin files, made here: pickles that want to run code, zip bombs, lies about sizes. */
import { deflateRawSync } from 'node:zlib'
import { expect, test } from 'vitest'
import type { EngineErrorCode } from '../../engine/errors.ts'
import { convertCheckpoint } from '../../engine/formats/convert.ts'
import { openTorchBin } from '../../engine/formats/torch-bin.ts'
import { createRandom } from '../../engine/seeded-random.ts'
import { countingSource, memoryFolder, memorySink, memorySource } from '../byte-sources.ts'
import { TINY_CONFIG, tinyTensors, torchTensors } from '../tiny-checkpoint.ts'
import {
  concat,
  LEGACY_MAGIC_PICKLE,
  P,
  type TorchTensor,
  torchLegacy,
  torchZip,
  u32,
  u64,
  zip,
} from '../torch-files.ts'
import { allocatedBytes, expectRefusal, MIB } from './expect-refusal.ts'

const open = (bytes: Uint8Array) => openTorchBin(memorySource(bytes, 'pytorch_model.bin'))
const NONE = new Map<string, TorchTensor>()

/** The same hostile pickle in both layouts. */
const layouts = (pickle: Uint8Array) => [torchZip(NONE, { pickle }), torchLegacy(NONE, { pickle })]

async function expectPickleRefused(pickle: Uint8Array, ...codes: EngineErrorCode[]): Promise<string[]> {
  const messages: string[] = []
  for (const bytes of layouts(pickle)) {
    const allocated = await allocatedBytes(async () => {
      messages.push((await expectRefusal(() => open(bytes), ...codes)).message)
    })
    expect(allocated).toBeLessThan(64 * MIB)
  }
  return messages
}

const call = (module: string, name: string, ...args: Uint8Array[]) =>
  concat(P.global(module, name), P.tuple(...args), P.reduce)

test.each<[string, string]>([
  ['os', 'system'],
  ['posix', 'system'],
  ['nt', 'system'],
  ['subprocess', 'Popen'],
  ['builtins', 'eval'],
  ['__builtin__', 'exec'],
  ['builtins', 'getattr'],
  ['runpy', '_run_code'],
  ['webbrowser', 'open'],
  ['torch', 'load'],
  ['torch.hub', 'load'],
  ['torch._utils', '_rebuild_qtensor'],
  ['collections', 'OrderedDict\u0000'],
  ['collections.OrderedDict', '__init__'],
  ['constructor', 'constructor'],
  ['__proto__', 'toString'],
  ['', 'hasOwnProperty'],
])('a pickle that refers to %s.%s is refused and names it', async (module, name) => {
  const messages = await expectPickleRefused(
    P.pickle(call(module, name, P.text('touch /tmp/owned'))),
    'format-unsupported',
  )
  for (const message of messages) expect(message).toContain(`${module}.${name}`)
})

test('code in a plain pickle without any torch around it is refused as well', async () => {
  await expectRefusal(() => open(P.pickle(call('os', 'system', P.text('id')))), 'format-unsupported')
  // The same by the opcodes of protocol 0, and through STACK_GLOBAL.
  await expectRefusal(() => open(concat(0x80, 2, "cos\nsystem\n(S'id'\ntR.")), 'format-unsupported')
  const stackGlobal = concat(0x80, 4, 0x8c, 2, 'os', 0x8c, 6, 'system', 0x93, P.tuple(P.text('id')), 'R.')
  await expectRefusal(() => open(stackGlobal), 'format-unsupported')
})

test.each<[string, Uint8Array]>([
  ['INST', concat('(ios\nsystem\n')],
  ['OBJ', concat('(', P.global('collections', 'OrderedDict'), 'o')],
  ['NEWOBJ', concat(P.global('collections', 'OrderedDict'), ')', 0x81)],
  ['NEWOBJ_EX', concat(P.global('collections', 'OrderedDict'), ')}', 0x92)],
  ['EXT1', concat(0x82, 1)],
  ['PERSID', concat('Pid\n')],
  ['LONG4', concat(0x8b, u32(2 ** 31), 'x')],
  ['BINUNICODE8', concat(0x8d, u64(2n ** 60n))],
  ['BYTEARRAY8', concat(0x96, u64(2n ** 60n))],
  ['an opcode that does not exist', concat(0xff)],
])('opcode %s is refused', async (_, body) => {
  await expectPickleRefused(P.pickle(body), 'format-unsupported')
})

test.each<[string, Uint8Array, EngineErrorCode]>([
  ['calls a text', concat(P.text('x'), ')', 'R'), 'format-unsupported'],
  ['calls a class of storages', call('torch', 'FloatStorage'), 'format-unsupported'],
  ['calls a type', call('torch', 'float32'), 'format-unsupported'],
  ['builds attributes onto a list', concat(']', '}', 'b'), 'format-unsupported'],
  ['takes from an empty stack', P.reduce, 'format-invalid'],
  ['has no mark', concat('t'), 'format-invalid'],
  ['sets items on a number', concat(P.int(3), '(', P.int(1), P.int(2), 'u'), 'format-invalid'],
  ['sets half an item', concat('}', '(', P.int(1), 'u'), 'format-invalid'],
  ['appends to a number', concat(P.int(3), P.int(1), 'a'), 'format-invalid'],
  ['recalls what is not there', P.get(5), 'format-invalid'],
  ['is no dict', P.int(3), 'format-invalid'],
  ['has a name without end', concat('c', 'a'.repeat(5000)), 'format-invalid'],
  ['has a text of 4 GiB', concat('X', u32(2 ** 32 - 1)), 'limit-exceeded'],
  ['describes a storage by a number', concat(P.int(1), 'Q'), 'format-invalid'],
  ['describes a storage of negative size', storage(concat('J', u32(2 ** 32 - 1))), 'format-invalid'],
  ['describes a storage of fractional size', storage(concat('G', 0x3f, 0xe0, 0, 0, 0, 0, 0, 0)), 'format-invalid'],
  ['rebuilds a tensor out of nothing', call('torch._utils', '_rebuild_tensor_v2'), 'format-invalid'],
  ['rebuilds a tensor from a dict', call('torch._utils', '_rebuild_tensor_v2', P.dict()), 'format-invalid'],
])('a pickle that %s', async (_, body, code) => {
  await expectPickleRefused(P.pickle(body), code)
})

function storage(elementCount: Uint8Array): Uint8Array {
  const id = P.tuple(P.text('storage'), P.global('torch', 'FloatStorage'), P.text('0'), P.text('cpu'), elementCount)
  return concat(id, 'Q')
}

test('bombs of marks, containers, memo entries and nesting end at a budget', async () => {
  const repeat = (body: Uint8Array, count: number) => Buffer.alloc(count * body.length, body)
  const memo = Buffer.concat(Array.from({ length: 100_000 }, (_, i) => P.put(i)))
  const bombs = [
    repeat(P.mark, MIB),
    repeat(concat('}'), MIB),
    repeat(concat(']', '0'), MIB),
    concat('N', memo),
    // Texts without end: bounded by the bytes of a pickle.
    repeat(concat('X', u32(60_000), 'x'.repeat(60_000), '0'), 400),
    // Lists in lists, a million deep, and doubled at every step.
    repeat(concat(']'), 200_000),
    concat(']', P.put(0), repeat(concat('0]', P.put(1), '(', P.get(0), P.get(0), 'e', P.put(0)), 100_000)),
  ]
  for (const bomb of bombs) await expectPickleRefused(P.pickle(bomb), 'limit-exceeded')
})

test('a list that holds itself is just no state dict', async () => {
  await expectPickleRefused(P.pickle(concat(']', P.put(0), P.get(0), 'a')), 'format-invalid')
})

const deflated = deflateRawSync(new Uint8Array(64 * MIB))
const good = torchTensors(tinyTensors())

test.each<[string, Uint8Array, EngineErrorCode]>([
  [
    'a zip bomb',
    zip([{ name: 'a/data.pkl', bytes: deflated, method: 8, claimedBytes: 64 * MIB }]),
    'format-unsupported',
  ],
  [
    'a bomb beside a good pickle',
    zip([pickleEntry(), { name: 'a/data/0', bytes: deflated, method: 8 }]),
    'format-unsupported',
  ],
  ['an encrypted entry', zip([{ ...pickleEntry(), flags: 1 }]), 'format-unsupported'],
  ['sizes that differ', zip([{ ...pickleEntry(), claimedBytes: 10 }]), 'format-invalid'],
  ['no pickle', zip([{ name: 'a/other', bytes: new Uint8Array(3) }]), 'format-invalid'],
  ['two pickles', zip([pickleEntry(), { ...pickleEntry(), name: 'b/data.pkl' }]), 'format-invalid'],
  ['one name twice', zip([pickleEntry(), pickleEntry()]), 'format-invalid'],
  ['an offset behind the end', zip([{ ...pickleEntry(), claimedOffset: 2 ** 31 }]), 'format-invalid'],
  ['an offset into nothing', zip([{ ...pickleEntry(), claimedOffset: 7 }]), 'format-invalid'],
  [
    'a zip64 offset of 2^63',
    zip([{ ...pickleEntry(), claimedOffset: Number(2n ** 63n) }], { zip64: true }),
    'format-invalid',
  ],
  ['more entries than there are', zip([pickleEntry()], { claimedEntries: 60_000 }), 'format-invalid'],
  ['2^60 entries', zip([pickleEntry()], { zip64: true, claimedEntries: 2 ** 60 }), 'limit-exceeded'],
  ['big-endian numbers', zip([pickleEntry(), { name: 'a/byteorder', bytes: concat('big') }]), 'format-unsupported'],
  ['no end', concat('PK\x03\x04', new Uint8Array(1000)), 'format-invalid'],
  ['a storage that is missing', torchZip(NONE, { pickle: dictWith(tensorPickle()) }), 'format-invalid'],
])('an archive with %s', async (_, bytes, code) => {
  const allocated = await allocatedBytes(() => expectRefusal(() => open(bytes), code))
  expect(allocated).toBeLessThan(16 * MIB)
})

function pickleEntry() {
  return { name: 'a/data.pkl', bytes: P.pickle(P.dict()) }
}
function dictWith(tensor: Uint8Array): Uint8Array {
  return P.pickle(P.dict(P.text('w'), tensor))
}
function tensorPickle(): Uint8Array {
  return call(
    ...(['torch._utils', '_rebuild_tensor_v2'] as const),
    ...[storage(P.int(4)), P.int(0), P.tuple(P.int(4)), P.tuple(P.int(1)), P.false, P.dict()],
  )
}

test.each<[string, Partial<TorchTensor>]>([
  ['a shape larger than its storage', { shape: [5] }],
  ['an offset behind its storage', { offset: 4, shape: [1] }],
  ['strides beyond its storage', { shape: [2, 2], strides: [3, 1] }],
  ['an absurd shape', { shape: [2 ** 30, 2 ** 30, 2 ** 30, 2 ** 30], strides: [1, 1, 1, 1] }],
])('a tensor with %s is refused', async (_, change) => {
  const bytes = new Uint8Array(16)
  const tensors = new Map([
    ['w', { storage: { kind: 'FloatStorage', key: '0', bytes }, shape: [4], ...change } as TorchTensor],
  ])
  await expectRefusal(() => open(torchZip(tensors)), 'format-invalid')
  await expectRefusal(() => open(torchLegacy(tensors)), 'format-invalid')
})

test('a storage that claims more than its entry holds', async () => {
  const short = { name: 'a/data/0', bytes: new Uint8Array(8) }
  const bytes = zip([{ name: 'a/data.pkl', bytes: dictWith(tensorPickle()) }, short])
  await expectRefusal(() => open(bytes), 'file-truncated')
})

test('the old layout: lies about its storages', async () => {
  const head = torchLegacy(good)
  await expectRefusal(() => open(head.subarray(0, head.length - 1)), 'file-truncated')
  const system = P.pickle(P.dict(P.text('little_endian'), P.true))
  const prefix = concat(LEGACY_MAGIC_PICKLE, P.pickle(P.int(1001)), system, dictWith(legacyTensor()))
  const keys = (...names: string[]) => P.pickle(P.list(...names.map(P.text)))
  const attacks: [Uint8Array, EngineErrorCode][] = [
    [concat(prefix, keys('0'), u64(2n ** 60n), new Uint8Array(16)), 'format-invalid'],
    [concat(prefix, keys('0'), u64(5), new Uint8Array(16)), 'format-invalid'],
    [concat(prefix, keys('0', '0'), u64(4), new Uint8Array(16), u64(4), new Uint8Array(16)), 'format-invalid'],
    [concat(prefix, keys('other'), u64(4), new Uint8Array(16)), 'format-invalid'],
    [concat(prefix, keys(), u64(4), new Uint8Array(16)), 'format-invalid'],
    [concat(prefix, P.pickle(P.int(1))), 'format-invalid'],
    [concat(prefix, keys('0'), u64(4), new Uint8Array(15)), 'file-truncated'],
    [concat(LEGACY_MAGIC_PICKLE, P.pickle(P.int(1002))), 'format-invalid'],
    [
      concat(LEGACY_MAGIC_PICKLE, P.pickle(P.int(1001)), P.pickle(P.dict(P.text('little_endian'), P.false))),
      'format-unsupported',
    ],
  ]
  for (const [bytes, code] of attacks) await expectRefusal(() => open(bytes), code)
})

function legacyTensor(): Uint8Array {
  const id = P.tuple(P.text('storage'), P.global('torch', 'FloatStorage'), P.text('0'), P.text('cpu'), P.int(4), P.none)
  const args = [concat(id, 'Q'), P.int(0), P.tuple(P.int(4)), P.tuple(P.int(1)), P.false, P.dict()]
  return call('torch._utils', '_rebuild_tensor_v2', ...args)
}

test('a view of a storage, of an age that nobody has, is refused by name', async () => {
  const view = P.tuple(P.text('v'), P.int(0), P.int(4))
  const id = P.tuple(P.text('storage'), P.global('torch', 'FloatStorage'), P.text('0'), P.text('cpu'), P.int(4), view)
  await expectPickleRefused(P.pickle(concat(id, 'Q')), 'format-unsupported')
})

test.each([
  ['zip', torchZip(good)],
  ['old layout', torchLegacy(good)],
])('%s: cut off anywhere, it is refused', async (_, whole) => {
  for (let length = 0; length < whole.length; length += 13) {
    await expectRefusal(
      () => open(whole.subarray(0, length)),
      ...(['format-unknown', 'format-invalid', 'file-truncated', 'limit-exceeded'] as const),
    )
  }
})

test.each([
  ['zip', torchZip(good)],
  ['old layout', torchLegacy(good)],
])('%s: bytes changed at random give tensors or a typed error', async (_, whole) => {
  const random = createRandom(31)
  let refused = 0
  for (let round = 0; round < 1500; round++) {
    const bytes = Uint8Array.from(whole)
    for (let i = 0; i < 3; i++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
    try {
      const checkpoint = await open(bytes)
      // Whatever was accepted must be readable inside the file: the source throws at any other read.
      for (const [name, { shape, dtype }] of checkpoint.tensors) {
        const count = shape.reduce((product, size) => product * size, 1)
        if (count < 10_000 && dtype === 'F32') await checkpoint.readElements(name, 0, count)
      }
    } catch (error) {
      refused++
      await expectRefusal(
        () => Promise.reject(error),
        ...(['format-unknown', 'format-unsupported', 'format-invalid', 'file-truncated', 'limit-exceeded'] as const),
      )
    }
  }
  expect(refused).toBeGreaterThan(100)
})

test('a tensor scattered over gigabytes is refused, not gathered', async () => {
  const rows = 2 ** 20
  const element = storage(P.int(2 ** 31 - 1))
  const args = [element, P.int(0), P.tuple(P.int(rows), P.int(2)), P.tuple(P.int(1), P.int(2 ** 30)), P.false, P.dict()]
  const pickle = dictWith(call('torch._utils', '_rebuild_tensor_v2', ...args))
  // A zip64 archive whose one storage is 8 GiB of zeros that exist only when they are read.
  const storageBytes = (2 ** 31 - 1) * 4
  const start = torchZip(NONE, { pickle })
  const local = concat('PK\x03\x04', new Uint8Array(26), 'archive/data/0')
  const fix = (bytes: Uint8Array) => {
    bytes[26] = 'archive/data/0'.length
    return bytes
  }
  const pickleLocal = 0
  const storageAt = start.length
  const pickleEntries = zip([], {})
  expect(pickleEntries.length).toBe(22)
  const record = (name: string, size: number, offset: number) => {
    const extra = concat(new Uint8Array([1, 0, 24, 0]), u64(size), u64(size), u64(offset))
    const head = concat('PK\x01\x02', new Uint8Array(16), u32(0xffffffff), u32(0xffffffff))
    return concat(
      head,
      new Uint8Array([name.length, 0, extra.length, 0]),
      new Uint8Array(10),
      u32(0xffffffff),
      name,
      extra,
    )
  }
  const directory = concat(
    record('archive/data.pkl', pickle.length, pickleLocal),
    record('archive/data/0', storageBytes, storageAt),
  )
  const directoryAt = storageAt + local.length + storageBytes
  const end64At = directoryAt + directory.length
  const end = concat(
    ...['PK\x06\x06', u64(44), new Uint8Array(12), u64(2), u64(2), u64(directory.length), u64(directoryAt)],
    ...['PK\x06\x07', u32(0), u64(end64At), u32(1)],
    ...['PK\x05\x06', u32(0), new Uint8Array(4).fill(255), new Uint8Array(8).fill(255), new Uint8Array(2)],
  )
  const regions: [number, Uint8Array][] = [
    [0, start],
    [storageAt, fix(local)],
    [directoryAt, directory],
    [end64At, end],
  ]
  const source = countingSource('large.bin', end64At + end.length, async (offset, length) => {
    const piece = new Uint8Array(length)
    for (const [at, bytes] of regions) {
      for (let i = Math.max(0, offset - at); i < bytes.length && at + i < offset + length; i++)
        piece[at + i - offset] = bytes[i]!
    }
    return piece
  })
  const checkpoint = await openTorchBin(source)
  expect(checkpoint.tensors.get('w')!.shape).toEqual([rows, 2])
  await expectRefusal(() => checkpoint.readElements('w', 0, 10), 'limit-exceeded')
  expect(source.largestRead).toBeLessThan(MIB)
})

test('a conversion of a hostile .bin leaves nothing behind', async () => {
  const pickle = P.pickle(call('os', 'system', P.text('id')))
  const folder = memoryFolder({ 'config.json': TINY_CONFIG, 'pytorch_model.bin': torchZip(NONE, { pickle }) })
  const sink = memorySink()
  await expectRefusal(() => convertCheckpoint(folder, sink, { packing: 'tq2_0' }), 'format-unsupported')
  expect(sink.state).toBe('aborted')
  expect(sink.bytesWritten).toBe(0)
  expect(folder.opened.every(({ closed }) => closed)).toBe(true)
})
