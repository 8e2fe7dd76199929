/** What `tern fpga estimate` tells: shapes against real programs, figures against the README's, what does not fit. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { ACCELERATOR_BOARDS } from '../../contract/words/accelerator.ts'
import { SDR_SDRAM, stepCycles } from '../../engine/backends/fpga/cycle-model.ts'
import {
  BOARD_IDS,
  blockRamsOf,
  buffersFor,
  estimate,
  imageBytes,
  opsOfShape,
} from '../../engine/backends/fpga/estimate.ts'
import { deviceProgram } from '../../engine/backends/fpga/program.ts'
import { createRandom } from '../../engine/seeded-random.ts'
import { tinyModel } from '../gateware/tiny-model.ts'
import { ternInProcess } from '../tern-in-process.ts'

const EMBEDDED = { hiddenSize: 768, stateWidth: 768, intermediateSize: 2048, layerCount: 12 }
const OF_2_7B = { hiddenSize: 2560, stateWidth: 2560, intermediateSize: 6912, layerCount: 32 }

it('contract and engine name the same boards', () => {
  expect(BOARD_IDS).toEqual(ACCELERATOR_BOARDS)
})

it.each(['two-bit', 'base-3'] as const)('the ops of a shape are those of a program, %s', packing => {
  const model = tinyModel(createRandom(3), { D: 70, E: 45, I: 101, L: 3 })
  const { ops, image } = deviceProgram(model, packing)
  const ofShape = opsOfShape({ hiddenSize: 70, stateWidth: 45, intermediateSize: 101, layerCount: 3 }, packing)
  expect(ofShape).toEqual(ops)
  expect(imageBytes(ofShape)).toBe(image.byteLength)
})

describe('cycles', () => {
  it('those of the simulated token: 11,481,526 with 16 lanes', () => {
    const { total } = stepCycles(opsOfShape(EMBEDDED, 'two-bit'), { lanes: 16, ...SDR_SDRAM })
    expect(Math.abs(total / 11_481_526 - 1)).toBeLessThan(0.001)
  })

  it('a memory that is half as fast takes twice as long, a wide port shortens the matrices alone', () => {
    const ops = opsOfShape(EMBEDDED, 'two-bit')
    const steady = { lanes: 512, pageWords: 512, pageChange: 0, refresh: 0, refreshEvery: 1 }
    const [one, half, wide] = [{}, { wordsPerCycle: 0.5 }, { codeWordsPerCycle: 8 }].map(speed =>
      stepCycles(ops, { ...steady, ...speed }),
    )
    const codes = ops.reduce((sum, op) => sum + (op.kind === 'linear' ? op.codeWords : 0), 0)
    expect(half!.rows - one!.rows).toBe(codes)
    expect(one!.rows - wide!.rows).toBe((7 / 8) * codes)
    expect(wide!.load).toBe(one!.load)
    expect(half!.load).toBeGreaterThan(1.9 * one!.load)
  })
})

describe('a board', () => {
  it('tokens/s are the clock through the cycles, with the line its bytes too', () => {
    const { clockMhz, linkBytesPerSecond, speeds } = estimate(EMBEDDED, 'ulx3s-85f')
    for (const { cyclesPerToken, tokensPerSecond, tokensPerSecondWithLink } of speeds) {
      const seconds = cyclesPerToken.value / (clockMhz.value * 1e6)
      expect(tokensPerSecond).toEqual({ value: 1 / seconds, tag: 'derived' })
      const line = (768 * 8 + 30) / linkBytesPerSecond
      expect(tokensPerSecondWithLink.value).toBeCloseTo(1 / (seconds + line), 9)
    }
  })

  it('memory bounds the embedded model on a ULX3S, and it fits in both packings', () => {
    const { speeds, isInBlockRam, excesses } = estimate(EMBEDDED, 'ulx3s-85f')
    expect(speeds.map(({ bound, isInMemory }) => ({ bound, isInMemory }))).toEqual([
      { bound: 'memory', isInMemory: true },
      { bound: 'memory', isInMemory: true },
    ])
    expect({ isInBlockRam, excesses }).toEqual({ isInBlockRam: true, excesses: [] })
    expect(speeds[0]!.memoryBytes.needed.value / 1e6).toBeCloseTo(21.6, 1)
    expect(speeds[1]!.memoryBytes.needed.value / 1e6).toBeCloseTo(17.6, 1)
  })

  it('the embedded model does not fit an Icepi Zero: a batch of one still has buffers for two', () => {
    const { blockRams, isInBlockRam } = estimate(EMBEDDED, 'icepi-zero')
    expect(blockRams).toEqual({ needed: { value: 61, tag: 'derived' }, available: 56 })
    expect(isInBlockRam).toBe(false)
  })

  it('buffers are the least powers of two', () => {
    expect(buffersFor(EMBEDDED, { lanes: 16, batch: 1 })).toEqual({
      lanes: 16,
      batch: 1,
      width: 1024,
      inputs: 2048,
      gates: 4096,
      states: 9216,
    })
  })

  it('2.7B fits neither a ULX3S nor what the gateware counts', () => {
    const { speeds, isInBlockRam, excesses } = estimate(OF_2_7B, 'ulx3s-85f')
    expect(speeds.some(({ isInMemory }) => isInMemory)).toBe(false)
    expect(isInBlockRam).toBe(false)
    expect(excesses).toEqual(['states (layers x state width): 81920 of at most 65536'])
  })

  it('what rests on an assumed clock or a wide port is projected', () => {
    const [speed] = estimate(EMBEDDED, 'kv260').speeds
    expect(speed!.tokensPerSecond.tag).toBe('projected')
    expect(speed!.widePortTokensPerSecond!.tag).toBe('projected')
    expect(speed!.widePortTokensPerSecond!.value).toBeGreaterThan(2 * speed!.tokensPerSecond.value)
  })
})

describe('tern fpga estimate', () => {
  it('prints one board with a tag at each figure', async () => {
    const { code, stdout, stderr } = await ternInProcess(['fpga', 'estimate', '--board', 'ulx3s-85f'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^Tern 98M: D 768, E 768, I 2048, 12 layers$/m)
    expect(stdout).toMatch(/^2-bit weights +[\d.]+ tokens\/s \(derived\)$/m)
    expect(stdout).toMatch(/^ {2}bound by +memory, \d+ % \(derived\) of a token$/m)
  })

  it('prints a table of all boards', async () => {
    const { stdout } = await ternInProcess(['fpga', 'estimate'])
    for (const board of ACCELERATOR_BOARDS) expect(stdout.split(`\n${board} `)).toHaveLength(3)
  })

  it('--json is what the engine computed', async () => {
    const { code, stdout } = await ternInProcess(['fpga', 'estimate', '--json', '--board', 'icepi-zero'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout).estimates).toEqual([estimate(EMBEDDED, 'icepi-zero')])
  })

  it('another board is wrong usage', async () => {
    const { code, stderr } = await ternInProcess(['fpga', 'estimate', '--board', 'abacus'])
    expect(code).toBe(2)
    expect(stderr).toContain('ulx3s-85f')
  })
})

describe('the bitstream that ships', () => {
  const folder = fileURLToPath(new URL('../../gateware/boards/', import.meta.url))
  const report = readFileSync(`${folder}ulx3s_85f.report.txt`, 'utf8')
  const number = (pattern: RegExp) => Number(pattern.exec(report)?.[1])

  it('is the one of its report, and small', () => {
    const bitstream = readFileSync(`${folder}ulx3s_85f.bit`)
    expect(report).toContain(createHash('sha256').update(bitstream).digest('hex'))
    expect(bitstream.length).toBeLessThanOrEqual(2 * 2 ** 20)
  })

  it('reached the clock that the estimate and the top level use', () => {
    const { clockMhz } = estimate(EMBEDDED, 'ulx3s-85f')
    expect(number(/^clock +([\d.]+) MHz$/m)).toBe(clockMhz.value)
    expect(number(/^fmax +([\d.]+) MHz/m)).toBeGreaterThanOrEqual(clockMhz.value)
    const topLevel = readFileSync(`${folder}ulx3s_85f.sv`, 'utf8')
    const parameter = (name: string) => Number(new RegExp(`int ${name} = (\\d+)`).exec(topLevel)?.[1])
    expect((25 * parameter('FEEDBACK')) / parameter('INPUT')).toBe(clockMhz.value)
  })

  it('takes the block RAMs that the estimate derives for its buffers', () => {
    const ulx3s = { lanes: 32, batch: 4, width: 1024, inputs: 4096, gates: 8192, states: 16_384 }
    expect(number(/^block RAM +(\d+) of/m)).toBe(blockRamsOf(ulx3s))
  })
})
