/** Every module of the arithmetic against the golden model, in two simulators; lint of all sources; the generated table. */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { describe, expect, it } from 'vitest'
import { arithmeticBenches } from './arithmetic-benches.ts'
import { failuresOf } from './bench-top.ts'
import { SIGMOID_TABLE_FILE, sigmoidTableSource } from './sigmoid-table.ts'
import { hasCommand, outputOf, rtlSources } from './simulators.ts'

const TIMEOUT_MS = 240_000
const SEED = 22

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
    expect(failuresOf(arithmeticBenches(SEED), 'verilator').failures).toEqual([])
  })
})

describe.skipIf(!hasCommand('iverilog'))('Icarus, where an unknown bit spreads', () => {
  it('every bench equals the golden model', { timeout: TIMEOUT_MS }, () => {
    expect(failuresOf(arithmeticBenches(SEED + 1), 'icarus').failures).toEqual([])
  })
})
