/** The whole device in simulation: bytes of the link in, bytes out, an SDRAM chip that objects to what its data sheet forbids. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SDR_SDRAM, stepCycles } from '../../engine/backends/fpga/cycle-model.ts'
import { readFixedWeights } from '../../engine/backends/fpga/fixed-point/weights.ts'
import { encodeFrame, OPCODES } from '../../engine/backends/fpga/frame.ts'
import type { Packing } from '../../engine/backends/fpga/program.ts'
import { createRandom } from '../../engine/seeded-random.ts'
import { openEmbeddedModel } from '../golden/golden-data.ts'
import { TestedBoard } from './board-cases.ts'
import { protocolExamples } from './protocol-examples.ts'
import { hasCommand } from './simulators.ts'
import { residual, tinyModel } from './tiny-model.ts'
import { buildBoard, integersOf, wordsOf } from './virtual-board.ts'

const TIMEOUT_MS = 240_000
const BOARD = {
  LANES: 16,
  BATCH: 2,
  WIDTH: 1024,
  INPUTS: 4096,
  GATES: 8192,
  STATES: 16384,
  ROW_BITS: 13,
  WATCHDOG: 500_000,
}
const SMALL = { D: 64, E: 64, I: 96, L: 2 }

describe.skipIf(!hasCommand('verilator'))('a simulated board', { timeout: TIMEOUT_MS }, () => {
  let folder: string
  let simulator: string
  const opened: TestedBoard[] = []
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'tern-board-'))
    simulator = buildBoard(BOARD)
  }, TIMEOUT_MS)
  afterAll(async () => {
    const logs = await Promise.all(opened.map(({ board }) => board.close()))
    rmSync(folder, { recursive: true, force: true })
    expect(logs.filter(log => !/^cycles \d+ chip errors 0$/m.test(log))).toEqual([])
  })

  const boardWith = async (model: ReturnType<typeof tinyModel>, packing: Packing = 'two-bit') => {
    const tested = new TestedBoard(simulator, folder, model, packing)
    opened.push(tested)
    await tested.load()
    return tested
  }

  it.each([
    [SMALL, 'two-bit', false],
    [{ D: 40, E: 24, I: 100, L: 3 }, 'base-3', false],
    [{ D: 129, E: 64, I: 65, L: 1 }, 'base-3', true],
    [{ D: 1, E: 1, I: 1, L: 1 }, 'two-bit', true],
    [{ D: 64, E: 200, I: 33, L: 2 }, 'two-bit', true],
  ] as const)('tokens of a model %o, %s, extreme: %s', async (shape, packing, isExtreme) => {
    const random = createRandom(shape.D + shape.I)
    for (let turn = 0; turn < (isExtreme ? 4 : 1); turn++) {
      const tested = await boardWith(tinyModel(random, shape, isExtreme), packing)
      for (let token = 0; token < 4; token++) {
        const { device, golden } = await tested.step(residual(random, shape.D, isExtreme))
        expect(device).toEqual(golden)
      }
      expect(await tested.deviceState()).toEqual(tested.state)
      expect(new Set(await tested.deviceFlags())).toEqual(tested.flags)
    }
  })

  it('several tokens on one fetch are the same as one after the other, and read the weights once', async () => {
    const random = createRandom(7)
    const tested = await boardWith(tinyModel(random, SMALL))
    const one = await tested.step(residual(random, SMALL.D))
    expect(one.device).toEqual(one.golden)
    const { words } = await tested.counters()
    const two = await tested.prefill([residual(random, SMALL.D), residual(random, SMALL.D)])
    expect(two.device).toEqual(two.golden)
    expect((await tested.counters()).words).toBe(words)
    expect(await tested.deviceState()).toEqual(tested.state)
    const after = await tested.step(residual(random, SMALL.D))
    expect(after.device).toEqual(after.golden)
  })

  it('a state goes out and in again, and is clamped to what a state can be', async () => {
    const random = createRandom(8)
    const tested = await boardWith(tinyModel(random, SMALL))
    await tested.step(residual(random, SMALL.D))
    const state = await tested.deviceState()
    await tested.board.done(OPCODES.stateReset)
    expect(await tested.deviceState()).toEqual(new Int32Array(state.length))
    await tested.loadState(state)
    const { device, golden } = await tested.step(residual(random, SMALL.D))
    expect(device).toEqual(golden)
    await tested.loadState(state.map((_, at) => [2 ** 31 - 1, -(2 ** 31), 2 ** 27, -(2 ** 27)][at % 4]))
    const most = 2 ** 27 - 1
    expect(await tested.deviceState()).toEqual(state.map((_, at) => (at % 2 === 0 ? most : -most)))
  })

  it('the examples of docs/usb-protocol.md are what a board answers, byte for byte', () => {
    const said = (direction: '>' | '<') =>
      Buffer.concat(protocolExamples().flatMap(example => (example.direction === direction ? [example.bytes] : [])))
    const { stdout } = spawnSync(simulator, { input: said('>') })
    expect(stdout.toString('hex')).toBe(said('<').toString('hex'))
  })

  it('memory is written, read and summed', async () => {
    const { board } = await boardWith(tinyModel(createRandom(9), SMALL))
    const data = Uint8Array.from({ length: 2000 }, (_, at) => (at * 7) & 255)
    // Over the end of a row of the chip.
    const address = 3 * 1024 - 500
    await board.done(OPCODES.memWrite, new Uint8Array([...wordsOf([address]), ...data]))
    expect((await board.done(OPCODES.memRead, wordsOf([address, data.length]))).payload).toEqual(data)
    const [sum] = integersOf(await board.done(OPCODES.memCrc, wordsOf([address, data.length])))
    expect(sum >>> 0).toBe(crc32(data))
  })

  it('bad requests are answered with their error, and the next right one works', async () => {
    const random = createRandom(10)
    const tested = await boardWith(tinyModel(random, SMALL))
    const { board, program } = tested
    const x = residual(random, SMALL.D)
    const errorOf = async (opcode: number, payload: Uint8Array) => (await board.request(opcode, payload)).error
    expect(await errorOf(0x77, new Uint8Array())).toBe('BAD_OP')
    expect(await errorOf(OPCODES.step, wordsOf(x.subarray(1)))).toBe('BAD_LEN')
    expect(await errorOf(OPCODES.memRead, wordsOf([2 ** 25 - 4, 8]))).toBe('RANGE')
    expect(await errorOf(OPCODES.memRead, wordsOf([2, 8]))).toBe('RANGE')
    expect(await errorOf(OPCODES.stateSave, wordsOf([BOARD.STATES - 1, 2]))).toBe('RANGE')
    expect(await errorOf(OPCODES.prefill, new Uint8Array([3, 0, 0, 0, ...wordsOf(x)]))).toBe('RANGE')
    const damaged = encodeFrame(OPCODES.step, 200, wordsOf(x))
    damaged[20] ^= 1
    expect((await board.raw(damaged)).error).toBe('BAD_CRC')
    // A header alone, which promises 5000 bytes.
    const long = new Uint8Array([0xa5, 0x5a, 1, 0, 0, 201, 0x88, 0x13, 0xb5, 0x43])
    expect((await board.raw(long)).error).toBe('BAD_LEN')
    // Rubbish, among it a broken start, before a right frame.
    const { device, golden } = await (async () => {
      const frame = encodeFrame(OPCODES.ping, 202, new Uint8Array())
      expect((await board.raw(new Uint8Array([1, 0xa5, 0x5a, 1, 0xa5, ...frame]))).error).toBe('OK')
      return tested.step(x)
    })()
    expect(device).toEqual(golden)
    // A sum that is not the memory's; then no step runs.
    await board.done(OPCODES.modelDesc, wordsOf([0, program.ops.length, SMALL.D]))
    expect(await errorOf(OPCODES.step, wordsOf(x))).toBe('NOT_LOADED')
    expect(await errorOf(OPCODES.modelCommit, wordsOf([0, program.image.byteLength, 1]))).toBe('DRAM_FAIL')
    await tested.load()
    tested.state.fill(0)
    const again = await tested.step(x)
    expect(again.device).toEqual(again.golden)
  })

  it('a request that comes again is answered again and done once, also when the second copy was damaged', async () => {
    const random = createRandom(11)
    const tested = await boardWith(tinyModel(random, SMALL))
    const x = residual(random, SMALL.D)
    const frame = encodeFrame(OPCODES.step, 77, wordsOf(x))
    const first = await tested.board.raw(frame)
    const damaged = frame.slice()
    damaged[30] ^= 4
    expect((await tested.board.raw(damaged)).error).toBe('BAD_CRC')
    expect(await tested.board.raw(frame)).toEqual(first)
    expect((await tested.board.raw(encodeFrame(OPCODES.ping, 77, new Uint8Array()))).error).toBe('BAD_SEQ')
    expect(await tested.board.raw(frame)).toEqual(first)
    const state = await tested.deviceState()
    // Once: the golden model makes one step, and the next ones are equal.
    await tested.board.done(OPCODES.stateReset)
    expect((await tested.step(x)).golden).toEqual(integersOf(first))
    expect(await tested.deviceState()).toEqual(state)
  })

  it.each([
    ['an unknown op', 0, () => 9],
    ['no width', 1, () => 0],
    ['more inputs than the buffer', 1, () => 5000],
    ['more rows than gates', 18, () => 9000],
    ['a vector outside memory', 5, () => 0xffff],
    ['codes outside memory', 23, () => 0x0100],
  ])('a descriptor with %s is refused when the model is committed', async (_, word, value) => {
    const tested = await boardWith(tinyModel(createRandom(12), SMALL))
    tested.program.image[word] = value()
    const bytes = new Uint8Array(tested.program.image.buffer)
    await tested.board.done(OPCODES.memWrite, new Uint8Array([...wordsOf([0]), ...bytes.subarray(0, 96)]))
    await tested.board.done(OPCODES.modelDesc, wordsOf([0, tested.program.ops.length, SMALL.D]))
    const commit = await tested.board.request(OPCODES.modelCommit, wordsOf([0, bytes.length, crc32(bytes)]))
    expect(commit.error).toBe('RANGE')
  })

  it('the watchdog ends a step that does not come forward, and the device works on', async () => {
    const random = createRandom(13)
    const tested = await boardWith(tinyModel(random, SMALL))
    const x = residual(random, SMALL.D)
    // One op that takes longer than the watchdog waits: 8192 rows of 4096 inputs.
    const slow = new Uint16Array(16)
    slow.set([2 | (1 << 4), 4096, 8192, 0, 0, 0, 0, 0, 32_768])
    const bytes = new Uint8Array(slow.buffer)
    await tested.board.done(OPCODES.memWrite, new Uint8Array([...wordsOf([2 ** 24]), ...bytes]))
    await tested.board.done(OPCODES.modelDesc, wordsOf([2 ** 24, 1, SMALL.D]))
    await tested.board.done(OPCODES.modelCommit, wordsOf([2 ** 24, bytes.length, crc32(bytes)]))
    expect((await tested.board.request(OPCODES.step, wordsOf(x))).error).toBe('WATCHDOG')
    expect((await tested.board.request(OPCODES.step, wordsOf(x))).error).toBe('NOT_LOADED')
    await tested.load()
    const { device, golden } = await tested.step(x)
    expect(device).toEqual(golden)
  })

  it('a layer of the embedded model', async () => {
    const weights = await readFixedWeights(await openEmbeddedModel())
    const tested = await boardWith({ blocks: [weights.blocks[5]] })
    const random = createRandom(14)
    for (let token = 0; token < 2; token++) {
      const { device, golden } = await tested.step(residual(random, 768))
      expect(device).toEqual(golden)
    }
    expect(await tested.deviceState()).toEqual(tested.state)

    const timing = { lanes: BOARD.LANES, ...SDR_SDRAM }
    const simulated = await tested.counters()
    const computed = stepCycles(tested.program.ops, timing)
    expect(computed.words).toBe(simulated.words)
    expect(Math.abs(computed.total / simulated.total - 1)).toBeLessThan(0.01)
    // Memory gives a word in nearly every cycle.
    expect(simulated.words / simulated.total).toBeGreaterThan(0.85)
    // Two tokens on one fetch: now the lanes are as busy as memory.
    const two = await tested.prefill([residual(random, 768), residual(random, 768)])
    expect(two.device).toEqual(two.golden)
    const { total } = await tested.counters()
    expect(Math.abs(stepCycles(tested.program.ops, timing, 2).total / total - 1)).toBeLessThan(0.01)
  })
})
