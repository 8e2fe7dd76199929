/** `tern bench`: how fast this machine decodes and reads, for a published shape or a file. */
import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import type { EngineApi } from '../../contract/engine-api.ts'
import type { StreamEvent } from '../../contract/rpc.ts'
import { type CommandContext, UsageError } from './command-context.ts'
import { absolutePath } from './input-files.ts'
import { endedWithout, follow } from './model.ts'
import { addBackendOptions, type BackendOptions, backendRequest, number, somePath } from './options.ts'
import { formatBytes, formatMs, formatRate, startProgress, table, writeJson } from './terminal.ts'

interface BenchOptions extends BackendOptions {
  shape: string
  decodeTokens?: number
  prefillTokens?: number
  json?: true
}
type Result = Extract<StreamEvent<EngineApi, 'bench'>, { kind: 'done' }>

/** A run of so many takes hours; the ids of all of them are made beforehand. */
const MAX_BENCH_TOKENS = 1_000_000
const benchTokens = number(1, MAX_BENCH_TOKENS, { integer: true })

const EXAMPLES = `
decodeTokensPerSecond and prefillTokensPerSecond are those of the whole model; memoryReadBytesPerSecond is what the same
threads reach when they only read the weights. Each is the best of several runs. A shape gets random ternary weights,
made on the spot: speed does not depend on their values.

Examples:
  tern bench
  tern bench --shape 1.3B --threads 2 --json
  tern bench --shape models/tern-98m-v2.gguf
`

export function defineBench(program: Command, run: (options: BenchOptions) => Promise<void>): void {
  const command = program
    .command('bench')
    .summary('measure speed')
    .description('Measures decode and prefill speed, memory and load time.')
    .option('--shape <shape>', '370M, 1.3B, 2.7B, or a GGUF file or Hugging Face folder', somePath, '370M')
  addBackendOptions(command)
    .option('--decode-tokens <n>', 'tokens to decode', benchTokens)
    .option('--prefill-tokens <n>', 'tokens to read', benchTokens)
    .option(
      '--json',
      'one JSON object on stdout: {decodeTokensPerSecond, prefillTokensPerSecond, bytesReadPerToken, memoryReadBytesPerSecond, peakRssBytes, loadMs}',
    )
    .addHelpText('after', EXAMPLES)
    .action((options: BenchOptions) => run(options))
}

const PUBLISHED_SHAPES = ['370M', '1.3B', '2.7B']

/** A published shape, or the absolute path of a file or folder. */
function shapeOf(given: string): string {
  const name = given.toUpperCase()
  if (PUBLISHED_SHAPES.includes(name)) return name
  if (/^[\d.]+[KMB]$/.test(name) && !existsSync(given)) {
    throw new UsageError(`No shape ${given}: give one of ${PUBLISHED_SHAPES.join(', ')}, or a path.`)
  }
  return absolutePath(given)
}

export async function bench(options: BenchOptions, context: CommandContext): Promise<number> {
  const { terminal } = context
  const { decodeTokens, prefillTokens, json } = options
  context.wantsJson = json === true
  const shape = shapeOf(options.shape)

  const engine = await context.connectEngine(options.backend)
  const progress = startProgress(terminal, 'Measuring')
  let result: Result | undefined
  try {
    await follow(
      engine.client,
      'bench',
      {
        shape,
        ...backendRequest(options),
        ...(decodeTokens === undefined ? {} : { decodeTokens }),
        ...(prefillTokens === undefined ? {} : { prefillTokens }),
      },
      event => {
        if (event.kind === 'progress') progress.update(event.fraction, event.stage)
        else result = event
      },
      context,
    )
  } finally {
    progress.end()
    await engine.close()
  }
  if (result === undefined) throw endedWithout('a result')

  const { kind: _, ...figures } = result
  if (json) writeJson(terminal, figures)
  else {
    terminal.stdout.write(
      table([
        ['shape', options.shape],
        ['decode', formatRate(figures.decodeTokensPerSecond)],
        ['prefill', formatRate(figures.prefillTokensPerSecond)],
        ['weights', `${formatBytes(figures.bytesReadPerToken)} read for each token`],
        ['memory', memoryLimit(figures)],
        ['peak', `${formatBytes(figures.peakRssBytes)} (whole process)`],
        ['load', formatMs(figures.loadMs)],
      ]),
    )
  }
  return 0
}

/** What decode would reach if it did nothing but read the weights. */
function memoryLimit({ memoryReadBytesPerSecond, bytesReadPerToken }: Omit<Result, 'kind'>): string {
  if (memoryReadBytesPerSecond === 0) return '–'
  const limit = formatRate(memoryReadBytesPerSecond / bytesReadPerToken)
  return `reads ${formatBytes(memoryReadBytesPerSecond)}/s, which alone would allow ${limit}`
}
