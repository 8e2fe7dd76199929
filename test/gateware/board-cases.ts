/** Whole tokens on a simulated board against the golden model, in every integer that comes out: residual, state, clamps. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { blocks } from '../../engine/backends/fpga/fixed-point/block.ts'
import { SATURATIONS, type SaturationFlags } from '../../engine/backends/fpga/fixed-point/flags.ts'
import type { FixedBlock } from '../../engine/backends/fpga/fixed-point/weights.ts'
import { OPCODES } from '../../engine/backends/fpga/frame.ts'
import { type DeviceProgram, deviceProgram, type Packing } from '../../engine/backends/fpga/program.ts'
import { imageFile, integersOf, VirtualBoard, wordsOf } from './virtual-board.ts'

const MOST_WORDS_OF_STATE = 1000

export interface StepCounters {
  /** Fetch, load, norms, inputs, rows, state, GLU. */
  readonly phases: readonly number[]
  readonly total: number
  /** Words of memory read. */
  readonly words: number
}

/** A board with a model in its memory, and the same model in the golden model's hands. */
export class TestedBoard {
  readonly board: VirtualBoard
  readonly program: DeviceProgram
  readonly state: Int32Array
  readonly flags: SaturationFlags = new Set()
  readonly #blocks: readonly FixedBlock[]
  readonly #width: number

  constructor(simulator: string, folder: string, model: { readonly blocks: readonly FixedBlock[] }, packing: Packing) {
    this.#blocks = model.blocks
    this.#width = model.blocks[0].i.columns
    this.program = deviceProgram(model, packing)
    this.state = new Int32Array(model.blocks.length * model.blocks[0].lowerBound.length)
    const image = join(folder, 'image.bin')
    writeFileSync(image, imageFile(this.program.image))
    this.board = new VirtualBoard(simulator, image)
  }

  load(): Promise<void> {
    return this.board.load(this.program, this.#width)
  }

  /** What the device says of a token, and what it has to say. */
  async step(x: Int32Array): Promise<{ device: Int32Array; golden: Int32Array }> {
    const golden = blocks(x, this.state, this.#blocks, this.flags)
    const device = integersOf(await this.board.done(OPCODES.step, wordsOf(x)))
    return { device, golden }
  }

  /** As `step`, several tokens on one fetch of the weights: the last one's hidden state. */
  async prefill(tokens: readonly Int32Array[]): Promise<{ device: Int32Array; golden: Int32Array }> {
    let golden = new Int32Array()
    let device = new Int32Array()
    for (const [at, x] of tokens.entries()) {
      golden = blocks(x, this.state, this.#blocks, this.flags) as typeof golden
      const payload = new Uint8Array([tokens.length, at, 0, 0, ...wordsOf(x)])
      device = integersOf(await this.board.done(OPCODES.prefill, payload)) as typeof device
    }
    return { device, golden }
  }

  async deviceState(): Promise<Int32Array> {
    const state = new Int32Array(this.state.length)
    for (let at = 0; at < state.length; at += MOST_WORDS_OF_STATE) {
      const count = Math.min(MOST_WORDS_OF_STATE, state.length - at)
      state.set(integersOf(await this.board.done(OPCODES.stateSave, wordsOf([at, count]))), at)
    }
    return state
  }

  async loadState(state: Int32Array): Promise<void> {
    for (let at = 0; at < state.length; at += MOST_WORDS_OF_STATE) {
      await this.board.done(OPCODES.stateLoad, wordsOf([at, ...state.subarray(at, at + MOST_WORDS_OF_STATE)]))
    }
  }

  /** Names of what was clamped since the last reset. */
  async deviceFlags(): Promise<string[]> {
    const [status] = integersOf(await this.board.done(OPCODES.status))
    return SATURATIONS.filter((_, at) => (status >> (8 + at)) & 1)
  }

  async counters(): Promise<StepCounters> {
    const [, ...numbers] = integersOf(await this.board.done(OPCODES.cycles))
    return { phases: numbers.slice(0, 7), total: numbers[7], words: numbers[8] }
  }
}
