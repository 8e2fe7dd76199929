/** `tern run`: one prompt, one reply. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { SessionInput } from '../../contract/engine/session.ts'
import { TernError } from '../../contract/errors.ts'
import type { BackendInfo } from '../../contract/words/backend.ts'
import type { EngineMemory } from '../../contract/words/memory.ts'
import type { LoadedModel } from '../../contract/words/model.ts'
import type { Sampling } from '../../contract/words/sampling.ts'
import { type CommandContext, UsageError } from './command-context.ts'
import { generateReply, type Reply } from './generation.ts'
import { loadModel } from './model.ts'
import {
  addModelOptions,
  addSamplingOptions,
  backendRequest,
  type ModelOptions,
  positiveCount,
  type SamplingOptions,
  samplingOf,
} from './options.ts'
import { dim, formatBytes, formatMs, formatRate, readPipedStdin, writeJson } from './terminal.ts'

interface RunOptions extends ModelOptions, SamplingOptions {
  prompt?: string
  system?: string
  raw?: true
  stateIn?: string
  stateOut?: string
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
  memory {weightBytes, stateBytes, scratchBytes, isGpuMemory, processRssBytes}, model, modelPath, backend, kernel,
  threads, loadMs, backends (more than one when the reply moved)
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
    .option('--state-in <file>', 'go on from a saved state (with --raw)')
    .option('--state-out <file>', 'save the state after the reply')
    .option('--migrate-at <n>', 'after n tokens, go on on the other of CPU and graphics processor', positiveCount)
    .option('--json', 'one JSON object on stdout instead of the text')
    .option('-v, --verbose', 'figures on stderr, also when it is no terminal')
    .addHelpText('after', EXAMPLES)
    .action((options: RunOptions) => run(options))
}

export async function run(options: RunOptions, context: CommandContext): Promise<number> {
  const { terminal, interrupts } = context
  context.wantsJson = options.json === true
  const input = inputOf(await readPrompt(options, context), options)

  const engine = await context.connectEngine(options.backend)
  try {
    const loaded = await loadModel(engine.client, options, context)
    const sessionId =
      options.stateIn === undefined
        ? await engine.client.call('session.create', undefined)
        : await engine.client.call('session.import', { state: await readState(options.stateIn) })
    const showText = options.json ? () => {} : (text: string) => void terminal.stdout.write(text)
    const backends = [loaded.backend]
    const onMoved = (backend: BackendInfo, reason: string) => {
      backends.push(backend)
      terminal.stderr.write(`${dim(`tern: ${reason}`, terminal.stderr)}\n`)
    }
    const generate = (input: SessionInput, sampling: Sampling) =>
      generateReply(engine.client, { sessionId, input, sampling }, interrupts.signal, showText, onMoved)
    const move = async () => {
      backends.push(await engine.client.call('model.move', { ...backendRequest(options), backend: 'auto' }))
    }
    const reply = await replyWithMove(generate, move, input, samplingOf(options), options.migrateAt)
    if (!options.json && reply.text !== '' && !reply.text.endsWith('\n')) terminal.stdout.write('\n')
    if (options.stateOut !== undefined && !interrupts.signal.aborted) {
      await writeState(options.stateOut, await engine.client.call('session.export', { sessionId }))
    }
    const memory = await engine.client.call('memory', undefined)

    if (options.json) writeJson(terminal, report(reply, memory, loaded, backends))
    else if (options.verbose || (terminal.stderr.isTTY && terminal.stdout.isTTY)) {
      terminal.stderr.write(`${dim(figures(reply, memory, loaded), terminal.stderr)}\n`)
    }
    return interrupts.signal.aborted ? interrupts.exitCode : 0
  } finally {
    await engine.close()
  }
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

async function readPrompt(options: RunOptions, { terminal }: CommandContext): Promise<string> {
  if (options.prompt !== undefined && options.prompt !== '-') return options.prompt
  const piped = await readPipedStdin(terminal)
  if (piped === null) throw new UsageError('No prompt: give one with -p TEXT, or pipe it in.')
  // The line end that echo and editors add is no part of what was meant.
  const prompt = piped.replace(/\r?\n$/, '')
  if (prompt === '') throw new UsageError('The prompt on stdin is empty.')
  return prompt
}

function inputOf(prompt: string, options: RunOptions): SessionInput {
  if (options.raw) {
    if (options.system !== undefined) throw new UsageError('--system needs the chat template: leave out --raw.')
    return { kind: 'text', text: prompt, parseSpecial: true }
  }
  if (options.stateIn !== undefined) throw new UsageError('--state-in goes on with a text as it stands: add --raw.')
  if (prompt === '') throw new UsageError('The prompt is empty.')
  const system = options.system === undefined ? [] : [{ role: 'system' as const, content: options.system }]
  return { kind: 'messages', messages: [...system, { role: 'user', content: prompt }], addGenerationPrompt: true }
}

async function readState(path: string): Promise<Uint8Array> {
  try {
    return await readFile(resolve(path))
  } catch (cause) {
    throw fileError(cause, `Cannot read the state file ${path}.`)
  }
}

/** Whole or not at all: a state that is there already is lost to no full disk. */
async function writeState(path: string, state: Uint8Array): Promise<void> {
  const { createSink } = await import('../engine-process/node-files.ts')
  const sink = await createSink(resolve(path))
  await sink.write(state)
  await sink.finish()
}

/** A file of the user's that could not be read or written, as error data. */
export function fileError(cause: unknown, message: string): TernError {
  const { code, message: actual } = cause as NodeJS.ErrnoException
  return new TernError({
    code: code === 'ENOENT' ? 'file-not-found' : code === 'ENOSPC' ? 'disk-full' : 'file-unreadable',
    message,
    actual: code === 'ENOENT' ? 'no such file or folder' : actual,
    remedy: 'Check the path and its permissions.',
  })
}

const report = (
  { text, tokenIds, finishReason, stats }: Reply,
  memory: EngineMemory,
  loaded: LoadedModel,
  backends: BackendInfo[],
) => ({
  text,
  tokenIds,
  promptTokens: stats.promptTokens,
  finishReason,
  tokensPerSecond: stats.decodeTokensPerSecond,
  prefillTokensPerSecond: stats.prefillTokensPerSecond,
  ttftMs: stats.ttftMs,
  memory: {
    weightBytes: memory.weightBytes,
    stateBytes: memory.stateBytes,
    scratchBytes: memory.scratchBytes,
    isGpuMemory: memory.isGpuMemory,
    processRssBytes: memory.processRssBytes,
  },
  model: loaded.model.name,
  modelPath: loaded.model.path,
  backend: loaded.backend.name,
  kernel: loaded.backend.kernel,
  threads: loaded.backend.threads,
  loadMs: loaded.loadMs,
  backends: backends.map(({ name }) => name),
})

function figures({ tokenIds, stats }: Reply, memory: EngineMemory, loaded: LoadedModel): string {
  return [
    `${tokenIds.length} tokens`,
    formatRate(stats.decodeTokensPerSecond),
    `first token after ${formatMs(stats.ttftMs)}`,
    `${formatBytes(memory.weightBytes)} weights + ${formatBytes(memory.stateBytesPerSession)} state${memory.isGpuMemory ? ' in GPU memory' : ''}`,
    `${loaded.backend.name}, ${loaded.backend.description}`,
    `loaded in ${formatMs(loaded.loadMs)}`,
  ].join(' · ')
}
