/** Frames of the device's link, as a host writes and reads them. */
import { crc32 } from 'node:zlib'

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
const ERRORS = [
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

const SYNC = [0xa5, 0x5a]
const VERSION = 1
const HEADER_BYTES = 10
const IS_ERROR = 0x40
/** Flags of a reply that is no error. */
export const REPLY = 0x80

/** CRC-16/CCITT-FALSE. */
function crc16(bytes: Uint8Array): number {
  let crc = 0xffff
  for (const byte of bytes) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : crc << 1
  }
  return crc
}

export function encodeFrame(opcode: number, sequence: number, payload: Uint8Array, flags = 0): Uint8Array {
  const frame = new Uint8Array(HEADER_BYTES + payload.length + 4)
  const view = new DataView(frame.buffer)
  frame.set([...SYNC, VERSION, opcode, flags, sequence])
  view.setUint16(6, payload.length, true)
  view.setUint16(8, crc16(frame.subarray(2, 8)), true)
  frame.set(payload, HEADER_BYTES)
  view.setUint32(HEADER_BYTES + payload.length, crc32(payload), true)
  return frame
}

export interface Reply {
  readonly opcode: number
  readonly sequence: number
  readonly error: (typeof ERRORS)[number]
  readonly payload: Uint8Array
  /** Of the whole frame. */
  readonly byteLength: number
}

/** The frame at the front, or null while it is not whole. Throws where it is damaged: a simulated line damages nothing. */
export function decodeReply(bytes: Uint8Array): Reply | null {
  if (bytes.length < HEADER_BYTES) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = view.getUint16(6, true)
  const byteLength = HEADER_BYTES + length + 4
  if (bytes[0] !== SYNC[0] || bytes[1] !== SYNC[1] || crc16(bytes.subarray(2, 8)) !== view.getUint16(8, true)) {
    throw new Error(`not a frame: ${Buffer.from(bytes.subarray(0, 16)).toString('hex')}`)
  }
  if (bytes.length < byteLength) return null
  const payload = bytes.slice(HEADER_BYTES, HEADER_BYTES + length)
  if (crc32(payload) !== view.getUint32(HEADER_BYTES + length, true)) throw new Error('a payload with a wrong CRC')
  const isError = (bytes[4] & IS_ERROR) !== 0
  return { opcode: bytes[3], sequence: bytes[5], error: ERRORS[isError ? payload[0] : 0], payload, byteLength }
}
