/** Proofs of the control logic by yosys-smtbmc and z3: bounded, and by induction where the invariants are in the module. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GATEWARE, outputOf } from './simulators.ts'

export interface Proof {
  /** `formal/prove_<name>.sv`. */
  readonly name: string
  readonly modules: readonly string[]
  /** Cycles after reset that are looked at; of the long run. */
  readonly steps: number
  readonly longSteps: number
  /** Holds for ever, not only so long. */
  readonly isInductive: boolean
}

export const PROOFS: readonly Proof[] = [
  { name: 'crc', modules: ['tern_crc16', 'tern_crc32'], steps: 1, longSteps: 1, isInductive: false },
  { name: 'watchdog', modules: ['tern_watchdog'], steps: 12, longSteps: 40, isInductive: true },
  {
    name: 'frame_parser',
    modules: ['tern_frame_parser', 'tern_crc16', 'tern_crc32'],
    steps: 12,
    longSteps: 24,
    isInductive: true,
  },
  { name: 'fifo', modules: ['tern_fifo'], steps: 12, longSteps: 20, isInductive: false },
  { name: 'sdram', modules: ['tern_sdram'], steps: 26, longSteps: 60, isInductive: false },
]

/** Throws where a proof fails, with the solver's words. */
export function prove({ name, modules, isInductive }: Proof, steps: number, gateware = GATEWARE): void {
  const folder = mkdtempSync(join(tmpdir(), 'tern-proof-'))
  try {
    mkdirSync(folder, { recursive: true })
    const problem = join(folder, `${name}.smt2`)
    const sources = [...modules.map(module => `rtl/${module}.sv`), `formal/prove_${name}.sv`].join(' ')
    const script = [
      `read_verilog -formal -sv ${sources}`,
      `prep -top prove_${name} -nordff`,
      'flatten; memory_map; opt -full; async2sync; dffunmap',
      `write_smt2 -wires ${problem}`,
    ]
    outputOf('yosys', ['-q', '-p', script.join('; ')], gateware)
    outputOf('yosys-smtbmc', ['-s', 'z3', '-t', String(steps), problem])
    if (isInductive) outputOf('yosys-smtbmc', ['-s', 'z3', '-i', '-t', String(steps), problem])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
