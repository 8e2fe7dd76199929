/**
 * Reads a model from one GGUF v3 file of architecture hgrn_bit (docs/model-format.md). The header is checked completely
 * before a tensor can be asked for: counts, lengths, offsets, types, and every tensor's shape against the configuration.
 * Tensor data is read on demand and checked by read-tensors.ts. Arrays of a vocabulary are passed over, not kept.
 * Not here: other architectures, big-endian files, versions before 3, writing (gguf-writer.ts).
 * Source: ggml docs/gguf.md.
 */
import { EngineError } from '../errors.ts'
import type { ByteSource } from '../host.ts'
import { checkConfig, type ModelConfig } from '../model/config.ts'
import type { ModelSource, TensorInfo, TensorType } from '../model/source.ts'
import { ByteCursor, truncated } from './byte-cursor.ts'
import { elementCount, modelTensors } from './model-tensors.ts'
import { isTernaryType, paddedColumns, TENSOR_TYPES, tensorBytes, tensorTypeOfGgmlId } from './tensor-types.ts'

export const GGUF_ARCHITECTURE = 'hgrn_bit'
export const GGUF_DEFAULT_ALIGNMENT = 32

/** Far above any real model, far below harm. */
const LIMITS = {
  metadataEntries: 4096,
  tensors: 65536,
  headerBytes: 512 * 2 ** 20,
  keyBytes: 1024,
  tensorNameBytes: 256,
  stringBytes: 128 * 2 ** 20,
  dimensions: 4,
} as const

/** Longer arrays (vocabularies) are passed over: their type and length are kept. */
const KEPT_ARRAY_ELEMENTS = 256

export const GGUF_VALUE_TYPES = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const
export type GgufValueType = (typeof GGUF_VALUE_TYPES)[number]

const VALUE_BYTES: Record<Exclude<GgufValueType, 'string' | 'array'>, number> = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  bool: 1,
  uint64: 8,
  int64: 8,
  float64: 8,
}

/** 64-bit integers that a double cannot hold come as bigint. */
export type GgufScalar = string | number | bigint | boolean
export interface GgufLongArray {
  elementType: GgufValueType
  length: number
}
export type GgufValue = GgufScalar | readonly GgufScalar[] | GgufLongArray

export interface GgufModel extends ModelSource {
  readonly metadata: ReadonlyMap<string, GgufValue>
  /** The tokenizer as a Hugging Face tokenizer.json, or null where the file carries none. */
  readonly tokenizerJson: string | null
  readonly chatTemplate: string | null
  readonly license: string | null
  readonly description: string | null
  /** All weights, without padding and scales. */
  readonly parameterCount: number
  readonly ternaryParameterCount: number
  /** TQ1_0, TQ2_0 or mixed. */
  readonly packing: string
  readonly embeddingType: string
  close(): Promise<void>
}

interface PlacedTensor extends TensorInfo {
  /** From the start of the file. */
  fileOffset: number
}

interface Header {
  metadata: Map<string, GgufValue>
  /** Position of `</s>` in tokenizer.ggml.tokens; -1 where it is not in the list. */
  endOfSequenceToken: number
  tensors: Map<string, PlacedTensor>
}

/**
 * Opens a model file; the source belongs to the model from now on and is closed with it, or at once when this throws.
 * @throws EngineError `format-unknown` (no GGUF), `format-unsupported` (version, byte order), `format-invalid`,
 *   `file-truncated`, `limit-exceeded`, `config-unsupported` (another architecture), `config-invalid`,
 *   `tensor-missing`, `tensor-shape-mismatch`, `tensor-type-unsupported`
 */
export async function openGguf(bytes: ByteSource): Promise<GgufModel> {
  try {
    const header = await readHeader(bytes)
    const config = configOfMetadata(header, bytes.name)
    checkTensors(header.tensors, config)
    return makeModel(bytes, header, config)
  } catch (error) {
    await bytes.close()
    throw error
  }
}

const invalid = (name: string, problem: string, expected?: string, actual?: string): EngineError =>
  new EngineError('format-invalid', `"${name}" is not a valid GGUF file: ${problem}.`, {
    ...(expected === undefined ? {} : { expected }),
    ...(actual === undefined ? {} : { actual }),
    remedy: 'The file is damaged: download it again, or convert the original checkpoint.',
  })

function checkLimit(name: string, what: string, value: number, limit: number): void {
  if (value <= limit) return
  throw new EngineError('limit-exceeded', `"${name}" is not a plausible model file: ${what} is out of range.`, {
    expected: `at most ${limit}`,
    actual: Number.isFinite(value) ? String(value) : 'more than 2^53',
    remedy: 'The file is damaged or hostile: download it again from a source you trust.',
  })
}

async function readHeader(bytes: ByteSource): Promise<Header> {
  const cursor = new ByteCursor(bytes)
  await checkMagic(cursor)
  await cursor.need(16)
  const tensorCount = cursor.size64()
  const metadataCount = cursor.size64()
  checkLimit(bytes.name, 'the number of tensors', tensorCount, LIMITS.tensors)
  checkLimit(bytes.name, 'the number of metadata entries', metadataCount, LIMITS.metadataEntries)

  const metadata = new Map<string, GgufValue>()
  let endOfSequenceToken = -1
  for (let i = 0; i < metadataCount; i++) {
    const key = await readString(cursor, 'the length of a metadata key', LIMITS.keyBytes)
    if (metadata.has(key)) throw invalid(bytes.name, `metadata key "${key}" appears twice`)
    const { value, endOfSequenceAt } = await readValue(cursor, await readValueType(cursor, key), key)
    metadata.set(key, value)
    if (key === 'tokenizer.ggml.tokens') endOfSequenceToken = endOfSequenceAt
    checkLimit(bytes.name, 'the size of the header in bytes', cursor.position, LIMITS.headerBytes)
  }
  const tensors = await readTensorInfos(cursor, tensorCount, alignmentOf(metadata, bytes.name))
  return { metadata, endOfSequenceToken, tensors }
}

async function checkMagic(cursor: ByteCursor): Promise<void> {
  const { name, size } = cursor.source
  await cursor.need(Math.min(4, size))
  const magic = cursor.bytes(Math.min(4, size))
  if (String.fromCharCode(...magic) !== 'GGUF') {
    throw new EngineError('format-unknown', `"${name}" is not a GGUF file.`, {
      expected: 'the first four bytes "GGUF"',
      actual: [...magic].map(byte => byte.toString(16).padStart(2, '0')).join(' ') || `${size} bytes`,
      remedy: 'Choose a .gguf model file, or a Hugging Face folder to convert.',
    })
  }
  await cursor.need(4)
  const version = cursor.u32()
  if (version === 3) return
  const bigEndian = version === 0x03000000 || version === 0x02000000
  throw new EngineError('format-unsupported', `"${name}" is a GGUF file of a form that Tern does not read.`, {
    expected: 'version 3, little-endian',
    actual: bigEndian ? 'big-endian' : `version ${version}`,
    remedy: 'Convert the original checkpoint again with Tern.',
  })
}

/** Keeps a byte-order mark and refuses what is not UTF-8. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

async function readString(cursor: ByteCursor, what: string, limit: number): Promise<string> {
  if (cursor.available < 8) await cursor.need(8)
  const length = cursor.size64()
  checkLimit(cursor.source.name, what, length, limit)
  if (cursor.available < length) await cursor.need(length)
  try {
    return utf8.decode(cursor.bytes(length))
  } catch {
    throw invalid(cursor.source.name, 'a string is not UTF-8')
  }
}

async function readValueType(cursor: ByteCursor, key: string): Promise<GgufValueType> {
  await cursor.need(4)
  const id = cursor.u32()
  const type = GGUF_VALUE_TYPES[id]
  if (!type) throw invalid(cursor.source.name, `metadata "${key}" has an unknown type`, '0 to 12', String(id))
  return type
}

interface ReadValue {
  value: GgufValue
  /** Where an array has the string `</s>`; -1 where it has not. */
  endOfSequenceAt: number
}

async function readValue(cursor: ByteCursor, type: GgufValueType, key: string): Promise<ReadValue> {
  if (type === 'array') return readArray(cursor, key)
  return { value: await readScalar(cursor, type, key), endOfSequenceAt: -1 }
}

async function readScalar(cursor: ByteCursor, type: Exclude<GgufValueType, 'array'>, key: string): Promise<GgufScalar> {
  if (type === 'string') return readString(cursor, `the length of metadata "${key}"`, LIMITS.stringBytes)
  await cursor.need(VALUE_BYTES[type])
  return readNumber(cursor, type, key)
}

function readNumber(cursor: ByteCursor, type: keyof typeof VALUE_BYTES, key: string): GgufScalar {
  switch (type) {
    case 'uint8':
      return cursor.u8()
    case 'int8':
      return cursor.i8()
    case 'uint16':
      return cursor.u16()
    case 'int16':
      return cursor.i16()
    case 'uint32':
      return cursor.u32()
    case 'int32':
      return cursor.i32()
    case 'float32':
      return cursor.f32()
    case 'float64':
      return cursor.f64()
    case 'uint64':
      return narrow(cursor.u64())
    case 'int64':
      return narrow(cursor.i64())
    case 'bool': {
      const byte = cursor.u8()
      if (byte > 1) throw invalid(cursor.source.name, `metadata "${key}" is no boolean`, '0 or 1', String(byte))
      return byte === 1
    }
  }
}

const narrow = (value: bigint): number | bigint =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value

async function readArray(cursor: ByteCursor, key: string): Promise<ReadValue> {
  const { name } = cursor.source
  const elementType = await readValueType(cursor, key)
  if (elementType === 'array') {
    throw new EngineError('format-unsupported', `"${name}": metadata "${key}" is an array of arrays.`, {
      expected: 'an array of strings, numbers or booleans',
      remedy: 'Convert the original checkpoint again with Tern.',
    })
  }
  await cursor.need(8)
  const length = cursor.size64()
  cursor.require(length * (elementType === 'string' ? 8 : VALUE_BYTES[elementType]))
  if (length > KEPT_ARRAY_ELEMENTS) {
    const value = { elementType, length }
    if (elementType === 'string') return { value, endOfSequenceAt: await skipStrings(cursor, length) }
    cursor.skip(length * VALUE_BYTES[elementType])
    return { value, endOfSequenceAt: -1 }
  }
  const values: GgufScalar[] = []
  for (let i = 0; i < length; i++) values.push(await readScalar(cursor, elementType, key))
  return { value: values, endOfSequenceAt: values.lastIndexOf('</s>') }
}

/** Passes over a vocabulary; returns where it has `</s>`, or -1. */
async function skipStrings(cursor: ByteCursor, count: number): Promise<number> {
  let endOfSequenceAt = -1
  for (let i = 0; i < count; i++) {
    if (cursor.available < 8) await cursor.need(8)
    const length = cursor.size64()
    checkLimit(cursor.source.name, 'the size of the header in bytes', cursor.position + length, LIMITS.headerBytes)
    if (length !== 4) {
      cursor.skip(length)
      continue
    }
    if (cursor.available < 4) await cursor.need(4)
    if (cursor.u32() === END_OF_SEQUENCE_BYTES) endOfSequenceAt = i
  }
  return endOfSequenceAt
}
/** "</s>" as a little-endian 32-bit number. */
const END_OF_SEQUENCE_BYTES = 0x3e732f3c

function alignmentOf(metadata: Map<string, GgufValue>, name: string): number {
  const value = metadata.get('general.alignment') ?? GGUF_DEFAULT_ALIGNMENT
  const ok = typeof value === 'number' && value >= 8 && value <= 65536 && Number.isInteger(Math.log2(value))
  if (!ok) throw invalid(name, 'its alignment is out of range', 'a power of two from 8 to 65536', String(value))
  return value
}

async function readTensorInfos(cursor: ByteCursor, count: number, alignment: number) {
  const { source } = cursor
  const tensors = new Map<string, PlacedTensor>()
  for (let i = 0; i < count; i++) {
    const name = await readString(cursor, 'the length of a tensor name', LIMITS.tensorNameBytes)
    if (tensors.has(name)) throw invalid(source.name, `tensor "${name}" appears twice`)
    tensors.set(name, await readTensorInfo(cursor, name, alignment))
    checkLimit(source.name, 'the size of the header in bytes', cursor.position, LIMITS.headerBytes)
  }
  placeTensors(source, [...tensors.values()], alignment * Math.ceil(cursor.position / alignment))
  return tensors
}

/** Turns offsets into those of the file; every tensor lies inside it and none on another. */
function placeTensors(source: ByteSource, tensors: PlacedTensor[], dataStart: number): void {
  for (const tensor of tensors) tensor.fileOffset += dataStart
  const fileEnd = tensors.reduce((end, tensor) => Math.max(end, tensor.fileOffset + tensor.byteLength), dataStart)
  if (tensors.length > 0 && fileEnd > source.size) throw truncated(source, fileEnd)
  const ordered = tensors.toSorted((a, b) => a.fileOffset - b.fileOffset)
  for (let i = 1; i < ordered.length; i++) {
    const before = ordered[i - 1]!
    if (before.fileOffset + before.byteLength <= ordered[i]!.fileOffset) continue
    throw invalid(source.name, `the tensors "${before.name}" and "${ordered[i]!.name}" overlap`)
  }
}

async function readTensorInfo(cursor: ByteCursor, name: string, alignment: number): Promise<PlacedTensor> {
  const file = cursor.source.name
  await cursor.need(4)
  const dimensions = cursor.u32()
  if (dimensions < 1) throw invalid(file, `tensor "${name}" has no dimensions`)
  checkLimit(file, `the number of dimensions of tensor "${name}"`, dimensions, LIMITS.dimensions)
  await cursor.need(dimensions * 8 + 12)
  const shape: number[] = []
  for (let d = 0; d < dimensions; d++) {
    const size = cursor.size64()
    if (size < 1) throw invalid(file, `a dimension of tensor "${name}" is 0`)
    checkLimit(file, `a dimension of tensor "${name}"`, size, Number.MAX_SAFE_INTEGER)
    // GGUF has the innermost dimension first.
    shape.unshift(size)
  }
  const typeId = cursor.u32()
  const fileOffset = cursor.size64()
  const type = tensorTypeOfGgmlId(typeId)
  if (!type) throw unsupportedType(name, `ggml type ${typeId}`, Object.keys(TENSOR_TYPES).join(', '))
  const { blockElements } = TENSOR_TYPES[type]
  if (shape.at(-1)! % blockElements !== 0) {
    throw invalid(file, `rows of tensor "${name}" (${type}) are no whole blocks`, `a multiple of ${blockElements}`)
  }
  const byteLength = tensorBytes(type, shape)
  checkLimit(file, `the size of tensor "${name}" in bytes`, byteLength, Number.MAX_SAFE_INTEGER)
  checkLimit(file, `the offset of tensor "${name}"`, fileOffset, Number.MAX_SAFE_INTEGER)
  if (fileOffset % alignment !== 0) {
    throw invalid(file, `tensor "${name}" is misaligned`, `a multiple of ${alignment}`, String(fileOffset))
  }
  return { name, type, shape, byteLength, fileOffset }
}

const unsupportedType = (name: string, actual: string, expected: string): EngineError =>
  new EngineError('tensor-type-unsupported', `Tensor "${name}" is stored in a type that Tern does not read.`, {
    expected,
    actual,
    remedy: 'Convert the original checkpoint with Tern.',
  })

function configOfMetadata({ metadata, endOfSequenceToken, tensors }: Header, name: string): ModelConfig {
  const architecture = metadata.get('general.architecture')
  if (architecture !== GGUF_ARCHITECTURE) {
    throw new EngineError('config-unsupported', `"${name}" is not a MatMul-free model.`, {
      expected: `general.architecture "${GGUF_ARCHITECTURE}"`,
      actual: typeof architecture === 'string' ? `"${architecture.slice(0, 64)}"` : 'none',
      remedy: 'Tern runs MatMul-free (hgrn_bit) models only; use another program for this file.',
    })
  }
  const number = (key: string, fallback?: number): number => {
    const value = metadata.get(key) ?? fallback
    if (typeof value === 'number') return value
    throw new EngineError('config-invalid', `"${name}": metadata "${key}" is missing or not a number.`, {
      expected: 'a number',
      actual: value === undefined ? 'missing' : typeof value,
      remedy: 'The file is damaged or was not written by Tern: convert the original checkpoint.',
    })
  }
  const hiddenSize = number('hgrn_bit.embedding_length')
  const vocabularySize = number('hgrn_bit.vocab_size', tensors.get('token_embd.weight')?.shape[0])
  const config: ModelConfig = {
    vocabularySize,
    hiddenSize,
    stateWidth: hiddenSize * number('hgrn_bit.expand_ratio', 1),
    layerCount: number('hgrn_bit.block_count'),
    intermediateSize: number('hgrn_bit.feed_forward_length'),
    rmsNormEpsilon: number('hgrn_bit.attention.layer_norm_rms_epsilon'),
    useLowerBound: metadata.get('hgrn_bit.use_lower_bound') !== false,
    trainingContextLength: number('hgrn_bit.context_length', 2048),
    bosTokenId: metadata.has('tokenizer.ggml.bos_token_id') ? number('tokenizer.ggml.bos_token_id') : null,
    eosTokenIds: eosTokenIds(metadata, endOfSequenceToken),
  }
  checkConfig(config)
  for (const id of [config.bosTokenId ?? 0, ...config.eosTokenIds]) {
    if (Number.isInteger(id) && id >= 0 && id < vocabularySize) continue
    throw new EngineError('config-invalid', `"${name}": a special token lies outside the vocabulary.`, {
      expected: `0 to ${vocabularySize - 1}`,
      actual: String(id),
      remedy: 'The file is damaged or was not written by Tern: convert the original checkpoint.',
    })
  }
  return config
}

/** A reply ends at any of these: the declared ids, and `</s>` where the vocabulary has it. */
function eosTokenIds(metadata: Map<string, GgufValue>, endOfSequenceToken: number): number[] {
  const ids = new Set<number>()
  const single = metadata.get('tokenizer.ggml.eos_token_id')
  if (typeof single === 'number') ids.add(single)
  const several = metadata.get('tokenizer.ggml.eos_token_ids')
  if (Array.isArray(several)) for (const id of several) if (typeof id === 'number') ids.add(id)
  if (endOfSequenceToken >= 0) ids.add(endOfSequenceToken)
  return [...ids]
}

const TYPES_OF_KIND: Record<'ternary' | 'embedding' | 'float', TensorType[]> = {
  ternary: ['TQ1_0', 'TQ2_0'],
  embedding: ['F32', 'F16', 'BF16', 'Q8_0'],
  float: ['F32', 'F16', 'BF16'],
}

/** Every tensor of the configuration must be there with its shape and a readable type; others are left alone. */
function checkTensors(tensors: Map<string, PlacedTensor>, config: ModelConfig): void {
  for (const { name, kind, shape } of modelTensors(config)) {
    const tensor = tensors.get(name)
    if (!tensor) throw missingTensor(name)
    if (!TYPES_OF_KIND[kind].includes(tensor.type)) {
      throw unsupportedType(name, tensor.type, TYPES_OF_KIND[kind].join(', '))
    }
    const stored = isTernaryType(tensor.type) ? [shape[0]!, paddedColumns(shape[1]!)] : shape
    if (stored.join() === tensor.shape.join()) continue
    throw new EngineError('tensor-shape-mismatch', `Tensor "${name}" does not fit the model's configuration.`, {
      expected: `[${stored.join(', ')}]`,
      actual: `[${tensor.shape.join(', ')}]`,
      remedy: 'The file is damaged or was not written by Tern: convert the original checkpoint.',
    })
  }
}

const missingTensor = (name: string): EngineError =>
  new EngineError('tensor-missing', `The model has no tensor "${name.slice(0, 256)}".`, {
    remedy: 'The file is incomplete or was not written by Tern: convert the original checkpoint.',
  })

function makeModel(bytes: ByteSource, { metadata, tensors }: Header, config: ModelConfig): GgufModel {
  const text = (key: string): string | null => {
    const value = metadata.get(key)
    return typeof value === 'string' ? value : null
  }
  const own = modelTensors(config)
  const count = (list: typeof own): number => list.reduce((sum, { shape }) => sum + elementCount(shape), 0)
  const packings = new Set(own.filter(({ kind }) => kind === 'ternary').map(({ name }) => tensors.get(name)!.type))
  const infos = [...tensors.values()].map(({ name, type, shape, byteLength }) => ({ name, type, shape, byteLength }))

  const tensor = (name: string): PlacedTensor => {
    const found = tensors.get(name)
    if (!found) throw missingTensor(name)
    return found
  }
  return {
    config,
    name: text('general.name') ?? bytes.name,
    byteLength: bytes.size,
    metadata,
    tokenizerJson: text('tokenizer.huggingface.json'),
    chatTemplate: text('tokenizer.chat_template'),
    license: text('general.license'),
    description: text('general.description'),
    parameterCount: count(own.filter(({ isScale }) => !isScale)),
    ternaryParameterCount: count(own.filter(({ kind }) => kind === 'ternary')),
    packing: packings.size === 1 ? [...packings][0]! : 'mixed',
    embeddingType: tensor('token_embd.weight').type,
    tensors: () => infos,
    tensor,
    async readTensor(name, byteOffset = 0, byteLength, into) {
      const { fileOffset, byteLength: total } = tensor(name)
      const length = byteLength ?? total - byteOffset
      if (!(byteOffset >= 0 && length >= 0 && byteOffset + length <= total)) {
        throw new EngineError('invalid-argument', `Read outside tensor "${name}".`, {
          expected: `a range of 0 to ${total} bytes`,
          actual: `${length} bytes from ${byteOffset}`,
        })
      }
      return bytes.read(fileOffset + byteOffset, length, into)
    },
    close: () => bytes.close(),
  }
}
