/**
 * Writes pytorch_model.bin files as torch.save does, in both layouts, and single pickle opcodes for files that torch.save
 * would never write. Independent of the reader in engine/formats: nothing is shared but the format.
 */

export interface TorchStorage {
  /** Class in the module torch. */
  kind: 'FloatStorage' | 'HalfStorage' | 'BFloat16Storage' | 'DoubleStorage' | 'LongStorage'
  key: string
  bytes: Uint8Array
}

export interface TorchTensor {
  storage: TorchStorage
  /** In elements. */
  offset?: number
  shape: number[]
  /** In elements; default: contiguous. */
  strides?: number[]
  /** Wrapped in torch.nn.Parameter. */
  parameter?: boolean
}

const ELEMENT_BYTES = { FloatStorage: 4, HalfStorage: 2, BFloat16Storage: 2, DoubleStorage: 8, LongStorage: 8 }

const utf8 = new TextEncoder()

/** Bytes of numbers, texts and byte arrays in a row. */
export function concat(...parts: (number | string | Uint8Array)[]): Uint8Array {
  return Buffer.concat(
    parts.map(part =>
      typeof part === 'number' ? Uint8Array.of(part) : typeof part === 'string' ? utf8.encode(part) : part,
    ),
  )
}

export function u16(value: number): Uint8Array {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16LE(value)
  return bytes
}
export function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
export function u64(value: number | bigint): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

/** Pickle opcodes, protocol 2. */
export const P = {
  proto: concat(0x80, 2),
  mark: concat('('),
  stop: concat('.'),
  text: (text: string) => concat('X', u32(utf8.encode(text).length), text),
  int: (value: number) => (value < 256 ? concat('K', value) : concat('J', u32(value))),
  global: (module: string, name: string) => concat('c', module, '\n', name, '\n'),
  tuple: (...items: Uint8Array[]) => concat('(', ...items, 't'),
  dict: (...pairs: Uint8Array[]) => concat('}', '(', ...pairs, 'u'),
  list: (...items: Uint8Array[]) => concat(']', '(', ...items, 'e'),
  none: concat('N'),
  false: concat(0x89),
  true: concat(0x88),
  reduce: concat('R'),
  build: concat('b'),
  persistentId: concat('Q'),
  put: (index: number) => concat('r', u32(index)),
  get: (index: number) => concat('j', u32(index)),
  pickle: (...body: Uint8Array[]) => concat(0x80, 2, ...body, '.'),
}

const orderedDict = concat(P.global('collections', 'OrderedDict'), ')', 'R')

function storagePickle({ kind, key, bytes }: TorchStorage, legacy: boolean): Uint8Array {
  const count = bytes.length / ELEMENT_BYTES[kind]
  const items = [P.text('storage'), P.global('torch', kind), P.text(key), P.text('cpu'), P.int(count)]
  return concat(P.tuple(...items, ...(legacy ? [P.none] : [])), 'Q')
}

function tensorPickle({ storage, offset = 0, shape, strides, parameter }: TorchTensor, legacy: boolean): Uint8Array {
  const steps = strides ?? shape.map((_, d) => shape.slice(d + 1).reduce((product, size) => product * size, 1))
  const args = P.tuple(
    storagePickle(storage, legacy),
    P.int(offset),
    P.tuple(...shape.map(P.int)),
    P.tuple(...steps.map(P.int)),
    P.false,
    orderedDict,
  )
  const tensor = concat(P.global('torch._utils', '_rebuild_tensor_v2'), args, 'R')
  if (!parameter) return tensor
  return concat(P.global('torch._utils', '_rebuild_parameter'), P.tuple(tensor, P.true, orderedDict), 'R')
}

/** An OrderedDict with its `_metadata` attribute, as Module.state_dict() gives. */
export function stateDictPickle(tensors: Map<string, TorchTensor>, legacy = false): Uint8Array {
  const items = [...tensors].flatMap(([name, tensor]) => [P.text(name), tensorPickle(tensor, legacy)])
  const attributes = P.dict(P.text('_metadata'), concat(orderedDict, P.put(7)))
  return P.pickle(orderedDict, P.put(1), concat('(', ...items, 'u'), attributes, P.build)
}

const storagesOf = (tensors: Map<string, TorchTensor>): TorchStorage[] => [
  ...new Map([...tensors.values()].map(({ storage }) => [storage.key, storage])).values(),
]

/** The zip layout. `pickle` replaces the state dict's own pickle. */
export function torchZip(
  tensors: Map<string, TorchTensor>,
  options: ZipOptions & { pickle?: Uint8Array } = {},
): Uint8Array {
  const entries: ZipFile[] = [
    { name: 'archive/data.pkl', bytes: options.pickle ?? stateDictPickle(tensors) },
    { name: 'archive/byteorder', bytes: utf8.encode('little') },
    ...storagesOf(tensors).map(({ key, bytes }) => ({ name: `archive/data/${key}`, bytes })),
    { name: 'archive/version', bytes: utf8.encode('3\n') },
  ]
  return zip(entries, options)
}

export const LEGACY_MAGIC_PICKLE = Uint8Array.from(Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex'))

/** The layout before PyTorch 1.6: five pickles, then the storages in the order of their keys. */
export function torchLegacy(tensors: Map<string, TorchTensor>, options: { pickle?: Uint8Array } = {}): Uint8Array {
  const storages = storagesOf(tensors).sort((a, b) => (a.key < b.key ? -1 : 1))
  const system = P.pickle(
    P.dict(P.text('protocol_version'), P.int(1001), P.text('little_endian'), P.true, P.text('type_sizes'), P.dict()),
  )
  return concat(
    LEGACY_MAGIC_PICKLE,
    P.pickle(P.int(1001)),
    system,
    options.pickle ?? stateDictPickle(tensors, true),
    P.pickle(P.list(...storages.map(({ key }) => P.text(key)))),
    ...storages.flatMap(({ kind, bytes }) => [u64(bytes.length / ELEMENT_BYTES[kind]), bytes]),
  )
}

export interface ZipFile {
  name: string
  bytes: Uint8Array
  /** 0 stored (default), 8 deflated; only written down, the bytes are as given. */
  method?: number
  flags?: number
  /** What the directory says instead of the truth. */
  claimedBytes?: number
  claimedOffset?: number
}

export interface ZipOptions {
  /** Sizes, offsets and the end record in their 64-bit forms. */
  zip64?: boolean
  comment?: string
  claimedEntries?: number
}

const ALL_ONES = 0xffffffff

/** A zip archive of stored entries, data aligned to 64 bytes as torch does. */
export function zip(files: ZipFile[], { zip64 = false, comment = '', claimedEntries }: ZipOptions = {}): Uint8Array {
  const parts: Uint8Array[] = []
  const directory: Uint8Array[] = []
  let position = 0
  const add = (bytes: Uint8Array) => {
    parts.push(bytes)
    position += bytes.length
  }
  for (const { name, bytes, method = 0, flags = 0, claimedBytes, claimedOffset } of files) {
    const offset = claimedOffset ?? position
    const size = claimedBytes ?? bytes.length
    const sizes = zip64 ? concat(u32(ALL_ONES), u32(ALL_ONES)) : concat(u32(bytes.length), u32(size))
    const common = concat(u16(45), u16(flags), u16(method), u32(0), u32(0))
    const padding = 64 - ((position + 30 + name.length + 4) % 64)
    add(concat('PK\x03\x04', common, sizes, u16(name.length), u16(4 + padding), name))
    add(concat('FB', u16(padding), new Uint8Array(padding)))
    add(bytes)
    const extra = zip64 ? concat(u16(1), u16(24), u64(size), u64(bytes.length), u64(offset)) : new Uint8Array(0)
    const tail = concat(u16(name.length), u16(extra.length), u16(0), u16(0), u16(0), u32(0))
    directory.push(concat('PK\x01\x02', u16(45), common, sizes, tail, u32(zip64 ? ALL_ONES : offset), name, extra))
  }
  const directoryOffset = position
  const count = claimedEntries ?? files.length
  for (const record of directory) add(record)
  const directoryBytes = position - directoryOffset
  if (zip64) {
    const end64 = position
    const counts = concat(u64(count), u64(count), u64(directoryBytes), u64(directoryOffset))
    add(concat('PK\x06\x06', u64(44), u16(45), u16(45), u32(0), u32(0), counts))
    add(concat('PK\x06\x07', u32(0), u64(end64), u32(1)))
    add(concat('PK\x05\x06', u16(0), u16(0), u16(0xffff), u16(0xffff), u32(ALL_ONES), u32(ALL_ONES)))
  } else {
    add(concat('PK\x05\x06', u16(0), u16(0), u16(count), u16(count), u32(directoryBytes), u32(directoryOffset)))
  }
  add(concat(u16(comment.length), comment))
  return Buffer.concat(parts)
}
