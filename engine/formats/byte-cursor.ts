/**
 * Reads a header front to back through a window over a ByteSource. `need(n)` makes the next n bytes present (or throws
 * `file-truncated` before anything is allocated); the plain getters then take them without waiting. Little-endian.
 */

import type { ByteSource } from '../engine-environment.ts'
import { EngineError } from '../errors.ts'

const WINDOW_BYTES = 256 * 1024

export class ByteCursor {
  readonly source: ByteSource
  /** File offset of window[0]. */
  #windowStart = 0
  #window: Uint8Array = new Uint8Array(0)
  #view: DataView<ArrayBufferLike> = new DataView(new ArrayBuffer(0))
  /** Read position inside the window. */
  #at = 0

  constructor(source: ByteSource, position = 0) {
    this.source = source
    this.#windowStart = position
  }

  /** File offset of the next byte. */
  get position(): number {
    return this.#windowStart + this.#at
  }

  /** Bytes that can be taken without waiting. */
  get available(): number {
    return this.#window.length - this.#at
  }

  /** Bytes from here to the end of the file. */
  get remaining(): number {
    return this.source.size - this.position
  }

  /** Throws `file-truncated` when the file ends before `byteCount` more bytes. */
  require(byteCount: number): void {
    if (byteCount > this.remaining) throw truncated(this.source, this.position + byteCount)
  }

  async need(byteCount: number): Promise<void> {
    if (this.available >= byteCount) return
    this.require(byteCount)
    const start = this.position
    const length = Math.min(Math.max(byteCount, WINDOW_BYTES), this.source.size - start)
    this.#window = await this.source.read(start, length)
    this.#view = new DataView(this.#window.buffer, this.#window.byteOffset, this.#window.byteLength)
    this.#windowStart = start
    this.#at = 0
  }

  /** Goes forward (inside the file) without reading. */
  skip(byteCount: number): void {
    this.require(byteCount)
    this.#at += byteCount
    if (this.#at <= this.#window.length) return
    this.#windowStart += this.#at
    this.#window = new Uint8Array(0)
    this.#at = 0
  }

  // The getters below ask for a `need` before them.

  /** A view that the next `need` leaves behind. */
  bytes(length: number): Uint8Array {
    this.#at += length
    return this.#window.subarray(this.#at - length, this.#at)
  }
  u8(): number {
    return this.#view.getUint8(this.#at++)
  }
  i8(): number {
    return this.#view.getInt8(this.#at++)
  }
  u16(): number {
    this.#at += 2
    return this.#view.getUint16(this.#at - 2, true)
  }
  i16(): number {
    this.#at += 2
    return this.#view.getInt16(this.#at - 2, true)
  }
  u32(): number {
    this.#at += 4
    return this.#view.getUint32(this.#at - 4, true)
  }
  i32(): number {
    this.#at += 4
    return this.#view.getInt32(this.#at - 4, true)
  }
  f32(): number {
    this.#at += 4
    return this.#view.getFloat32(this.#at - 4, true)
  }
  f64(): number {
    this.#at += 8
    return this.#view.getFloat64(this.#at - 8, true)
  }
  i64(): bigint {
    this.#at += 8
    return this.#view.getBigInt64(this.#at - 8, true)
  }
  u64(): bigint {
    this.#at += 8
    return this.#view.getBigUint64(this.#at - 8, true)
  }

  /** A 64-bit length, count or offset as a number; above 2^53 it becomes Infinity, which every limit refuses. */
  size64(): number {
    const low = this.u32()
    const high = this.u32()
    return high < 1 << 21 ? high * 2 ** 32 + low : Number.POSITIVE_INFINITY
  }
}

export function truncated(source: ByteSource, expectedBytes: number): EngineError {
  const expected = Number.isFinite(expectedBytes) ? `at least ${expectedBytes} bytes` : 'a larger file'
  return new EngineError('file-truncated', `"${source.name}" ends too early.`, {
    expected,
    actual: `${source.size} bytes`,
    remedy: 'The file is incomplete: download or copy it again.',
  })
}
