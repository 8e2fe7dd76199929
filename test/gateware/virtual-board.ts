/** The simulated board as a process, and the requests of a host. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { type DeviceError, encodeFrame, errorOf, FrameDecoder, OPCODES } from '../../engine/backends/fpga/frame.ts'
import type { DeviceProgram } from '../../engine/backends/fpga/program.ts'
import { GATEWARE, rtlSources, verilated } from './simulators.ts'

/** Parameters of bench/virtual_board.sv. */
export interface BoardShape {
  readonly LANES: number
  readonly BATCH: number
  readonly WIDTH: number
  readonly INPUTS: number
  readonly GATES: number
  readonly STATES: number
  readonly ROW_BITS: number
  readonly SILENCE?: number
  readonly WATCHDOG?: number
}

export function buildBoard(shape: BoardShape): string {
  return verilated({
    top: 'virtual_board',
    sources: [...rtlSources(), join(GATEWARE, 'bench/sdram_model.sv'), join(GATEWARE, 'bench/virtual_board.sv')],
    parameters: { ...shape },
    main: join(GATEWARE, 'sim/virtual_board.cpp'),
  })
}

/** Bytes as the simulation's `$fread` takes words: the high byte first. */
export const imageFile = (image: Uint16Array): Buffer => Buffer.from(image.slice().buffer).swap16()

export const wordsOf = (values: ArrayLike<number>): Uint8Array => new Uint8Array(Int32Array.from(values).buffer)
export const integersOf = ({ payload }: Reply): Int32Array => new Int32Array(payload.slice().buffer)

export interface Reply {
  readonly opcode: number
  readonly sequence: number
  readonly error: DeviceError | 'OK'
  readonly payload: Uint8Array
}

export class VirtualBoard {
  readonly #process: ChildProcessWithoutNullStreams
  readonly #decoder = new FrameDecoder()
  #waiting: ((reply: Reply) => void) | null = null
  #log = ''
  #sequence = 0

  /** `image`: a file with the memory's content, instead of bytes over the link. */
  constructor(program: string, image: string | null = null) {
    this.#process = spawn(program, image === null ? [] : [`+image=${image}`])
    this.#process.stdout.on('data', (bytes: Buffer) => {
      this.#deliver(bytes)
    })
    this.#process.stderr.on('data', (text: Buffer) => {
      this.#log += text.toString()
    })
  }

  /** A request under a new number; its reply, whatever it says. */
  request(opcode: number, payload: Uint8Array = new Uint8Array()): Promise<Reply> {
    this.#sequence = (this.#sequence + 1) & 0xff
    return this.raw(encodeFrame(opcode, this.#sequence, payload))
  }

  /** Any bytes, and the next reply. */
  raw(bytes: Uint8Array): Promise<Reply> {
    return new Promise(resolve => {
      this.#waiting = resolve
      this.#process.stdin.write(bytes)
    })
  }

  /** As `request`, but an error is thrown. */
  async done(opcode: number, payload?: Uint8Array): Promise<Reply> {
    const reply = await this.request(opcode, payload)
    if (reply.error !== 'OK') throw new Error(`opcode ${opcode} was answered with ${reply.error}`)
    return reply
  }

  /** Describes and commits the program that memory holds, and clears the state. */
  async load({ image, programAt, ops }: DeviceProgram, width: number): Promise<void> {
    await this.done(OPCODES.modelDesc, wordsOf([2 * programAt, ops.length, width]))
    await this.done(OPCODES.modelCommit, wordsOf([0, image.byteLength, crc32(new Uint8Array(image.buffer))]))
    await this.done(OPCODES.stateReset)
  }

  /** The process has to end by itself; what the memory chip objected to, and how many cycles it was. */
  async close(): Promise<string> {
    this.#process.stdin.end()
    await new Promise(resolve => this.#process.once('close', resolve))
    return this.#log
  }

  /** A simulated line damages nothing, and every reply is waited for. */
  #deliver(bytes: Uint8Array): void {
    for (const received of this.#decoder.push(bytes)) {
      if (received.kind !== 'frame') throw new Error(`the board sent a frame with ${received.fault}`)
      const { opcode, sequence, payload } = received.frame
      this.#waiting?.({ opcode, sequence, error: errorOf(received.frame) ?? 'OK', payload })
      this.#waiting = null
    }
  }
}
