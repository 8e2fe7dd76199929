/**
 * Reads a model from one GGUF v3 file of architecture hgrn_bit (docs/model-format.md). The header is checked completely
 * before a tensor can be asked for: counts, lengths, and of every tensor of the model its offset, type and shape against the
 * configuration. Other tensors are passed over, whatever they are. Tensor data is read on demand, checked by read-tensors.ts.
 * Not here: other architectures, big-endian files, versions before 3, writing (gguf-writer.ts).
 * Source: ggml docs/gguf.md.
 */

import type { ByteSource } from '../engine-environment.ts'
import { EngineError } from '../errors.ts'
import type { ModelConfig } from '../model/config.ts'
import type { ModelSource, TensorInfo } from '../model/source.ts'
import { EMBEDDING, parameterCounts, tensorsOf } from '../model/tensors.ts'
import { ByteCursor, truncated } from './byte-cursor.ts'
import { checkTensors } from './check-tensors.ts'
import {
  checkLimit,
  GGUF_DEFAULT_ALIGNMENT,
  type GgufValue,
  invalidGguf,
  MAX_HEADER_BYTES,
  readString,
  readValue,
  readValueType,
} from './gguf-values.ts'
import { type ModelMetadata, readModelMetadata } from './model-metadata.ts'
import { refuseStandIn } from './stand-in.ts'
import { TENSOR_TYPES, tensorBytes, tensorTypeOfGgmlId } from './tensor-types.ts'

/** Far above any real model, far below harm. */
const LIMITS = {
  metadataEntries: 4096,
  tensors: 65536,
  keyBytes: 1024,
  tensorNameBytes: 256,
  dimensions: 4,
  /** Of tensors that are passed over. */
  otherDimensions: 64,
} as const

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

/** What the header says of a tensor, not yet held against anything. */
interface TensorEntry {
  name: string
  /** Outermost first. */
  shape: number[]
  typeId: number
  /** From the start of the tensor data. */
  offset: number
}

interface Header {
  metadata: Map<string, GgufValue>
  /** Position of `</s>` in tokenizer.ggml.tokens; -1 where it is not in the list. */
  endOfSequenceToken: number
  tensors: Map<string, TensorEntry>
  alignment: number
  /** Of the tensor data, from the start of the file. */
  dataStart: number
}

/**
 * Opens a model file; the source belongs to the model from now on and is closed with it, or at once when this throws.
 * @throws EngineError `format-unknown` (no GGUF), `format-unsupported` (version, byte order), `format-invalid`,
 *   `file-truncated`, `limit-exceeded`, `config-unsupported` (another architecture), `config-invalid`,
 *   `tensor-missing`, `tensor-shape-mismatch`, `tensor-type-unsupported`
 */
export async function openGguf(bytes: ByteSource): Promise<GgufModel> {
  try {
    await refuseStandIn(bytes)
    const header = await readHeader(bytes)
    const model = readModelMetadata({
      ...header,
      file: bytes.name,
      embeddingRows: header.tensors.get(EMBEDDING)?.shape[0],
    })
    const tensors = placeTensors(bytes, header, model.config)
    return makeModel(bytes, header.metadata, model, tensors)
  } catch (error) {
    await bytes.close()
    throw error
  }
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
    if (metadata.has(key)) throw invalidGguf(bytes.name, `metadata key "${key}" appears twice`)
    const { value, endOfSequenceAt } = await readValue(cursor, await readValueType(cursor, key), key)
    metadata.set(key, value)
    if (key === 'tokenizer.ggml.tokens') endOfSequenceToken = endOfSequenceAt
    checkLimit(bytes.name, 'the size of the header in bytes', cursor.position, MAX_HEADER_BYTES)
  }
  const alignment = alignmentOf(metadata, bytes.name)
  const tensors = await readTensorEntries(cursor, tensorCount)
  const dataStart = alignment * Math.ceil(cursor.position / alignment)
  return { metadata, endOfSequenceToken, tensors, alignment, dataStart }
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

function alignmentOf(metadata: Map<string, GgufValue>, name: string): number {
  const value = metadata.get('general.alignment') ?? GGUF_DEFAULT_ALIGNMENT
  const ok = typeof value === 'number' && value >= 8 && value <= 65536 && Number.isInteger(Math.log2(value))
  if (!ok) throw invalidGguf(name, 'its alignment is out of range', 'a power of two from 8 to 65536', String(value))
  return value
}

async function readTensorEntries(cursor: ByteCursor, count: number): Promise<Map<string, TensorEntry>> {
  const file = cursor.source.name
  const tensors = new Map<string, TensorEntry>()
  for (let i = 0; i < count; i++) {
    const name = await readString(cursor, 'the length of a tensor name', LIMITS.tensorNameBytes)
    if (tensors.has(name)) throw invalidGguf(file, `tensor "${name}" appears twice`)
    await cursor.need(4)
    const dimensions = cursor.u32()
    checkLimit(file, `the number of dimensions of tensor "${name}"`, dimensions, LIMITS.otherDimensions)
    await cursor.need(dimensions * 8 + 12)
    const shape: number[] = []
    // GGUF has the innermost dimension first.
    for (let d = 0; d < dimensions; d++) shape.unshift(cursor.size64())
    tensors.set(name, { name, shape, typeId: cursor.u32(), offset: cursor.size64() })
    checkLimit(file, 'the size of the header in bytes', cursor.position, MAX_HEADER_BYTES)
  }
  return tensors
}

/** The model's own tensors: all there, with their shapes and types, inside the file and none on another. */
function placeTensors(source: ByteSource, header: Header, config: ModelConfig): Map<string, PlacedTensor> {
  const tensors = new Map<string, PlacedTensor>()
  for (const { name } of tensorsOf(config)) {
    const entry = header.tensors.get(name)
    if (!entry) throw missingTensor(name)
    tensors.set(name, placeTensor(source.name, entry, header))
  }
  checkTensors({ config, tensor: name => tensors.get(name)! })
  const ordered = [...tensors.values()].sort((a, b) => a.fileOffset - b.fileOffset)
  const fileEnd = ordered.reduce((end, tensor) => Math.max(end, tensor.fileOffset + tensor.byteLength), 0)
  if (fileEnd > source.size) throw truncated(source, fileEnd)
  for (let i = 1; i < ordered.length; i++) {
    const before = ordered[i - 1]!
    if (before.fileOffset + before.byteLength <= ordered[i]!.fileOffset) continue
    throw invalidGguf(source.name, `the tensors "${before.name}" and "${ordered[i]!.name}" overlap`)
  }
  return tensors
}

function placeTensor(
  file: string,
  { name, shape, typeId, offset }: TensorEntry,
  { alignment, dataStart }: Header,
): PlacedTensor {
  if (shape.length < 1) throw invalidGguf(file, `tensor "${name}" has no dimensions`)
  checkLimit(file, `the number of dimensions of tensor "${name}"`, shape.length, LIMITS.dimensions)
  for (const size of shape) {
    if (size < 1) throw invalidGguf(file, `a dimension of tensor "${name}" is 0`)
    checkLimit(file, `a dimension of tensor "${name}"`, size, Number.MAX_SAFE_INTEGER)
  }
  const type = tensorTypeOfGgmlId(typeId)
  if (!type) throw unsupportedType(name, `ggml type ${typeId}`, Object.keys(TENSOR_TYPES).join(', '))
  const { blockElements } = TENSOR_TYPES[type]
  if (shape.at(-1)! % blockElements !== 0) {
    throw invalidGguf(file, `rows of tensor "${name}" (${type}) are no whole blocks`, `a multiple of ${blockElements}`)
  }
  const byteLength = tensorBytes(type, shape)
  checkLimit(file, `the size of tensor "${name}" in bytes`, byteLength, Number.MAX_SAFE_INTEGER)
  checkLimit(file, `the offset of tensor "${name}"`, offset, Number.MAX_SAFE_INTEGER)
  if (offset % alignment !== 0) {
    throw invalidGguf(file, `tensor "${name}" is misaligned`, `a multiple of ${alignment}`, String(offset))
  }
  return { name, type, shape, byteLength, fileOffset: dataStart + offset }
}

const unsupportedType = (name: string, actual: string, expected: string): EngineError =>
  new EngineError('tensor-type-unsupported', `Tensor "${name}" is stored in a type that Tern does not read.`, {
    expected,
    actual,
    remedy: 'Convert the original checkpoint with Tern.',
  })

const missingTensor = (name: string): EngineError =>
  new EngineError('tensor-missing', `The model has no tensor "${name.slice(0, 256)}".`, {
    remedy: 'The file is incomplete or was not written by Tern: convert the original checkpoint.',
  })

function makeModel(
  bytes: ByteSource,
  metadata: Map<string, GgufValue>,
  { config, name, ...texts }: ModelMetadata,
  tensors: Map<string, PlacedTensor>,
): GgufModel {
  const ternary = tensorsOf(config).filter(({ role }) => role === 'ternary')
  const packings = new Set(ternary.map(({ name }) => tensors.get(name)!.type))
  const parameters = parameterCounts(config)
  const infos = [...tensors.values()].map(({ name, type, shape, byteLength }) => ({ name, type, shape, byteLength }))

  const tensor = (name: string): PlacedTensor => {
    const found = tensors.get(name)
    if (!found) throw missingTensor(name)
    return found
  }
  return {
    config,
    name: name ?? bytes.name,
    byteLength: bytes.size,
    metadata,
    ...texts,
    parameterCount: parameters.all,
    ternaryParameterCount: parameters.ternary,
    packing: packings.size === 1 ? [...packings][0]! : 'mixed',
    embeddingType: tensor(EMBEDDING).type,
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
