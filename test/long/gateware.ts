/**
 * The long run of the gateware's tests: `npm run test:gateware`. Whole tokens of the embedded model in both packings, more
 * seeds, deeper proofs, small faults that have to be found. The last line tells the figures. Not part of `npm test`.
 *
 *   node test/long/gateware.ts [--only tokens,benches,proofs,mutations]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { SDR_SDRAM, stepCycles } from '../../engine/backends/fpga/cycle-model.ts'
import { readFixedWeights } from '../../engine/backends/fpga/fixed-point/weights.ts'
import { createRandom } from '../../engine/seeded-random.ts'
import { arithmeticBenches } from '../gateware/arithmetic-benches.ts'
import { failuresOf } from '../gateware/bench-top.ts'
import { TestedBoard } from '../gateware/board-cases.ts'
import { isCaught, MUTATIONS } from '../gateware/mutations.ts'
import { PROOFS, prove } from '../gateware/proofs.ts'
import { rtlSources } from '../gateware/simulators.ts'
import { residual } from '../gateware/tiny-model.ts'
import { buildBoard } from '../gateware/virtual-board.ts'
import { openEmbeddedModel } from '../golden/golden-data.ts'

const SEEDS = [101, 102, 103]
const TOKENS = 3
const { values } = parseArgs({ options: { only: { type: 'string', default: 'benches,proofs,mutations,tokens' } } })
const parts = new Set(values.only.split(','))
const say = (text: string) => process.stdout.write(`${text}\n`)
const problems: string[] = []
let cases = 0
let cycles = 0
let proofs = 0
let caught = 0

function runBenches(): void {
  for (const seed of SEEDS) {
    const benches = arithmeticBenches(seed)
    const { failures, cycles: simulated } = failuresOf(benches, 'icarus')
    problems.push(...failures)
    cycles += simulated
    // Each vector is played four times.
    cases += benches.reduce((sum, { vectors }) => sum + 4 * vectors.OUT.length, 0)
    say(`benches, seed ${seed}: ${failures.length} failures`)
  }
}

function runProofs(): void {
  for (const proof of PROOFS) {
    try {
      prove(proof, proof.longSteps)
      proofs++
      say(`proof ${proof.name}: ${proof.longSteps} cycles${proof.isInductive ? ', and by induction for ever' : ''}`)
    } catch (error) {
      problems.push(`proof ${proof.name}: ${error}`)
    }
  }
}

function runMutations(): void {
  for (const mutation of MUTATIONS) {
    const isFound = isCaught(mutation)
    if (isFound) caught++
    else problems.push(`not caught: ${mutation.module}, ${mutation.from} -> ${mutation.to}`)
    say(
      `${isFound ? 'caught' : 'NOT CAUGHT'}: ${mutation.module}, ${JSON.stringify(mutation.from)} -> ${JSON.stringify(mutation.to)}`,
    )
  }
}

async function runTokens(): Promise<void> {
  const shape = {
    LANES: 16,
    BATCH: 2,
    WIDTH: 1024,
    INPUTS: 4096,
    GATES: 8192,
    STATES: 16384,
    ROW_BITS: 13,
    WATCHDOG: 1_000_000,
  }
  const simulator = buildBoard(shape)
  const weights = await readFixedWeights(await openEmbeddedModel())
  const folder = mkdtempSync(join(tmpdir(), 'tern-tokens-'))
  try {
    for (const packing of ['two-bit', 'base-3'] as const) {
      const tested = new TestedBoard(simulator, folder, weights, packing)
      await tested.load()
      const random = createRandom(31)
      for (let token = 0; token < TOKENS; token++) {
        const { device, golden } = await tested.step(residual(random, 768))
        const isEqual = device.every((value, d) => value === golden[d])
        if (!isEqual) problems.push(`token ${token}, ${packing}: not the golden model's`)
        cases++
        const { total, words } = await tested.counters()
        const computed = stepCycles(tested.program.ops, { lanes: shape.LANES, ...SDR_SDRAM }).total
        cycles += total
        say(
          `token ${token}, ${packing}: ${isEqual ? 'equal' : 'NOT EQUAL'}, ${total} cycles, memory busy ${((100 * words) / total).toFixed(1)} %, cycle model ${((100 * computed) / total - 100).toFixed(3)} % off`,
        )
      }
      const state = await tested.deviceState()
      if (!state.every((value, at) => value === tested.state[at]))
        problems.push(`state, ${packing}: not the golden model's`)
      const log = await tested.board.close()
      if (!/chip errors 0$/m.test(log)) problems.push(log)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

if (parts.has('benches')) runBenches()
if (parts.has('proofs')) runProofs()
if (parts.has('mutations')) runMutations()
if (parts.has('tokens')) await runTokens()
for (const problem of problems) say(`Failed: ${problem}`)
say(
  `${rtlSources().length} modules, ${cases} cases, ${cycles} cycles simulated, ${proofs} proofs, ${caught} of ${MUTATIONS.length} faults caught, ${problems.length} failed`,
)
process.exitCode = problems.length === 0 ? 0 : 1
