/**
 * Reads `pytorch_model.bin` in both layouts of torch.save: the zip archive (PyTorch 1.6 and later) and the older row of
 * pickles followed by storages. Pickles go through pickle.ts, which runs no code. Tensors may share storages, start
 * anywhere in them and have any strides; elements come out row-major.
 * Source: torch/serialization.py.
 */

import type { ByteSource } from '../engine-environment.ts'
import { EngineError } from '../errors.ts'
import { elementCount } from '../model/tensors.ts'
import { ByteCursor, truncated } from './byte-cursor.ts'
import { sliceSource } from './byte-slice.ts'
import { type Checkpoint, missingInCheckpoint, notFloat } from './checkpoint.ts'
import { FLOAT_BYTES, type FloatType, floatsOfBytes, isFloatType } from './floats.ts'
import {
  type PickleDict,
  PickledTensor,
  type PickleValue,
  readPickle,
  type Storage,
  type StorageType,
} from './pickle.ts'
import { refuseStandIn } from './stand-in.ts'
import { type CentralEntry, locateZipEntry, readZipDirectory } from './zip.ts'

/** A transposed or otherwise scattered tensor is gathered in memory, from a storage range of at most this size. */
const MAX_GATHER_BYTES = 512 * 2 ** 20
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn
const LEGACY_PROTOCOL = 1001

interface BinTensor {
  name: string
  dtype: string
  shape: number[]
  strides: number[]
  storage: Storage
  /** Of the tensor's first element, from the start of the file. */
  fileOffset: number
}

/**
 * Opens a torch .bin file; the source belongs to the result and is closed with it, or at once when this throws.
 * @throws EngineError `format-unknown`, `format-unsupported` naming what was refused, `format-invalid`, `file-truncated`,
 *   `limit-exceeded`
 */
export async function openTorchBin(source: ByteSource): Promise<Checkpoint> {
  try {
    await refuseStandIn(source)
    const { stateDict, storages } = (await isZip(source)) ? await readZipLayout(source) : await readLegacyLayout(source)
    return makeReader(source, placeTensors(source, stateDict, storages))
  } catch (error) {
    await source.close()
    throw error
  }
}

interface Layout {
  stateDict: PickleDict
  storages: Map<string, StorageRange>
}

interface StorageRange {
  fileOffset: number
  byteLength: number
}

const invalid = (source: ByteSource, problem: string): EngineError =>
  new EngineError('format-invalid', `"${source.name}" is not a valid PyTorch checkpoint: ${problem}.`, {
    expected: 'a state dict as torch.save writes it',
    actual: problem,
    remedy: 'The file is damaged: download it again from a source you trust, as safetensors where you can.',
  })

async function isZip(source: ByteSource): Promise<boolean> {
  if (source.size < 4) return false
  const [p, k, three, four] = await source.read(0, 4)
  return p === 0x50 && k === 0x4b && three === 3 && four === 4
}

async function readZipLayout(source: ByteSource): Promise<Layout> {
  const directory = await readZipDirectory(source)
  const pickles = [...directory.keys()].filter(name => /(^|\/)data\.pkl$/.test(name))
  if (pickles.length !== 1) throw invalid(source, `it holds ${pickles.length} files data.pkl instead of one`)
  const prefix = pickles[0]!.slice(0, -'data.pkl'.length)
  await refuseBigEndian(source, directory.get(`${prefix}byteorder`))
  const pickle = await locateZipEntry(source, directory.get(pickles[0]!)!)
  const { value } = await readPickle(new ByteCursor(sliceSource(source, pickle.fileOffset, pickle.byteLength)))
  const stateDict = stateDictOf(source, value)
  const storages = new Map<string, StorageRange>()
  for (const { storage } of tensorsOf(stateDict)) {
    if (storages.has(storage.key)) continue
    const entry = directory.get(`${prefix}data/${storage.key}`)
    if (!entry) throw invalid(source, `the storage "${storage.key.slice(0, 64)}" is missing`)
    storages.set(storage.key, await locateZipEntry(source, entry))
  }
  return { stateDict, storages }
}

async function refuseBigEndian(source: ByteSource, entry: CentralEntry | undefined): Promise<void> {
  if (!entry || entry.byteLength > 16) return
  const { fileOffset, byteLength } = await locateZipEntry(source, entry)
  const order = new TextDecoder().decode(await source.read(fileOffset, byteLength))
  if (order !== 'big') return
  throw bigEndian(source)
}

const bigEndian = (source: ByteSource): EngineError =>
  new EngineError('format-unsupported', `"${source.name}" was written on a big-endian machine.`, {
    expected: 'little-endian',
    actual: 'big-endian',
    remedy: 'Use the safetensors form of this checkpoint.',
  })

/** Magic number, protocol, system, state dict and the keys of the storages, a pickle each; then count and data of every storage. */
async function readLegacyLayout(source: ByteSource): Promise<Layout> {
  if (source.size === 0 || (await source.read(0, 1))[0] !== 0x80) throw unknownFormat(source)
  const cursor = new ByteCursor(source)
  const next = async () => (await readPickle(cursor)).value
  if ((await next()) !== LEGACY_MAGIC) throw unknownFormat(source)
  if ((await next()) !== LEGACY_PROTOCOL) throw invalid(source, 'its protocol version is unknown')
  const system = await next()
  if (system instanceof Map && system.get('little_endian') === false) throw bigEndian(source)
  const { value, storages: described } = await readPickle(cursor)
  const keys = await next()
  if (!Array.isArray(keys)) throw invalid(source, 'the list of its storages is missing')

  const storages = new Map<string, StorageRange>()
  for (const key of keys) {
    const storage = typeof key === 'string' ? described.get(key) : undefined
    if (!storage || storages.has(storage.key)) throw invalid(source, 'the list of its storages is wrong')
    await cursor.need(8)
    const count = cursor.size64()
    if (count !== storage.elementCount) throw invalid(source, 'the length of a storage differs from its description')
    const byteLength = count * storageElementBytes(source, storage.type)
    storages.set(storage.key, { fileOffset: cursor.position, byteLength })
    cursor.skip(byteLength)
  }
  return { stateDict: stateDictOf(source, value), storages }
}

const unknownFormat = (source: ByteSource): EngineError =>
  new EngineError('format-unknown', `"${source.name}" is not a PyTorch checkpoint.`, {
    expected: 'a file written by torch.save',
    actual: 'something else',
    remedy: 'Choose the original checkpoint, as safetensors where you can.',
  })

const OTHER_TYPE_BYTES: Record<string, number> = {
  untyped: 1,
  'torch.int64': 8,
  'torch.int32': 4,
  'torch.int16': 2,
  'torch.int8': 1,
  'torch.uint8': 1,
  'torch.bool': 1,
}

function storageElementBytes(source: ByteSource, type: StorageType): number {
  const bytes = isFloatType(type) ? FLOAT_BYTES[type] : OTHER_TYPE_BYTES[type]
  if (bytes === undefined) throw invalid(source, `a storage has the type ${type}`)
  return bytes
}

/** Where training scripts put the state dict, one within the other too. */
const STATE_DICT_KEYS = ['state_dict', 'model_state_dict', 'model', 'module'] as const
const MAX_STATE_DICT_DEPTH = 4

/** The dict itself, or the one inside that has the tensors. */
function stateDictOf(source: ByteSource, value: PickleValue, depth = 0): PickleDict {
  if (!(value instanceof Map)) throw invalid(source, 'it holds no state dict')
  const inner = STATE_DICT_KEYS.map(key => value.get(key)).find(found => found instanceof Map)
  return inner === undefined || depth === MAX_STATE_DICT_DEPTH ? value : stateDictOf(source, inner, depth + 1)
}

const tensorsOf = (stateDict: PickleDict): PickledTensor[] =>
  [...stateDict.values()].filter(value => value instanceof PickledTensor)

/** Holds every tensor against its storage and every storage against the file. */
function placeTensors(source: ByteSource, stateDict: PickleDict, storages: Map<string, StorageRange>) {
  const tensors = new Map<string, BinTensor>()
  for (const [key, value] of stateDict) {
    if (typeof key !== 'string' || !(value instanceof PickledTensor)) continue
    const { storage, type, offset, shape, strides } = value
    const range = storages.get(storage.key)
    if (!range) throw invalid(source, `the storage of tensor "${key.slice(0, 256)}" is missing`)
    const elementBytes = storageElementBytes(source, type)
    const storageBytes = storage.elementCount * storageElementBytes(source, storage.type)
    if (storageBytes > range.byteLength) throw truncated(source, range.fileOffset + storageBytes)
    const end = elementCount(shape) === 0 ? 0 : offset + spanOf(shape, strides)
    if (!(end * elementBytes <= storageBytes)) {
      throw invalid(source, `tensor "${key.slice(0, 256)}" reaches beyond its storage`)
    }
    tensors.set(key, {
      name: key,
      dtype: type,
      shape,
      strides,
      storage,
      fileOffset: range.fileOffset + offset * elementBytes,
    })
  }
  return tensors
}

/** Elements of storage from the first to the last that a tensor uses, both included. */
const spanOf = (shape: number[], strides: number[]): number =>
  shape.reduce((span, size, d) => span + (size - 1) * strides[d]!, 1)

function isContiguous({ shape, strides }: BinTensor): boolean {
  let step = 1
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] !== 1 && strides[d] !== step) return false
    step *= shape[d]!
  }
  return true
}

function makeReader(source: ByteSource, tensors: Map<string, BinTensor>): Checkpoint {
  /** The last scattered tensor that was read, whole: its pieces are asked for one after the other. */
  let gathered: { name: string; span: Float32Array } | null = null

  async function readSpan(tensor: BinTensor, dtype: FloatType): Promise<Float32Array> {
    if (gathered?.name === tensor.name) return gathered.span
    gathered = null
    const count = spanOf(tensor.shape, tensor.strides)
    const byteLength = count * FLOAT_BYTES[dtype]
    if (byteLength > MAX_GATHER_BYTES) {
      throw new EngineError('limit-exceeded', `Tensor "${tensor.name}" is scattered over too large a range.`, {
        expected: `at most ${MAX_GATHER_BYTES} bytes`,
        actual: `${byteLength} bytes`,
        remedy: 'Save the checkpoint with contiguous tensors, as safetensors.',
      })
    }
    gathered = {
      name: tensor.name,
      span: floatsOfBytes(dtype, await source.read(tensor.fileOffset, byteLength), count),
    }
    return gathered.span
  }

  return {
    tensors,
    async readElements(name, first, count) {
      const tensor = tensors.get(name)
      if (!tensor) throw missingInCheckpoint(name)
      const { dtype, fileOffset } = tensor
      if (!isFloatType(dtype)) throw notFloat(name, dtype)
      if (isContiguous(tensor)) {
        const bytes = FLOAT_BYTES[dtype]
        return floatsOfBytes(dtype, await source.read(fileOffset + first * bytes, count * bytes), count)
      }
      return gather(await readSpan(tensor, dtype), tensor, first, count)
    },
    async close() {
      gathered = null
      await source.close()
    },
  }
}

/** Elements `first` to `first + count` in row-major order out of a strided span. */
function gather(span: Float32Array, { shape, strides }: BinTensor, first: number, count: number): Float32Array {
  const values = new Float32Array(count)
  const index = new Array<number>(shape.length).fill(0)
  for (let d = shape.length - 1, rest = first; d >= 0; d--) {
    index[d] = rest % shape[d]!
    rest = Math.floor(rest / shape[d]!)
  }
  let at = index.reduce((sum, i, d) => sum + i * strides[d]!, 0)
  for (let i = 0; i < count; i++) {
    values[i] = span[at]!
    for (let d = shape.length - 1; d >= 0; d--) {
      at += strides[d]!
      if (++index[d]! < shape[d]!) break
      at -= shape[d]! * strides[d]!
      index[d] = 0
    }
  }
  return values
}
