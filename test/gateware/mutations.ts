/**
 * Small faults, put into a copy of the modules one at a time: each has to be caught by the check that is named with it. A check
 * that lets one pass checks less than it says.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { arithmeticBenches } from './arithmetic-benches.ts'
import { failuresOf } from './bench-top.ts'
import { conversationOnIcarus } from './conversation.ts'
import { PROOFS, prove } from './proofs.ts'
import { GATEWARE } from './simulators.ts'

export interface Mutation {
  readonly module: string
  readonly from: string
  readonly to: string
  /** Benches of a module, a proof, or the conversation with a whole device. */
  readonly caughtBy: { readonly bench: string } | { readonly proof: string } | 'conversation'
}

const bench = (name: string) => ({ bench: name })
const proof = (name: string) => ({ proof: name })

export const MUTATIONS: readonly Mutation[] = [
  {
    module: 'tern_multiply',
    from: "(54'(high_low_q) <<< 17)",
    to: "(54'(high_low_q) <<< 16)",
    caughtBy: bench('multiply'),
  },
  {
    module: 'tern_round_shift',
    from: 'is_over  = rounded_q > MOST',
    to: 'is_over  = rounded_q >= MOST',
    caughtBy: bench('round_shift'),
  },
  {
    module: 'tern_round_shift',
    from: "WIDE'({1'b0, fine_value_q[0]})",
    to: "WIDE'({2'b0})",
    caughtBy: bench('round_shift'),
  },
  { module: 'tern_divide', from: "bits_q[36:1] + {35'b0, bits_q[0]}", to: 'bits_q[36:1]', caughtBy: bench('divide') },
  {
    module: 'tern_root',
    from: "mantissa_o  = rounded[17] ? '1 :",
    to: "mantissa_o  = rounded[17] ? '0 :",
    caughtBy: bench('root'),
  },
  {
    module: 'tern_sigmoid',
    from: 'end_q          <= |magnitude_q[23:16]',
    to: 'end_q          <= |magnitude_q[23:17]',
    caughtBy: bench('silu'),
  },
  {
    module: 'tern_sigmoid_table',
    from: "entries_q[700] = 26'h1",
    to: "entries_q[700] = 26'h0",
    caughtBy: bench('silu'),
  },
  {
    module: 'tern_mlgru_element',
    from: '.BITS(28), .CYCLES(11)) u_h_late',
    to: '.BITS(28), .CYCLES(12)) u_h_late',
    caughtBy: bench('mlgru_element'),
  },
  {
    module: 'tern_quantise_element',
    from: ".shift_i(5'd26)",
    to: ".shift_i(5'd25)",
    caughtBy: bench('quantise_element'),
  },
  {
    module: 'tern_requantise_element',
    from: 'is_residual_q ? MOST_32 : MOST_24',
    to: 'is_residual_q ? MOST_32 : MOST_32',
    caughtBy: bench('requantise_element'),
  },
  {
    module: 'tern_base3',
    from: 'codes_of[2*digit+1] = rest % 3 == 0',
    to: 'codes_of[2*digit+1] = rest % 3 == 2',
    caughtBy: bench('unpack'),
  },
  { module: 'tern_unpack', from: "byte_q == 4'd11", to: "byte_q == 4'd10", caughtBy: bench('unpack') },
  {
    module: 'tern_ternary_matvec',
    from: 'is_first ? partial :',
    to: "is_first && token == '0 ? partial :",
    caughtBy: bench('ternary_matvec'),
  },
  {
    module: 'tern_valid',
    from: 'en_o        = out_ready_i || !out_valid_o',
    to: "en_o        = 1'b1",
    caughtBy: bench('multiply'),
  },
  { module: 'tern_sdram', from: 'is_write_i || bus_is_free', to: "is_write_i || 1'b1", caughtBy: proof('sdram') },
  { module: 'tern_sdram', from: "WAIT_BITS'(T_RCD - 1)", to: "WAIT_BITS'(T_RCD - 2)", caughtBy: proof('sdram') },
  {
    module: 'tern_frame_parser',
    from: 'end else if (is_silent) state_q <= HUNT;\n      end\n      CRC:',
    to: 'end\n      end\n      CRC:',
    caughtBy: proof('frame_parser'),
  },
  {
    module: 'tern_fifo',
    from: 'in_ready_o  = !count_o[DEPTH_BITS]',
    to: "in_ready_o  = 1'b1",
    caughtBy: proof('fifo'),
  },
  { module: 'tern_watchdog', from: "left_q == '0 && !progress_i", to: "left_q == '0", caughtBy: proof('watchdog') },
  { module: 'tern_crc32', from: "32'hedb88320", to: "32'hedb88321", caughtBy: proof('crc') },
  { module: 'tern_state_op', from: 'h_write_at_o <= state_at_i', to: "h_write_at_o <= '0", caughtBy: 'conversation' },
  { module: 'tern_sequencer', from: "17'd63) >> 6", to: "17'd0) >> 6", caughtBy: 'conversation' },
]

/** Whether the check that is named finds the fault. Throws where the text to change is not there exactly once. */
export function isCaught({ module, from, to, caughtBy }: Mutation): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'tern-mutation-'))
  try {
    for (const part of ['rtl', 'formal']) cpSync(join(GATEWARE, part), join(folder, part), { recursive: true })
    const path = join(folder, 'rtl', `${module}.sv`)
    const parts = readFileSync(path, 'utf8').split(from)
    if (parts.length !== 2) throw new RangeError(`${module} holds ${JSON.stringify(from)} ${parts.length - 1} times`)
    writeFileSync(path, parts.join(to))
    if (caughtBy === 'conversation') return !conversationOnIcarus(folder).isRight
    if ('bench' in caughtBy) {
      const benches = arithmeticBenches(1).filter(candidate => candidate.module === caughtBy.bench)
      return failuresOf(benches, 'icarus', folder).failures.length > 0
    }
    const named = PROOFS.find(({ name }) => name === caughtBy.proof)!
    try {
      prove(named, named.steps, folder)
      return false
    } catch (error) {
      // A proof that could not be built proves nothing.
      return /Status: FAILED/.test(String(error))
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
