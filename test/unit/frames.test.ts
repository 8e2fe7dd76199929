/** Frames between host and engine child: every split of the stream, and everything that is no frame. */
import { describe, expect, it } from 'vitest'
import { encodeFrame, FrameReader, MAX_FRAME_BYTES } from '../../contract/frames.ts'

const joined = (pieces: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(pieces))
const frame = (message: unknown) => joined(encodeFrame(message))
/** A frame with any head and body, right or wrong. */
function rawFrame(head: string | Uint8Array, rest = new Uint8Array(), lengths: { body?: number; head?: number } = {}) {
  const bytes = typeof head === 'string' ? new TextEncoder().encode(head) : head
  const prefix = new DataView(new ArrayBuffer(8))
  prefix.setUint32(0, lengths.body ?? 4 + bytes.byteLength + rest.byteLength, true)
  prefix.setUint32(4, lengths.head ?? bytes.byteLength, true)
  return joined([new Uint8Array(prefix.buffer), bytes, rest])
}

const MESSAGES = [
  null,
  { kind: 'call', id: 1, params: { text: 'a “quoted” 😀 line\n', list: [1, -2.5, true, null] } },
  { state: new Uint8Array([0, 255, 1]), more: [{ deep: new Uint8Array(0) }, new Uint8Array(70_000).fill(7)] },
  [],
  'text',
]

describe('messages', () => {
  it('arrive as they were sent, whatever pieces the stream makes of them', () => {
    const stream = joined(MESSAGES.flatMap(encodeFrame))
    for (const size of [1, 2, 3, 7, 8, 9, 64, 4096, stream.byteLength]) {
      const reader = new FrameReader()
      const received: unknown[] = []
      for (let at = 0; at < stream.byteLength; at += size) received.push(...reader.push(stream.subarray(at, at + size)))
      expect(received).toEqual(MESSAGES)
      expect(reader.pendingBytes).toBe(0)
    }
  })

  it('split at any one byte arrive whole', () => {
    const stream = frame({ bytes: new Uint8Array([1, 2, 3]), text: 'ü' })
    for (let at = 0; at <= stream.byteLength; at++) {
      const reader = new FrameReader()
      const first = reader.push(stream.subarray(0, at))
      expect([...first, ...reader.push(stream.subarray(at))]).toEqual([{ bytes: new Uint8Array([1, 2, 3]), text: 'ü' }])
    }
  })

  it('take a Buffer, or a view into a larger one, as its bytes', () => {
    const [message] = new FrameReader().push(frame({ a: Buffer.from('abc'), b: new Uint8Array([9, 8, 7]).subarray(1) }))
    expect(message).toEqual({ a: new Uint8Array([97, 98, 99]), b: new Uint8Array([8, 7]) })
  })

  it('leave out what is undefined, and refuse a member that would be mistaken for bytes', () => {
    expect(new FrameReader().push(frame({ a: undefined, b: 1 }))).toEqual([{ b: 1 }])
    expect(() => encodeFrame({ $part: 0 })).toThrow(/\$part/)
  })

  it('own their bytes: the chunk that they came in may be used again', () => {
    const chunk = frame({ bytes: new Uint8Array([1, 2, 3]) })
    const [message] = new FrameReader().push(chunk)
    chunk.fill(0)
    expect(message).toEqual({ bytes: new Uint8Array([1, 2, 3]) })
  })
})

describe('what is no frame', () => {
  const refused: [string, Uint8Array][] = [
    ['a length beyond the limit', rawFrame('{}', undefined, { body: MAX_FRAME_BYTES + 1 })],
    ['a head longer than its frame', rawFrame('{"message":1,"parts":[]}', undefined, { head: 1000 })],
    ['a body too short for its head', rawFrame('', undefined, { body: 3, head: 0 })],
    ['a head that is not JSON', rawFrame('{"message":1,')],
    ['a head that is not UTF-8', rawFrame(new Uint8Array([0xff, 0xfe]))],
    ['a head of another shape', rawFrame('[1]')],
    ['parts that are shorter than said', rawFrame('{"message":{"$part":0},"parts":[5]}', new Uint8Array(4))],
    ['parts that are longer than said', rawFrame('{"message":{"$part":0},"parts":[3]}', new Uint8Array(4))],
    ['a negative part', rawFrame('{"message":1,"parts":[-1,5]}', new Uint8Array(4))],
    ['a part that is not there', rawFrame('{"message":{"$part":1},"parts":[4]}', new Uint8Array(4))],
    ['a part named by a text', rawFrame('{"message":{"$part":"0"},"parts":[4]}', new Uint8Array(4))],
    ['more parts than there may be', rawFrame(`{"message":1,"parts":[${Array(1025).fill(0)}]}`)],
    ['the output of another program', new TextEncoder().encode('Warning: something is deprecated\n')],
  ]
  it.each(refused)('%s is refused', (_, bytes) => {
    expect(() => new FrameReader().push(bytes)).toThrow(/no message/)
  })

  it('a frame cut off is no message, and is seen to be incomplete', () => {
    const reader = new FrameReader()
    const whole = frame({ a: 1 })
    expect(reader.push(whole.subarray(0, -1))).toEqual([])
    expect(reader.pendingBytes).toBe(whole.byteLength - 1)
  })
})
