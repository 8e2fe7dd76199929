/** All benches in one simulation: building a simulator costs more than running it. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench } from './arithmetic-benches.ts'

const CYCLES_AT_MOST = 400_000

/** Writes the vectors into `folder` and returns the source of the module `bench_top`. */
export function benchTop(benches: readonly Bench[], folder: string): string {
  const instances = benches.map(({ module, parameters, vectors }, at) => {
    const files = Object.entries(vectors).map(([name, lines]) => {
      const file = `${at}-${module}-${name.toLowerCase()}.hex`
      writeFileSync(join(folder, file), `${lines.join('\n')}\n`)
      return `.${name}("${file}")`
    })
    const list = [...Object.entries(parameters).map(([name, value]) => `.${name}(${value})`), ...files].join(', ')
    return `  bench_${module} #(${list}) bench_${at} (.clk_i(clk), .rst_i(rst), .is_done_o(done[${at}]), .errors_o(errors[${at}]));`
  })
  return `\`timescale 1ns / 1ns
module bench_top;
  logic clk = 1'b0, rst = 1'b1;
  always #5 clk = ~clk;
  wire [${benches.length - 1}:0] done;
  wire integer errors[${benches.length}];
${instances.join('\n')}
  integer cycle = 0, total;
  always @(posedge clk) begin
    cycle <= cycle + 1;
    if (cycle == 4) rst <= 1'b0;
    if (cycle > 4 && (&done || cycle == ${CYCLES_AT_MOST})) begin
      for (integer at = 0; at < ${benches.length}; at = at + 1) $display("bench %0d done %b errors %0d", at, done[at], errors[at]);
      $display("cycles %0d", cycle);
      $finish;
    end
  end
endmodule
`
}
