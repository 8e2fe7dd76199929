/** Frames of the board's link: the page's examples, and a decoder on damaged lines. */
import { crc32 as zlibCrc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import {
  crc32,
  encodeFrame,
  errorOf,
  type Frame,
  FrameDecoder,
  MAX_PAYLOAD_BYTES,
  OPCODES,
  REPLY,
  REPLY_ERROR,
} from '../../engine/backends/fpga/frame.ts'
import { createRandom, wholeBelow } from '../../engine/seeded-random.ts'
import { protocolExamples } from '../gateware/protocol-examples.ts'

const framesIn = (decoder: FrameDecoder, bytes: Uint8Array): Frame[] =>
  decoder.push(bytes).flatMap(received => (received.kind === 'frame' ? [received.frame] : []))

describe('the examples of docs/usb-protocol.md', () => {
  const examples = protocolExamples()

  it('are a conversation: requests and replies in turn, of every kind that is no step of a model', () => {
    expect(examples.map(({ direction }) => direction).join('')).toBe('><'.repeat(13))
    const opcodes = new Set(examples.map(({ opcode }) => opcode))
    for (const name of ['ping', 'info', 'status', 'memWrite', 'memRead', 'memCrc', 'stateLoad', 'step'] as const) {
      expect(opcodes, name).toContain(OPCODES[name])
    }
  })

  it.each(examples)('$direction $opcode, sequence $sequence', ({ direction, opcode, sequence, bytes }) => {
    const [frame] = framesIn(new FrameDecoder(), bytes)
    expect({ opcode: frame.opcode, sequence: frame.sequence, version: frame.version }).toEqual({
      opcode,
      sequence,
      version: 1,
    })
    expect(frame.flags & REPLY).toBe(direction === '<' ? REPLY : 0)
    expect(encodeFrame(opcode, sequence, frame.payload, frame.flags)).toEqual(bytes)
  })

  it('say the errors by name', () => {
    const errors = examples.flatMap(({ bytes }) => framesIn(new FrameDecoder(), bytes).map(errorOf))
    expect(errors.filter(error => error !== null)).toEqual(['NOT_LOADED', 'BAD_OP', 'BAD_OP'])
  })
})

describe('a decoder', () => {
  const random = createRandom(31)
  const payload = (length: number) => Uint8Array.from({ length }, () => wholeBelow(random, 256))

  it('finds frames in any pieces, between rubbish', () => {
    const sent = [0, 1, 7, 4096, 300].map((length, at) => ({ at, bytes: payload(length) }))
    const line = sent.flatMap(({ at, bytes }) => [0xa5, 0x5a, 0xa5, 9, 0xa5, ...encodeFrame(0x31, at, bytes)])
    for (let turn = 0; turn < 20; turn++) {
      const decoder = new FrameDecoder()
      const found: Frame[] = []
      for (let at = 0; at < line.length; ) {
        const length = 1 + wholeBelow(random, turn === 0 ? 1 : 900)
        found.push(...framesIn(decoder, Uint8Array.from(line.slice(at, at + length))))
        at += length
      }
      expect(found.map(({ sequence, payload: bytes }) => ({ at: sequence, bytes }))).toEqual(sent)
    }
  })

  it('names what is damaged and finds the next frame', () => {
    const frame = encodeFrame(OPCODES.step, 5, payload(40))
    frame[20] ^= 4
    const next = encodeFrame(OPCODES.ping, 6, payload(3))
    const received = new FrameDecoder().push(Uint8Array.from([...frame, ...next]))
    expect(received).toMatchObject([
      { kind: 'damaged', fault: 'bad-payload-crc', opcode: OPCODES.step, sequence: 5 },
      { kind: 'frame', frame: { opcode: OPCODES.ping, sequence: 6 } },
    ])
  })

  it('refuses a length above the most, and does not wait for those bytes', () => {
    const header = [0xa5, 0x5a, 1, 0, 0, 201, 0x88, 0x13, 0xb5, 0x43]
    const [damaged, ...rest] = new FrameDecoder().push(Uint8Array.from([...header, ...encodeFrame(0, 7, payload(2))]))
    expect(damaged).toMatchObject({ kind: 'damaged', fault: 'too-long', sequence: 201 })
    expect(rest).toMatchObject([{ kind: 'frame', frame: { sequence: 7 } }])
    expect(() => encodeFrame(0, 1, new Uint8Array(MAX_PAYLOAD_BYTES + 1))).toThrow(RangeError)
  })

  it('forgets after a silence a frame that lost a byte, and nothing else', () => {
    const decoder = new FrameDecoder()
    const frame = encodeFrame(OPCODES.step, 8, payload(40))
    expect(decoder.push(frame.subarray(0, 53))).toEqual([])
    expect(decoder.isInsideFrame).toBe(true)
    decoder.silence()
    expect(framesIn(decoder, frame).map(({ sequence }) => sequence)).toEqual([8])
    // In a header a silence changes nothing: its CRC decides.
    decoder.push(frame.subarray(0, 6))
    decoder.silence()
    expect(framesIn(decoder, frame.subarray(6)).map(({ sequence }) => sequence)).toEqual([8])
  })

  it('gives no frame that was not sent, whichever bit is flipped', () => {
    const frame = encodeFrame(OPCODES.step, 9, payload(12))
    for (let bit = 0; bit < 8 * frame.length; bit++) {
      const damaged = frame.slice()
      damaged[bit >> 3] ^= 1 << (bit & 7)
      expect(framesIn(new FrameDecoder(), damaged), `bit ${bit}`).toEqual([])
    }
  })

  it('takes errors that it does not know for errors inside the device', () => {
    const error = (...bytes: number[]) => errorOf({ flags: REPLY_ERROR, payload: Uint8Array.from(bytes) })
    expect([error(6), error(0), error(99), error()]).toEqual(['NOT_LOADED', 'INTERNAL', 'INTERNAL', 'INTERNAL'])
    expect(errorOf({ flags: REPLY, payload: Uint8Array.of(6) })).toBe(null)
  })
})

it('the payload’s sum is that of zip', () => {
  for (const text of ['', '123456789', 'tern'.repeat(500)]) {
    const bytes = new TextEncoder().encode(text)
    expect(crc32(bytes)).toBe(zlibCrc32(bytes))
  }
})
