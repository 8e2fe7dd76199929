/**
 * Messages over a byte stream between two processes of possibly different runtimes, whose own serialisations may not
 * understand each other. A frame is
 *
 *     u32 little-endian   bytes that follow
 *     u32 little-endian   bytes of the head
 *     head                UTF-8 JSON: { message, parts: [bytes of each part] }
 *     parts               raw, one after another; in `message` each stands as { "$part": index }
 *
 * What JSON cannot say (functions, NaN) does not cross; `undefined` members are left out, as over a WebSocket.
 */
import * as v from 'valibot'
import { TernError } from './errors.ts'

/** Larger than any state or message; a length beyond it is damage, not a message. */
export const MAX_FRAME_BYTES = 256 * 1024 * 1024
const MAX_PARTS = 1024
const PREFIX_BYTES = 8
const PART_KEY = '$part'

const length = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_FRAME_BYTES))
const headSchema = v.object({ message: v.unknown(), parts: v.pipe(v.array(length), v.maxLength(MAX_PARTS)) })

/** The pieces of one frame, to be written in this order. Throws `limit-exceeded`. */
export function encodeFrame(message: unknown): Uint8Array[] {
  const parts: Uint8Array[] = []
  const json = JSON.stringify(message, function (this: Record<string, unknown>, key, value: unknown) {
    // `value` of a Node Buffer is what its toJSON made of it.
    const original = this[key]
    if (original instanceof Uint8Array) return { [PART_KEY]: parts.push(original) - 1 }
    if (isRecord(value) && PART_KEY in value) {
      throw new TernError({ code: 'internal', message: `A message must not hold a member named ${PART_KEY}.` })
    }
    return value
  })
  const head = new TextEncoder().encode(
    `{"message":${json ?? 'null'},"parts":${JSON.stringify(parts.map(part => part.byteLength))}}`,
  )
  const bodyBytes = 4 + head.byteLength + parts.reduce((sum, part) => sum + part.byteLength, 0)
  if (bodyBytes > MAX_FRAME_BYTES || parts.length > MAX_PARTS) {
    throw new TernError({
      code: 'limit-exceeded',
      message: 'A message is too large to be sent to another process.',
      expected: `at most ${MAX_FRAME_BYTES} bytes in ${MAX_PARTS} parts`,
      actual: `${bodyBytes} bytes in ${parts.length} parts`,
    })
  }
  const prefix = new Uint8Array(PREFIX_BYTES)
  const view = new DataView(prefix.buffer)
  view.setUint32(0, bodyBytes, true)
  view.setUint32(4, head.byteLength, true)
  return [prefix, head, ...parts]
}

/** Puts frames together from chunks of any size. After it has thrown, the stream is beyond repair: close it. */
export class FrameReader {
  private chunks: Uint8Array[] = []
  private heldBytes = 0

  /** The messages that this chunk completes. Throws `protocol-violation`. */
  push(chunk: Uint8Array): unknown[] {
    if (chunk.byteLength > 0) this.chunks.push(chunk)
    this.heldBytes += chunk.byteLength
    const messages: unknown[] = []
    for (;;) {
      if (this.heldBytes < PREFIX_BYTES) return messages
      const prefix = this.peek(PREFIX_BYTES)
      const view = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES)
      const bodyBytes = view.getUint32(0, true)
      const headBytes = view.getUint32(4, true)
      if (bodyBytes > MAX_FRAME_BYTES) throw violation(`a frame of at most ${MAX_FRAME_BYTES} bytes`, `${bodyBytes}`)
      if (headBytes + 4 > bodyBytes) throw violation(`a head within ${bodyBytes} bytes`, `${headBytes}`)
      if (this.heldBytes < bodyBytes + 4) return messages
      messages.push(decodeBody(this.take(bodyBytes + 4).subarray(PREFIX_BYTES), headBytes))
    }
  }

  /** Bytes of a frame that has begun and not ended: at the end of a stream, something was cut off. */
  get pendingBytes(): number {
    return this.heldBytes
  }

  /** The first `byteCount` bytes, in one piece, and left where they are. */
  private peek(byteCount: number): Uint8Array {
    const [first] = this.chunks
    if (first !== undefined && first.byteLength >= byteCount) return first.subarray(0, byteCount)
    const whole = new Uint8Array(this.heldBytes)
    let offset = 0
    for (const chunk of this.chunks) {
      whole.set(chunk, offset)
      offset += chunk.byteLength
    }
    this.chunks = [whole]
    return whole.subarray(0, byteCount)
  }

  private take(byteCount: number): Uint8Array {
    const taken = this.peek(byteCount)
    this.chunks[0] = this.chunks[0]!.subarray(byteCount)
    if (this.chunks[0].byteLength === 0) this.chunks.shift()
    this.heldBytes -= byteCount
    return taken
  }
}

function decodeBody(body: Uint8Array, headBytes: number): unknown {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body.subarray(0, headBytes)))
  } catch {
    throw violation('JSON in UTF-8', 'something else')
  }
  const head = v.safeParse(headSchema, json)
  if (!head.success) throw violation('a message and its parts', 'another head')
  const { message, parts } = head.output
  const partBytes = parts.reduce((sum, byteCount) => sum + byteCount, 0)
  if (headBytes + partBytes !== body.byteLength) {
    throw violation(`${body.byteLength - headBytes} bytes of parts`, `${partBytes}`)
  }
  let offset = headBytes
  // Copies: whoever keeps a part must not keep the chunk that it came in.
  const bytesOf = parts.map(byteCount => body.slice(offset, (offset += byteCount)))
  return bytesOf.length === 0 ? message : withParts(message, bytesOf)
}

function withParts(value: unknown, parts: Uint8Array[]): unknown {
  if (Array.isArray(value)) return value.map(item => withParts(item, parts))
  if (!isRecord(value)) return value
  const index = value[PART_KEY]
  if (index !== undefined) {
    const part = typeof index === 'number' ? parts[index] : undefined
    if (part === undefined) throw violation(`a part below ${parts.length}`, String(index))
    return part
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withParts(item, parts)]))
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const violation = (expected: string, actual: string): TernError =>
  new TernError({
    code: 'protocol-violation',
    message: 'The other process sent something that is no message.',
    expected,
    actual,
  })
