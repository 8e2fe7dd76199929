/** All benches in one simulation: building a simulator costs more than running it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Bench } from './arithmetic-benches.ts'
import { GATEWARE, outputOf, rtlSources, verilated } from './simulators.ts'

const CYCLES_AT_MOST = 400_000
const BENCHES = ['bench_arithmetic', 'vector_check', 'vector_source'].map(name => join(GATEWARE, `bench/${name}.sv`))

/** What benches found wrong with the modules: none is right. `gateware` may be a copy with faults in it. */
export function failuresOf(
  benches: readonly Bench[],
  simulator: 'verilator' | 'icarus',
  gateware = GATEWARE,
): { readonly failures: readonly string[]; readonly cycles: number } {
  const folder = mkdtempSync(join(tmpdir(), 'tern-benches-'))
  try {
    const top = join(folder, 'bench_top.sv')
    writeFileSync(top, benchTop(benches, folder))
    const sources = [top, ...BENCHES, ...rtlSources(gateware)]
    if (simulator === 'verilator')
      return failuresIn(benches, outputOf(verilated({ top: 'bench_top', sources }), [], folder))
    const program = join(folder, 'bench.vvp')
    outputOf('iverilog', ['-g2012', '-s', 'bench_top', '-o', program, ...sources])
    return failuresIn(benches, outputOf('vvp', [program], folder))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Benches that did not come to their end, or with errors; and what a bench printed of them. */
function failuresIn(benches: readonly Bench[], output: string): { failures: string[]; cycles: number } {
  const results = [...output.matchAll(/^bench (\d+) done (\S+) errors (\S+)$/gm)]
  const failed = results.flatMap(([, at, done, errors]) => {
    const { module, parameters } = benches[Number(at)]
    return done === '1' && errors === '0'
      ? []
      : [`${module} ${JSON.stringify(parameters)}: done ${done}, errors ${errors}`]
  })
  const missing =
    results.length === benches.length ? [] : [`${results.length} of ${benches.length} benches told their result`]
  const cycles = Number(/^cycles (\d+)$/m.exec(output)?.[1] ?? 0)
  return { failures: [...missing, ...failed, ...(output.match(/^ERROR.*$/gm) ?? [])], cycles }
}

/** Writes the vectors into `folder` and returns the source of the module `bench_top`. */
function benchTop(benches: readonly Bench[], folder: string): string {
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
  integer cycle = 0;
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
