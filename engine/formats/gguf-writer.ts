/**
 * Writes a GGUF v3 file front to back: header first, then the tensors in their order, each in any number of pieces.
 * Every size is known before the first byte goes out. What a model file holds is decided by the callers.
 */

import type { ByteSink } from '../engine-environment.ts'
import { EngineError } from '../errors.ts'
import type { TensorInfo, TensorType } from '../model/source.ts'
import { GGUF_DEFAULT_ALIGNMENT, GGUF_VALUE_TYPES, type GgufScalar, type GgufValueType } from './gguf-values.ts'
import { TENSOR_TYPES, tensorBytes } from './tensor-types.ts'

export interface GgufEntry {
  key: string
  type: Exclude<GgufValueType, 'array' | 'uint64' | 'int64'>
  /** An array is written as an array of `type`. */
  value: GgufScalar | readonly GgufScalar[]
}

export interface GgufNewTensor {
  name: string
  type: TensorType
  /** Outermost first, as stored (padded). */
  shape: number[]
}

const align = (offset: number): number => GGUF_DEFAULT_ALIGNMENT * Math.ceil(offset / GGUF_DEFAULT_ALIGNMENT)

export class GgufWriter {
  /** Of the whole file. */
  readonly totalBytes: number
  readonly #sink: ByteSink
  readonly #header: Uint8Array
  readonly #tensors: TensorInfo[]
  /** Index of the tensor being written and its bytes so far. */
  #current = 0
  #currentBytes = 0

  constructor(sink: ByteSink, metadata: GgufEntry[], tensors: GgufNewTensor[]) {
    this.#sink = sink
    this.#tensors = tensors.map(tensor => ({ ...tensor, byteLength: tensorBytes(tensor.type, tensor.shape) }))
    this.#header = headerBytes(metadata, this.#tensors)
    this.totalBytes = this.#tensors.reduce((total, { byteLength }) => total + align(byteLength), this.#header.length)
  }

  async writeHeader(): Promise<void> {
    await this.#sink.write(this.#header)
  }

  /** The next bytes of the tensor whose turn it is. Throws `internal` when they do not fit it. */
  async writeTensor(name: string, bytes: Uint8Array): Promise<void> {
    const tensor = this.#tensors[this.#current]
    if (tensor?.name !== name || this.#currentBytes + bytes.length > tensor.byteLength) {
      throw new EngineError('internal', 'Tensor bytes written out of order.', {
        expected: tensor ? `"${tensor.name}", ${tensor.byteLength - this.#currentBytes} more bytes` : 'the end',
        actual: `"${name}", ${bytes.length} bytes`,
      })
    }
    await this.#sink.write(bytes)
    this.#currentBytes += bytes.length
    if (this.#currentBytes < tensor.byteLength) return
    const padding = align(tensor.byteLength) - tensor.byteLength
    if (padding > 0) await this.#sink.write(new Uint8Array(padding))
    this.#current++
    this.#currentBytes = 0
  }

  /** Makes the file whole. Throws `internal` when tensors are missing. */
  async finish(): Promise<void> {
    const next = this.#tensors[this.#current]
    if (next) throw new EngineError('internal', `Tensor "${next.name}" was not written completely.`)
    await this.#sink.finish()
  }
}

/** Magic, version, counts, metadata, tensor infos, padding up to the tensor data. */
function headerBytes(metadata: GgufEntry[], tensors: TensorInfo[]): Uint8Array {
  const out = new ByteBuilder()
  out.bytes(new TextEncoder().encode('GGUF'))
  out.u32(3)
  out.u64(tensors.length)
  out.u64(metadata.length)
  for (const { key, type, value } of metadata) {
    out.string(key)
    if (Array.isArray(value)) {
      out.u32(GGUF_VALUE_TYPES.indexOf('array'))
      out.u32(GGUF_VALUE_TYPES.indexOf(type))
      out.u64(value.length)
      for (const element of value) out.scalar(type, element)
    } else {
      out.u32(GGUF_VALUE_TYPES.indexOf(type))
      out.scalar(type, value as GgufScalar)
    }
  }
  let offset = 0
  for (const { name, type, shape, byteLength } of tensors) {
    out.string(name)
    out.u32(shape.length)
    for (const size of shape.toReversed()) out.u64(size)
    out.u32(TENSOR_TYPES[type].ggmlId)
    out.u64(offset)
    offset += align(byteLength)
  }
  out.bytes(new Uint8Array(align(out.length) - out.length))
  return out.take()
}

/** Little-endian bytes in a buffer that grows. */
class ByteBuilder {
  length = 0
  #buffer = new Uint8Array(1 << 16)
  #view = new DataView(this.#buffer.buffer)
  readonly #encoder = new TextEncoder()

  #grow(byteCount: number): number {
    const at = this.length
    this.length += byteCount
    if (this.length > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(this.length, 2 * this.#buffer.length))
      larger.set(this.#buffer)
      this.#buffer = larger
      this.#view = new DataView(larger.buffer)
    }
    return at
  }
  bytes(bytes: Uint8Array): void {
    // First: growing replaces the buffer.
    const at = this.#grow(bytes.length)
    this.#buffer.set(bytes, at)
  }
  u32(value: number): void {
    const at = this.#grow(4)
    this.#view.setUint32(at, value, true)
  }
  u64(value: number): void {
    const at = this.#grow(8)
    this.#view.setBigUint64(at, BigInt(value), true)
  }
  string(text: string): void {
    const bytes = this.#encoder.encode(text)
    this.u64(bytes.length)
    this.bytes(bytes)
  }
  scalar(type: GgufEntry['type'], value: GgufScalar): void {
    if (type === 'string') {
      this.string(String(value))
      return
    }
    const number = Number(value)
    const at = this.#grow(SCALAR_BYTES[type])
    if (type === 'uint8' || type === 'bool') this.#view.setUint8(at, number)
    else if (type === 'int8') this.#view.setInt8(at, number)
    else if (type === 'uint16') this.#view.setUint16(at, number, true)
    else if (type === 'int16') this.#view.setInt16(at, number, true)
    else if (type === 'uint32') this.#view.setUint32(at, number, true)
    else if (type === 'int32') this.#view.setInt32(at, number, true)
    else if (type === 'float32') this.#view.setFloat32(at, number, true)
    else this.#view.setFloat64(at, number, true)
  }
  take(): Uint8Array {
    return this.#buffer.subarray(0, this.length)
  }
}

const SCALAR_BYTES = { uint8: 1, bool: 1, int8: 1, uint16: 2, int16: 2, uint32: 4, int32: 4, float32: 4, float64: 8 }
