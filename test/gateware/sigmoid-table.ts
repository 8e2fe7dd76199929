/** The gateware's table of the sigmoid, from the golden model's: `node test/gateware/sigmoid-table.ts` writes it again. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SIGMOID_TABLE } from '../../engine/backends/fpga/fixed-point/arithmetic.ts'
import { GATEWARE } from './simulators.ts'

export const SIGMOID_TABLE_FILE = join(GATEWARE, 'rtl/tern_sigmoid_table.sv')

export function sigmoidTableSource(): string {
  const entries = Array.from({ length: 1024 }, (_, j) => {
    const entry = SIGMOID_TABLE[j] * 512 + SIGMOID_TABLE[j + 1] - SIGMOID_TABLE[j]
    return `    entries_q[${j}] = 26'h${entry.toString(16).padStart(7, '0')};`
  })
  return `// Written by test/gateware/sigmoid-table.ts from the golden model's table: a segment's start (17 bits) and height (9 bits).
module tern_sigmoid_table (
  input  logic        clk_i,
  input  logic        en_i,
  input  logic [9:0]  segment_i,
  output logic [25:0] entry_o
);
  logic [25:0] entries_q[1024];
  initial begin
${entries.join('\n')}
  end
  always_ff @(posedge clk_i) if (en_i) entry_o <= entries_q[segment_i];
endmodule
`
}

if (import.meta.main) writeFileSync(SIGMOID_TABLE_FILE, sigmoidTableSource())
