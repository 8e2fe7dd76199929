/**
 * Frames of the board's link (docs/usb-protocol.md), for both ends of it. The decoder does what the gateware's parser does
 * (gateware/rtl/tern_frame_parser.sv), so that a simulated board and a real one lose the same bytes to the same damage.
 */

export const OPCODES = {
  ping: 0x00,
  info: 0x01,
  status: 0x02,
  softReset: 0x04,
  memWrite: 0x10,
  memRead: 0x11,
  memCrc: 0x12,
  modelDesc: 0x13,
  modelCommit: 0x14,
  stateReset: 0x20,
  stateSave: 0x21,
  stateLoad: 0x22,
  step: 0x31,
  prefill: 0x33,
  sensors: 0x40,
  cycles: 0x50,
} as const

/** The byte of an error reply is the place in this list. */
const DEVICE_ERRORS = [
  'OK',
  'BAD_CRC',
  'BAD_LEN',
  'BAD_OP',
  'BAD_SEQ',
  'BUSY',
  'NOT_LOADED',
  'RANGE',
  'DRAM_FAIL',
  'OVERRUN',
  'WATCHDOG',
  'INTERNAL',
] as const
export type DeviceError = Exclude<(typeof DEVICE_ERRORS)[number], 'OK'>

const PROTOCOL_VERSION = 1
/** Bytes of payload. */
export const MAX_PAYLOAD_BYTES = 4096
/** A flag of every reply; of one that is an error. */
export const REPLY = 0x80
export const REPLY_ERROR = 0xc0

const SYNC_0 = 0xa5
const SYNC_1 = 0x5a
const HEADER_BYTES = 10
const CRC_BYTES = 4

export interface Frame {
  readonly version: number
  readonly opcode: number
  readonly flags: number
  readonly sequence: number
  readonly payload: Uint8Array
}

/** What a receiver found; of a frame with a fault the header was right. */
type Received =
  | { readonly kind: 'frame'; readonly frame: Frame }
  | {
      readonly kind: 'damaged'
      readonly fault: 'bad-payload-crc' | 'too-long'
      readonly opcode: number
      readonly flags: number
      readonly sequence: number
    }

/** Throws RangeError for more than MAX_PAYLOAD_BYTES. */
export function encodeFrame(opcode: number, sequence: number, payload: Uint8Array, flags = 0): Uint8Array<ArrayBuffer> {
  if (payload.length > MAX_PAYLOAD_BYTES) throw new RangeError(`a payload of ${payload.length} bytes`)
  const frame = new Uint8Array(HEADER_BYTES + payload.length + CRC_BYTES)
  const view = new DataView(frame.buffer)
  frame.set([SYNC_0, SYNC_1, PROTOCOL_VERSION, opcode, flags, sequence])
  view.setUint16(6, payload.length, true)
  view.setUint16(8, crc16(frame.subarray(2, 8)), true)
  frame.set(payload, HEADER_BYTES)
  view.setUint32(HEADER_BYTES + payload.length, crc32(payload), true)
  return frame
}

/**
 * Takes bytes as they come. It hunts with a window of ten bytes, so that no start is missed after rubbish; a frame whose payload
 * is damaged is gone with all its bytes, and the hunt begins behind it.
 */
export class FrameDecoder {
  /** The last bytes of a hunt, the oldest first. */
  readonly #window = new Uint8Array(HEADER_BYTES)
  #header: Omit<Frame, 'payload'> | null = null
  /** Payload and its CRC. */
  #body = new Uint8Array()
  #bodyAt = 0

  /** Bytes that are part of no frame yet may be: of a frame that has begun. */
  get isInsideFrame(): boolean {
    return this.#header !== null
  }

  push(bytes: Uint8Array): Received[] {
    const received: Received[] = []
    for (let at = 0; at < bytes.length; ) {
      if (this.#header === null) {
        this.#hunt(bytes[at++], received)
        continue
      }
      const part = bytes.subarray(at, at + this.#body.length - this.#bodyAt)
      this.#body.set(part, this.#bodyAt)
      this.#bodyAt += part.length
      at += part.length
      if (this.#bodyAt === this.#body.length) received.push(this.#whole(this.#header))
    }
    return received
  }

  /** No byte came for 10 ms: a frame that has begun is forgotten, the window of a hunt is not. */
  silence(): void {
    this.#header = null
  }

  #hunt(byte: number, received: Received[]): void {
    const window = this.#window
    window.copyWithin(0, 1)
    window[HEADER_BYTES - 1] = byte
    if (window[0] !== SYNC_0 || window[1] !== SYNC_1) return
    const view = new DataView(window.buffer)
    if (crc16(window.subarray(2, 8)) !== view.getUint16(8, true)) return
    const [, , version, opcode, flags, sequence] = window
    const length = view.getUint16(6, true)
    window.fill(0)
    if (length > MAX_PAYLOAD_BYTES) {
      received.push({ kind: 'damaged', fault: 'too-long', opcode, flags, sequence })
      return
    }
    this.#header = { version, opcode, flags, sequence }
    this.#body = new Uint8Array(length + CRC_BYTES)
    this.#bodyAt = 0
  }

  #whole(header: Omit<Frame, 'payload'>): Received {
    this.#header = null
    const length = this.#body.length - CRC_BYTES
    const payload = this.#body.subarray(0, length)
    if (crc32(payload) === new DataView(this.#body.buffer).getUint32(length, true)) {
      return { kind: 'frame', frame: { ...header, payload } }
    }
    const { opcode, flags, sequence } = header
    return { kind: 'damaged', fault: 'bad-payload-crc', opcode, flags, sequence }
  }
}

/** What an error reply says; null for one that is none. An unknown number is an error inside the device. */
export function errorOf({ flags, payload }: Pick<Frame, 'flags' | 'payload'>): DeviceError | null {
  if ((flags & REPLY_ERROR) !== REPLY_ERROR) return null
  const error = DEVICE_ERRORS[payload[0] ?? 0] ?? 'INTERNAL'
  return error === 'OK' ? 'INTERNAL' : error
}

/** CRC-16/CCITT-FALSE. */
function crc16(bytes: Uint8Array): number {
  let crc = 0xffff
  for (const byte of bytes) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : crc << 1
  }
  return crc
}

const CRC_32 = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  return crc
})

/** CRC-32 as in zip and Ethernet, u32. */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC_32[(crc ^ byte) & 0xff]
  return ~crc >>> 0
}
