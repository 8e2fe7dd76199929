/** The example frames of docs/usb-protocol.md: a request and its reply, one after the other. */
import { readFileSync } from 'node:fs'

export interface Example {
  readonly direction: '>' | '<'
  readonly opcode: number
  readonly sequence: number
  readonly bytes: Uint8Array
}

const PAGE = new URL('../../docs/usb-protocol.md', import.meta.url)
const LINE = /^([<>]) ([0-9a-f]{2}) seq (\d+) .*?(a5 5a(?: [0-9a-f]{2})+)$/gm

export function protocolExamples(): Example[] {
  return [...readFileSync(PAGE, 'utf8').matchAll(LINE)].map(([, direction, opcode, sequence, bytes]) => ({
    direction: direction as '>' | '<',
    opcode: Number.parseInt(opcode, 16),
    sequence: Number(sequence),
    bytes: Uint8Array.from(bytes.split(' '), byte => Number.parseInt(byte, 16)),
  }))
}
