/** Every module of the arithmetic against the golden model, in two simulators; lint of all sources; the generated table. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { arithmeticBenches } from './arithmetic-benches.ts'
import { benchTop } from './bench-top.ts'
import { SIGMOID_TABLE_FILE, sigmoidTableSource } from './sigmoid-table.ts'
import { benchSources, hasCommand, outputOf, rtlSources, verilated } from './simulators.ts'

const TIMEOUT_MS = 240_000
const benches = arithmeticBenches(22)
const names = benches.map(({ module, parameters: { COUNT, ...rest } }) => `${module} ${JSON.stringify(rest)}`)

let folder: string
let top: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tern-benches-'))
  mkdirSync(folder, { recursive: true })
  top = join(folder, 'bench_top.sv')
  writeFileSync(top, benchTop(benches, folder))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it('the table of the sigmoid is the golden model’s', () => {
  expect(readFileSync(SIGMOID_TABLE_FILE, 'utf8')).toBe(sigmoidTableSource())
})

describe.skipIf(!hasCommand('verilator'))('Verilator', () => {
  it('lints every module without a warning', { timeout: TIMEOUT_MS }, () => {
    for (const path of rtlSources()) {
      outputOf('verilator', ['--lint-only', '-Wall', '--top-module', basename(path, '.sv'), ...rtlSources()])
    }
  })

  it('every bench equals the golden model', { timeout: TIMEOUT_MS }, () => {
    const program = verilated({ top: 'bench_top', sources: [top, ...benchSources(), ...rtlSources()] })
    expect(failuresIn(outputOf(program, [], folder))).toEqual([])
  })
})

describe.skipIf(!hasCommand('iverilog'))('Icarus, where an unknown bit spreads', () => {
  it('every bench equals the golden model', { timeout: TIMEOUT_MS }, () => {
    const program = join(folder, 'bench.vvp')
    outputOf('iverilog', ['-g2012', '-s', 'bench_top', '-o', program, top, ...benchSources(), ...rtlSources()])
    expect(failuresIn(outputOf('vvp', [program], folder))).toEqual([])
  })
})

/** Benches that did not come to their end, or with errors; and what a bench printed of them. */
function failuresIn(output: string): string[] {
  const results = [...output.matchAll(/^bench (\d+) done (\S+) errors (\S+)$/gm)]
  expect(results.length).toBe(benches.length)
  const failed = results.flatMap(([, at, done, errors]) =>
    done === '1' && errors === '0' ? [] : [`${names[Number(at)]}: done ${done}, errors ${errors}`],
  )
  return [...failed, ...(output.match(/^ERROR.*$/gm) ?? [])]
}
