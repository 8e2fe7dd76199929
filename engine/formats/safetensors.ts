/**
 * The safetensors format: eight bytes of header length, a JSON header, then raw tensors. Reader with every length, shape
 * and offset checked before use; streaming writer. Layout: docs of huggingface/safetensors, "Format".
 * Stricter than most readers: duplicate keys and overlapping tensors are refused.
 */
import * as v from 'valibot'
import type { ByteSink, ByteSource } from '../engine-environment.ts'
import { EngineError } from '../errors.ts'
import { ByteCursor, truncated } from './byte-cursor.ts'
import { type Checkpoint, type CheckpointTensor, missingInCheckpoint, notFloat } from './checkpoint.ts'
import { FLOAT_BYTES, floatsOfBytes, isFloatType } from './floats.ts'
import { refuseStandIn } from './stand-in.ts'

/** A header of 16 MiB describes more than 100,000 tensors. */
const MAX_HEADER_BYTES = 16 * 2 ** 20

const DTYPE_BYTES: Record<string, number> = {
  ...{ BOOL: 1, U8: 1, I8: 1, F8_E4M3: 1, F8_E5M2: 1, U16: 2, I16: 2, F16: 2, BF16: 2 },
  ...{ U32: 4, I32: 4, F32: 4, U64: 8, I64: 8, F64: 8 },
}

const wholeNumber = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const tensorSchema = v.strictObject({
  dtype: v.pipe(v.string(), v.maxLength(16)),
  shape: v.pipe(v.array(wholeNumber), v.maxLength(8)),
  data_offsets: v.strictTuple([wholeNumber, wholeNumber]),
})
const metadataSchema = v.record(v.string(), v.string())

interface SafetensorsTensor extends CheckpointTensor {
  /** From the start of the file. */
  readonly fileOffset: number
  readonly byteLength: number
}

export interface Safetensors extends Checkpoint {
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>
  readonly metadata: Readonly<Record<string, string>>
  /** Raw bytes of a whole tensor. Throws `tensor-missing`. */
  readBytes(name: string): Promise<Uint8Array>
}

/**
 * Opens a .safetensors file; the source belongs to the result and is closed with it, or at once when this throws.
 * @throws EngineError `format-unknown`, `format-invalid`, `file-truncated`, `limit-exceeded`
 */
export async function openSafetensors(source: ByteSource): Promise<Safetensors> {
  try {
    await refuseStandIn(source)
    return makeReader(source, await readHeader(source))
  } catch (error) {
    await source.close()
    throw error
  }
}

interface Header {
  tensors: Map<string, SafetensorsTensor>
  metadata: Record<string, string>
}

const invalid = (source: ByteSource, problem: string, expected?: string, actual?: string): EngineError =>
  new EngineError('format-invalid', `"${source.name}" is not a valid safetensors file: ${problem}.`, {
    ...(expected === undefined ? {} : { expected }),
    ...(actual === undefined ? {} : { actual }),
    remedy: 'The file is damaged: download it again from a source you trust.',
  })

async function readHeader(source: ByteSource): Promise<Header> {
  const cursor = new ByteCursor(source)
  await cursor.need(8)
  const headerBytes = cursor.size64()
  if (headerBytes > MAX_HEADER_BYTES) {
    const first = [...(await source.read(0, 8))].map(byte => byte.toString(16).padStart(2, '0')).join(' ')
    throw new EngineError('limit-exceeded', `"${source.name}" is not a safetensors file.`, {
      expected: `the length of a header, at most ${MAX_HEADER_BYTES} bytes`,
      actual: `first bytes ${first}`,
      remedy: 'The file is damaged or in another format: download it again from a source you trust.',
    })
  }
  await cursor.need(headerBytes)
  const { text, json } = parseHeader(source, cursor.bytes(headerBytes))
  const { __metadata__: metadataJson = {}, ...entries } = json
  const dataStart = 8 + headerBytes
  const tensors = new Map<string, SafetensorsTensor>()
  for (const [name, entry] of Object.entries(entries)) tensors.set(name, placeTensor(source, name, entry, dataStart))
  const metadata = parseMetadata(source, metadataJson)
  if (countColons(text) !== countKeys(json)) throw invalid(source, 'a key in its header appears twice')
  refuseOverlaps(source, [...tensors.values()])
  return { tensors, metadata }
}

function parseHeader(source: ByteSource, bytes: Uint8Array): { text: string; json: Record<string, unknown> } {
  let text: string
  let json: unknown
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    json = JSON.parse(text)
  } catch {
    throw invalid(source, 'its header is not JSON')
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw invalid(source, 'its header is not an object')
  }
  return { text, json: json as Record<string, unknown> }
}

/** Colons outside strings in valid JSON: one for every key, repeated keys included. */
function countColons(json: string): number {
  let count = 0
  let inString = false
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i)
    if (inString) {
      if (code === 0x5c) i++
      else if (code === 0x22) inString = false
    } else if (code === 0x22) inString = true
    else if (code === 0x3a) count++
  }
  return count
}

/** Keys that parsing kept. A header that has passed the schemas is two levels deep. */
const countKeys = (header: Record<string, unknown>): number =>
  Object.values(header).reduce<number>((count, entry) => count + 1 + Object.keys(entry as object).length, 0)

function parseMetadata(source: ByteSource, metadata: unknown): Record<string, string> {
  const parsed = v.safeParse(metadataSchema, metadata)
  if (!parsed.success) throw invalid(source, '__metadata__ is not a list of texts')
  return parsed.output
}

function placeTensor(source: ByteSource, name: string, entry: unknown, dataStart: number): SafetensorsTensor {
  const parsed = v.safeParse(tensorSchema, entry)
  const shown = name.slice(0, 256)
  if (!parsed.success) throw invalid(source, `the entry of tensor "${shown}" is malformed`)
  const { dtype, shape, data_offsets: offsets } = parsed.output
  const [begin, end] = offsets
  if (begin > end) throw invalid(source, `tensor "${shown}" ends before it begins`)
  if (dataStart + end > source.size) throw truncated(source, dataStart + end)
  const elementBytes = DTYPE_BYTES[dtype]
  const byteLength = end - begin
  if (elementBytes !== undefined) {
    const expected = shape.reduce((product, size) => product * size, elementBytes)
    if (expected !== byteLength) {
      const what = `tensor "${shown}" (${dtype}, [${shape.join(', ')}]) has the wrong length`
      throw invalid(source, what, `${expected} bytes`, `${byteLength} bytes`)
    }
  }
  return { name, dtype, shape, fileOffset: dataStart + begin, byteLength }
}

function refuseOverlaps(source: ByteSource, tensors: SafetensorsTensor[]): void {
  const filled = tensors.filter(({ byteLength }) => byteLength > 0).sort((a, b) => a.fileOffset - b.fileOffset)
  for (let i = 1; i < filled.length; i++) {
    const before = filled[i - 1]!
    if (before.fileOffset + before.byteLength <= filled[i]!.fileOffset) continue
    throw invalid(source, `the tensors "${before.name}" and "${filled[i]!.name}" overlap`)
  }
}

function makeReader(source: ByteSource, { tensors, metadata }: Header): Safetensors {
  const find = (name: string): SafetensorsTensor => {
    const tensor = tensors.get(name)
    if (!tensor) throw missingInCheckpoint(name)
    return tensor
  }
  return {
    tensors,
    metadata,
    async readElements(name, first, count) {
      const { dtype, fileOffset } = find(name)
      if (!isFloatType(dtype)) throw notFloat(name, dtype)
      const elementBytes = FLOAT_BYTES[dtype]
      const bytes = await source.read(fileOffset + first * elementBytes, count * elementBytes)
      return floatsOfBytes(dtype, bytes, count)
    },
    readBytes(name) {
      const { fileOffset, byteLength } = find(name)
      return source.read(fileOffset, byteLength)
    },
    close: () => source.close(),
  }
}

export interface NewSafetensor {
  name: string
  dtype: 'F32' | 'F16' | 'BF16' | 'I32'
  shape: number[]
}

/**
 * Writes a .safetensors file front to back: `writeSafetensorsHeader`, then the bytes of every tensor in the order given,
 * without gaps, then the sink's `finish`. Tensors of larger elements first keep the data aligned.
 * @returns bytes of the whole file
 */
export async function writeSafetensorsHeader(
  sink: ByteSink,
  tensors: NewSafetensor[],
  metadata: Record<string, string> = {},
): Promise<number> {
  let offset = 0
  const header: Record<string, unknown> = Object.keys(metadata).length > 0 ? { __metadata__: metadata } : {}
  for (const { name, dtype, shape } of tensors) {
    const end = offset + shape.reduce((product, size) => product * size, DTYPE_BYTES[dtype]!)
    header[name] = { dtype, shape, data_offsets: [offset, end] }
    offset = end
  }
  const json = new TextEncoder().encode(JSON.stringify(header))
  // Spaces up to a multiple of 8, so that the data is aligned.
  const bytes = new Uint8Array(8 + 8 * Math.ceil(json.length / 8)).fill(0x20)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(bytes.length - 8), true)
  bytes.set(json, 8)
  await sink.write(bytes)
  return bytes.length + offset
}
