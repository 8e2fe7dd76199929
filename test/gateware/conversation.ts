/** A host's conversation with a device on Icarus, byte by byte, whose every answer is known beforehand. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { blocks } from '../../engine/backends/fpga/fixed-point/block.ts'
import { encodeFrame, OPCODES, REPLY } from '../../engine/backends/fpga/frame.ts'
import { deviceProgram } from '../../engine/backends/fpga/program.ts'
import { createRandom } from '../../engine/seeded-random.ts'
import { GATEWARE, outputOf, rtlSources } from './simulators.ts'
import { residual, tinyModel } from './tiny-model.ts'
import { wordsOf } from './virtual-board.ts'

const SHAPE = { D: 20, E: 24, I: 36, L: 2 }
const CHUNK_BYTES = 4000
const BENCHES = ['bench_device', 'virtual_board', 'sdram_model'].map(name => join(GATEWARE, `bench/${name}.sv`))

/** What the bench says at its end: right is `replies N of N wrong 0 chip errors 0`. `gateware` may be a copy with faults. */
export function conversationOnIcarus(gateware = GATEWARE): { readonly isRight: boolean; readonly result: string } {
  const folder = mkdtempSync(join(tmpdir(), 'tern-unknown-'))
  try {
    const program = join(folder, 'device.vvp')
    const { requests, replies } = conversation()
    for (const [name, bytes] of Object.entries({ requests, replies })) {
      writeFileSync(join(folder, `${name}.hex`), bytes.map(byte => byte.toString(16)).join('\n'))
    }
    const parameters = [
      `-Pbench_device.IN_COUNT=${requests.length}`,
      `-Pbench_device.OUT_COUNT=${replies.length}`,
      '-Pbench_device.IN="requests.hex"',
      '-Pbench_device.OUT="replies.hex"',
    ]
    const sources = [...BENCHES, ...rtlSources(gateware)]
    outputOf('iverilog', ['-g2012', '-s', 'bench_device', ...parameters, '-o', program, ...sources])
    const result = /^replies.*$/m.exec(outputOf('vvp', [program], folder))?.[0] ?? 'no result'
    const { length } = replies
    return { isRight: result.startsWith(`replies ${length} of ${length} wrong 0 chip errors 0 `), result }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Requests of a host that loads and runs a model in both packings, and every byte of the replies. */
function conversation(): { requests: number[]; replies: number[] } {
  const requests: number[] = []
  const replies: number[] = []
  let sequence = 0
  const ask = (opcode: number, payload: Uint8Array, answer: Uint8Array = new Uint8Array()) => {
    sequence++
    requests.push(...encodeFrame(opcode, sequence, payload))
    replies.push(...encodeFrame(opcode, sequence, answer, REPLY))
  }
  const random = createRandom(21)
  for (const packing of ['two-bit', 'base-3'] as const) {
    const model = tinyModel(random, SHAPE)
    const { image, programAt, ops } = deviceProgram(model, packing)
    const bytes = new Uint8Array(image.buffer.slice(0), 0, image.byteLength + (image.byteLength % 4 === 0 ? 0 : -2))
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      ask(OPCODES.memWrite, new Uint8Array([...wordsOf([at]), ...bytes.subarray(at, at + CHUNK_BYTES)]))
    }
    // A word at the end that is no pair goes with a neighbour.
    if (bytes.length < image.byteLength) {
      const last = new Uint8Array(image.buffer, bytes.length, 2)
      ask(OPCODES.memWrite, new Uint8Array([...wordsOf([bytes.length]), ...last, 0, 0]))
    }
    ask(OPCODES.modelDesc, wordsOf([2 * programAt, ops.length, SHAPE.D]))
    ask(OPCODES.modelCommit, wordsOf([0, image.byteLength, crc32(new Uint8Array(image.buffer))]))
    ask(OPCODES.stateReset, new Uint8Array())
    const state = new Int32Array(SHAPE.L * SHAPE.E)
    for (let token = 0; token < 2; token++) {
      const x = residual(random, SHAPE.D)
      ask(OPCODES.step, wordsOf(x), wordsOf(blocks(x, state, model.blocks, new Set())))
    }
    ask(OPCODES.stateSave, wordsOf([0, state.length]), wordsOf(state))
  }
  return { requests, replies }
}
