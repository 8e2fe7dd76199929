/** `tern fpga`: what an accelerator board would do. It needs no board, and starts none. */
import { type Command, Option } from 'commander'
import { ACCELERATOR_BOARDS, type AcceleratorEstimate } from '../../contract/words/accelerator.ts'
import type { CommandContext } from './command-context.ts'
import { modelPath } from './model.ts'
import { somePath } from './options.ts'
import { columns, formatBytes, formatNumber, formatRate, printable, table, writeJson } from './terminal.ts'

interface EstimateOptions {
  board?: (typeof ACCELERATOR_BOARDS)[number]
  json?: true
}

const EXAMPLES = `
Examples:
  tern fpga estimate
  tern fpga estimate mmfreelm-370m.gguf --board ulx3s-85f
  tern fpga estimate mmfreelm-370m.gguf --json
`

const TAGS = `
Tags: placed is the place and route tool's report; derived follows from the cycle model, which the tests hold to 1 % of
the simulated gateware; projected rests on a clock or a part that nobody has built yet; assumed is an assumption.
`

export function defineFpga(
  program: Command,
  run: (model: string | undefined, options: EstimateOptions) => Promise<void>,
): void {
  program
    .command('fpga')
    .summary('what an accelerator board would do')
    .description('The accelerator of the folder gateware.')
    .addHelpText('after', EXAMPLES)
    .command('estimate')
    .summary('tokens/s of a model on a board, without the board')
    .description(
      'Computes tokens/s, what bounds them, and whether the model fits, from the cycle model of the gateware.',
    )
    .argument('[model]', 'GGUF file or Hugging Face folder (default: the model that ships with Tern)', somePath)
    .addOption(new Option('--board <board>', 'one board instead of a table of all').choices(ACCELERATOR_BOARDS))
    .option('--json', 'one JSON object on stdout: {model: {...}, estimates: [...]}')
    .addHelpText('after', EXAMPLES + TAGS)
    .action((model: string | undefined, options: EstimateOptions) => run(model, options))
}

export async function estimateFpga(
  model: string | undefined,
  options: EstimateOptions,
  context: CommandContext,
): Promise<number> {
  const { terminal } = context
  context.wantsJson = options.json === true
  const boards = options.board === undefined ? [...ACCELERATOR_BOARDS] : [options.board]
  // No op is computed: any backend does, and the reference needs no compiled kernels.
  const engine = await context.connectEngine('reference')
  try {
    const path = modelPath(model)
    const card = await engine.client.call('model.info', { path })
    const estimates = await engine.client.call('accelerator.estimate', { path, boards })
    if (options.json) writeJson(terminal, { model: card, estimates })
    else {
      const { name, hiddenSize, stateWidth, intermediateSize, layerCount } = card
      terminal.stdout.write(
        printable(`${name}: D ${hiddenSize}, E ${stateWidth}, I ${intermediateSize}, ${layerCount} layers\n\n`),
      )
      terminal.stdout.write(
        options.board === undefined ? boardTable(estimates) : estimates.map(describeEstimate).join('\n'),
      )
    }
    return 0
  } finally {
    await engine.close()
  }
}

type Speed = AcceleratorEstimate['speeds'][number]
type Figure = Speed['tokensPerSecond']

const tagged = (text: string, { tag }: Figure): string => `${text} (${tag})`
const rate = (figure: Figure): string => tagged(formatRate(figure.value), figure)
const PACKINGS = { 'two-bit': '2-bit weights', 'base-3': 'base-3 weights' }
const BOUNDS = {
  memory: 'memory',
  lanes: 'the lanes',
  'vector-passes': 'passes over vectors',
  link: 'the line to the host',
}

function describeEstimate(estimate: AcceleratorEstimate): string {
  const { name, memory, lanes, batch, clockMhz, blockRams, speeds } = estimate
  const rows: [string, string][] = [
    ['board', `${name}, ${memory}`],
    ['gateware', `${lanes} lanes, batch of ${batch}, ${tagged(`${formatNumber(clockMhz.value)} MHz`, clockMhz)}`],
    ['block RAM', `${tagged(`${blockRams.needed.value}`, blockRams.needed)} of ${blockRams.available}`],
    ...estimate.excesses.map((excess): [string, string] => ['too large', excess]),
  ]
  for (const speed of speeds) {
    const { memoryBytes, widePortTokensPerSecond } = speed
    rows.push(
      [
        PACKINGS[speed.packing],
        fits(estimate, speed) ? rate(speed.tokensPerSecond) : `does not fit; would be ${rate(speed.tokensPerSecond)}`,
      ],
      ['  with the line', rate(speed.tokensPerSecondWithLink)],
      ['  a prompt', rate(speed.prefillTokensPerSecond)],
      [
        '  bound by',
        `${BOUNDS[speed.bound]}, ${tagged(`${Math.round(100 * speed.boundShare.value)} %`, speed.boundShare)} of a token`,
      ],
      [
        '  memory',
        `${tagged(formatBytes(memoryBytes.needed.value), memoryBytes.needed)} of ${formatBytes(memoryBytes.available)}`,
      ],
    )
    if (widePortTokensPerSecond !== null) rows.push(['  with a wide port', rate(widePortTokensPerSecond)])
  }
  return table(rows)
}

const fits = ({ isInBlockRam, excesses }: AcceleratorEstimate, { isInMemory }: Speed): boolean =>
  isInBlockRam && isInMemory && excesses.length === 0

/** One line a board and packing. */
function boardTable(estimates: readonly AcceleratorEstimate[]): string {
  const lines = [['board', 'weights', 'MHz', 'tokens/s', 'with line', 'prompt', 'wide port', 'bound by', 'fits']]
  for (const estimate of estimates) {
    for (const speed of estimate.speeds) {
      const misfits = [
        ...(speed.isInMemory ? [] : ['memory']),
        ...(estimate.isInBlockRam ? [] : ['block RAM']),
        ...(estimate.excesses.length === 0 ? [] : ['gateware']),
      ]
      lines.push([
        estimate.board,
        speed.packing,
        short(estimate.clockMhz),
        short(speed.tokensPerSecond),
        short(speed.tokensPerSecondWithLink),
        short(speed.prefillTokensPerSecond),
        speed.widePortTokensPerSecond === null ? '–' : short(speed.widePortTokensPerSecond),
        speed.bound,
        misfits.length === 0 ? 'yes' : `no: ${misfits.join(', ')}`,
      ])
    }
  }
  return columns(lines) + LEGEND
}

const LETTERS = { placed: '', derived: '', projected: '*', assumed: '*' }
const short = (figure: Figure): string => formatNumber(figure.value) + LETTERS[figure.tag]
const LEGEND =
  '\nDerived by the cycle model of the gateware; nothing here was measured. * projected: the clock or the port is an assumption.\n'
