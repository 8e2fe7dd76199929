/** `tern run`: one prompt, one reply. */
import { type Command, Option } from 'commander'
import type { SessionInput } from '../../contract/engine/session.ts'
import type { EngineApi } from '../../contract/engine-api.ts'
import { TernError } from '../../contract/errors.ts'
import type { Client } from '../../contract/rpc.ts'
import type { BackendInfo } from '../../contract/words/backend.ts'
import type { ReplyEnergy } from '../../contract/words/energy.ts'
import type { EngineMemory } from '../../contract/words/memory.ts'
import type { LoadedModel } from '../../contract/words/model.ts'
import type { Sampling } from '../../contract/words/sampling.ts'
import { generateReply, type Reply } from '../generation/generate.ts'
import { PowerMeter } from '../services/telemetry/power-meter.ts'
import { findPowerSources } from '../services/telemetry/power-sources.ts'
import { type CommandContext, UsageError } from './command-context.ts'
import { seeded } from './conversation.ts'
import { MAX_STATE_BYTES, readInputFile, readPipedStdin } from './input-files.ts'
import { loadModel, modelPath } from './model.ts'
import {
  addModelOptions,
  addSamplingOptions,
  backendRequest,
  type ModelOptions,
  positiveCount,
  type SamplingOptions,
  samplingOf,
  somePath,
} from './options.ts'
import { openOutput, outputPath } from './output-files.ts'
import { dim, formatBytes, formatMs, formatNumber, formatRate, writeJson, writeText } from './terminal.ts'

interface RunOptions extends ModelOptions, SamplingOptions {
  prompt?: string
  system?: string
  raw?: true
  stateIn?: string
  stateOut?: string
  force?: true
  moveAt?: number
  /** The earlier name of `moveAt`. */
  migrateAt?: number
  json?: true
  verbose?: true
}

const EXAMPLES = `
Examples:
  tern run -p "Tell me a story about a tern."
  tern run --raw --greedy -p "Once upon a time" --max-tokens 64
  cat letter.txt | tern run --system "Answer in one sentence."
  tern run -p "Hello!" --json | jq .tokensPerSecond
  tern run --raw -p "A long text" --max-tokens 0 --state-out text.state
  tern run --raw -p "It ends" --state-in text.state

With --json, stdout gets one object:
  text, tokenIds, promptTokens, finishReason, tokensPerSecond (decode), prefillTokensPerSecond, ttftMs,
  seed (null: greedy), memory {weightBytes, bytesOfAllStates, scratchBytes, place, processRssBytes}, model, modelPath, backend, kernel,
  threads, loadMs, backends (more than one when the reply moved),
  energy (null: nothing here can be read) {joules, aboveIdleJoules, scope, method, quality, windowMs, idle}
  or {"error": {code, message, expected, actual, remedy}} with exit code 1.
`

export function defineRun(program: Command, run: (options: RunOptions) => Promise<void>): void {
  const command = program
    .command('run')
    .summary('answer one prompt')
    .description('Answers one prompt and streams the reply to stdout.')
    .option('-p, --prompt <text>', 'the prompt; "-", or leaving it out in a pipe, reads stdin')
    .option('--system <text>', 'system message before the prompt')
    .option('--raw', 'no chat template: continues the text; special tokens in it are read as such')
  addSamplingOptions(addModelOptions(command))
  command
    .optionsGroup('State and output:')
    .option('--state-in <file>', 'go on from a saved state (with --raw)', somePath)
    .option('--state-out <file>', 'save the state after the reply', somePath)
    .option('-f, --force', 'with --state-out: replace an existing file, be it that of --state-in')
    .option('--move-at <n>', 'after n tokens, go on on the other of CPU and graphics processor', positiveCount)
    .addOption(new Option('--migrate-at <n>').argParser(positiveCount).hideHelp())
    .option('--json', 'one JSON object on stdout instead of the text')
    .option('-v, --verbose', 'figures on stderr, also when it is no terminal')
    .addHelpText('after', EXAMPLES)
    .action((options: RunOptions) => run(options))
}

export async function run(options: RunOptions, context: CommandContext): Promise<number> {
  const { terminal, interrupts } = context
  context.wantsJson = options.json === true
  checkOptions(options)
  const moveAt = options.moveAt ?? options.migrateAt
  const outPath = options.stateOut === undefined ? null : await outputPath(options.stateOut, [modelPath(options.model)])
  const input = inputOf(await readPrompt(options, context), options)
  const stateIn = options.stateIn === undefined ? null : await readInputFile(options.stateIn, MAX_STATE_BYTES, context)
  const sampling = seeded(samplingOf(options))

  // Before the work, which would be lost where it cannot be written.
  const stateOut = outPath === null ? null : await openOutput(outPath, options)
  try {
    return await withEngine(options, context, async (client, loaded, backends) => {
      const sessionId =
        stateIn === null
          ? await client.call('session.create', undefined)
          : await client.call('session.import', { state: stateIn })
      const showText = options.json ? () => {} : (text: string) => writeText(terminal.stdout, text)
      const onMoved = (backend: BackendInfo, reason: string) => {
        backends.push(backend)
        terminal.stderr.write(`${dim(`tern: ${reason}`, terminal.stderr)}\n`)
      }
      const generate = (input: SessionInput, sampling: Sampling) =>
        generateReply(client, { sessionId, input, sampling }, interrupts.signal, showText, onMoved)
      const move = async () => {
        backends.push(await client.call('model.move', { ...backendRequest(options), backend: 'auto' }))
      }
      const work = () => replyWithMove(generate, move, input, sampling, moveAt)
      const { reply, energy } = showsFigures(options, terminal)
        ? await withEnergy(client, context, backends, work)
        : { reply: await work(), energy: null }
      if (!options.json && reply.text !== '' && !reply.text.endsWith('\n')) terminal.stdout.write('\n')
      if (stateOut !== null && !interrupts.signal.aborted) {
        await stateOut.write(await client.call('session.export', { sessionId }))
        await stateOut.finish()
      }
      const memory = await client.call('memory', undefined)

      const seed = sampling.seed ?? null
      if (options.json) writeJson(terminal, report(reply, seed, memory, loaded, backends, energy))
      else if (showsFigures(options, terminal)) {
        terminal.stderr.write(`${dim(figures(reply, seed, memory, loaded, energy), terminal.stderr)}\n`)
      }
      return interrupts.signal.aborted ? interrupts.exitCode : 0
    })
  } finally {
    await stateOut?.abort()
  }
}

const showsFigures = ({ json, verbose }: RunOptions, { stderr, stdout }: CommandContext['terminal']): boolean =>
  json === true || verbose === true || (stderr.isTTY && stdout.isTTY)

/** The energy of all that `work` does; null: nothing here can be read, or the reply moved and drew from two places. */
async function withEnergy(
  client: Client<EngineApi>,
  { powerMachine }: CommandContext,
  backends: readonly BackendInfo[],
  work: () => Promise<Reply>,
): Promise<{ reply: Reply; energy: ReplyEnergy | null }> {
  const window = new PowerMeter(() => findPowerSources(powerMachine)).begin()
  try {
    const reply = await work()
    const { place } = await client.call('memory', undefined)
    const energy = await window.end(place)
    return { reply, energy: backends.length > 1 ? null : energy }
  } finally {
    await window.end('system')
  }
}

/** `backends`: those that computed so far, the first one in it. */
async function withEngine(
  options: RunOptions,
  context: CommandContext,
  work: (client: Client<EngineApi>, loaded: LoadedModel, backends: BackendInfo[]) => Promise<number>,
): Promise<number> {
  const engine = await context.connectEngine(options.backend)
  try {
    if ((options.moveAt ?? options.migrateAt) !== undefined) await checkMove(engine.client)
    const loaded = await loadModel(engine.client, options, context)
    return await work(engine.client, loaded, [loaded.backend])
  } finally {
    await engine.close()
  }
}

/** Before anything is read: a reply that cannot move is not to fail in its midst. */
async function checkMove(client: Client<EngineApi>): Promise<void> {
  if ((await client.call('backend.adapters', undefined)).length > 0) return
  throw new TernError({
    code: 'backend-unavailable',
    message: 'There is no graphics processor to move to.',
    expected: 'an adapter that WebGPU can use',
    remedy: 'Leave out --move-at, or install a graphics driver; tern info lists the adapters.',
  })
}

/** One reply; with `moveAt`, its first so many tokens before the move, and the rest after it. */
async function replyWithMove(
  generate: (input: SessionInput, sampling: Sampling) => Promise<Reply>,
  move: () => Promise<void>,
  input: SessionInput,
  sampling: Sampling,
  moveAt: number | undefined,
): Promise<Reply> {
  const { maxTokens = Number.POSITIVE_INFINITY } = sampling
  if (moveAt === undefined || moveAt >= maxTokens) return generate(input, sampling)
  const begun = await generate(input, { ...sampling, maxTokens: moveAt })
  if (begun.finishReason !== 'max-tokens') return begun
  await move()
  const left = Number.isFinite(maxTokens) ? { maxTokens: maxTokens - moveAt } : {}
  const rest = await generate({ kind: 'tokens', tokens: [] }, { ...sampling, ...left })
  return {
    text: begun.text + rest.text,
    tokenIds: [...begun.tokenIds, ...rest.tokenIds],
    finishReason: rest.finishReason,
    stats: {
      ...begun.stats,
      generatedTokens: begun.stats.generatedTokens + rest.stats.generatedTokens,
      decodeTokensPerSecond: rest.stats.decodeTokensPerSecond,
    },
  }
}

function checkOptions({ raw, system, stateIn, stateOut, force }: RunOptions): void {
  if (raw && system !== undefined) throw new UsageError('--system needs the chat template: leave out --raw.')
  if (!raw && stateIn !== undefined) throw new UsageError('--state-in goes on with a text as it stands: add --raw.')
  if (force && stateOut === undefined) throw new UsageError('--force goes with --state-out.')
}

async function readPrompt(options: RunOptions, context: CommandContext): Promise<string> {
  if (options.prompt !== undefined && options.prompt !== '-') return options.prompt
  const piped = await readPipedStdin(context)
  if (piped === null) throw new UsageError('No prompt: give one with -p TEXT, or pipe it in.')
  // The line end that echo and editors add is no part of what was meant.
  const prompt = piped.replace(/\r?\n$/, '')
  if (prompt === '') throw new UsageError('The prompt on stdin is empty.')
  return prompt
}

function inputOf(prompt: string, options: RunOptions): SessionInput {
  if (options.raw) return { kind: 'text', text: prompt, parseSpecial: true }
  if (prompt === '') throw new UsageError('The prompt is empty.')
  const system = options.system === undefined ? [] : [{ role: 'system' as const, content: options.system }]
  return { kind: 'messages', messages: [...system, { role: 'user', content: prompt }], addGenerationPrompt: true }
}

const report = (
  { text, tokenIds, finishReason, stats }: Reply,
  seed: number | null,
  memory: EngineMemory,
  loaded: LoadedModel,
  backends: BackendInfo[],
  energy: ReplyEnergy | null,
) => ({
  text,
  tokenIds,
  promptTokens: stats.promptTokens,
  finishReason,
  tokensPerSecond: stats.decodeTokensPerSecond,
  prefillTokensPerSecond: stats.prefillTokensPerSecond,
  ttftMs: stats.ttftMs,
  seed,
  memory: {
    weightBytes: memory.weightBytes,
    bytesOfAllStates: memory.bytesOfAllStates,
    scratchBytes: memory.scratchBytes,
    place: memory.place,
    processRssBytes: memory.processRssBytes,
  },
  model: loaded.model.name,
  modelPath: loaded.model.path,
  backend: loaded.backend.name,
  kernel: loaded.backend.kernel,
  threads: loaded.backend.threads,
  loadMs: loaded.loadMs,
  backends: backends.map(({ name }) => name),
  energy,
})

function figures(
  { tokenIds, stats }: Reply,
  seed: number | null,
  memory: EngineMemory,
  loaded: LoadedModel,
  energy: ReplyEnergy | null,
): string {
  return [
    `${tokenIds.length} tokens`,
    formatRate(stats.decodeTokensPerSecond),
    `first token after ${formatMs(stats.ttftMs)}`,
    `${formatBytes(memory.weightBytes)} weights + ${formatBytes(memory.bytesPerState)} state${memory.place === 'gpu' ? ' in GPU memory' : ''}`,
    `${loaded.backend.name}, ${loaded.backend.description}`,
    `loaded in ${formatMs(loaded.loadMs)}`,
    ...(energy === null || tokenIds.length === 0
      ? []
      : [`${formatNumber(energy.joules / tokenIds.length)} J/token (${energy.scope}, ${energy.quality})`]),
    ...(seed === null ? [] : [`seed ${seed}`]),
  ].join(' · ')
}
