/**
 * `tern eval`: next-token loss of a text or of token ids, all logits for comparisons with other implementations, and
 * with --prompts (eval-prompts.ts) how many prompts are answered as their rules ask, with --task (eval-tasks.ts) zero-shot
 * tasks.
 */
import type { Command } from 'commander'
import type { EngineApi } from '../../contract/engine-api.ts'
import { TernError } from '../../contract/errors.ts'
import type { StreamParams } from '../../contract/rpc.ts'
import { type CommandContext, UsageError } from './command-context.ts'
import { evaluatePrompts } from './eval-prompts.ts'
import { evaluateTasks } from './eval-tasks.ts'
import { absolutePath, MAX_TEXT_BYTES, readInputFile, readPipedStdin } from './input-files.ts'
import { follow, loadModel, modelPath } from './model.ts'
import {
  addModelOptions,
  addSamplingOptions,
  asksForSampling,
  collect,
  type ModelOptions,
  positiveCount,
  type SamplingOptions,
  somePath,
} from './options.ts'
import { outputPath } from './output-files.ts'
import { formatMs, formatNumber, formatRate, startProgress, table, writeJson } from './terminal.ts'

interface EvalOptions extends ModelOptions, SamplingOptions {
  text?: string
  ids?: string
  prompts?: string
  task?: string[]
  limit?: number
  bos?: true
  show?: true
  page?: string
  saveLogits?: string
  force?: true
  json?: true
}
type EvaluateInput = StreamParams<EngineApi, 'evaluate'>['input']

const EXAMPLES = `
The loss is the mean over all tokens but the first, in nats. --text begins with <s>; --ids are taken as they are: a JSON
array of ids, or an object with such an array under "ids" or "input_ids". --save-logits writes a safetensors file with
one tensor, logits [T, V] in float32, of one pass over all T tokens. Texts and ids may have up to 16 MiB.

--prompts asks every prompt of a file (as models/eval100.json, whose "about" tells the rules) and counts the replies that
pass. It is greedy, with at most 320 tokens a reply, until a sampling option is given; the others then have the defaults
of chats. Several conversations run at a time. With --json, stdout gets {passed, total, categories, generatedTokens,
evaluateMs, sampling, model, backend, answers: [{category, turns, replies, brokenRule, seed}]}.

--task NAME=FILE asks one of the six zero-shot tasks of the MatMul-free paper (arc_easy, arc_challenge, hellaswag, openbookqa,
piqa, winogrande) from a file of the hub (Parquet) or JSON lines, with the prompts and metrics of lm-evaluation-harness 0.4; it
may be given several times. docs/evaluation.md says how, and what acc and acc_norm are.

Examples:
  tern eval --text held-out.txt
  tern eval mmfreelm-370m.gguf --ids ids.json --save-logits logits.safetensors --backend reference
  tern eval --text held-out.txt --json | jq .lossNats
  tern eval --prompts models/eval100.json --show
  tern eval --prompts models/eval100.json --seed 1 --temperature 0.7
  tern eval mmfreelm-370m.gguf --task piqa=validation.parquet --task arc_easy=test.jsonl --json
`

export function defineEval(
  program: Command,
  run: (model: string | undefined, options: EvalOptions) => Promise<void>,
): void {
  const command = program
    .command('eval')
    .summary('measure loss, or answers to prompts')
    .description('Measures the next-token loss and the perplexity of a text, or how many prompts a model answers well.')
    .argument('[model]', 'GGUF file or Hugging Face folder (default: the model that ships with Tern)', somePath)
    .option('--text <file>', 'UTF-8 text; "-" reads stdin', somePath)
    .option('--ids <file>', 'token ids as JSON; "-" reads stdin', somePath)
    .option('--prompts <file>', 'prompts with rules as JSON: count the replies that pass', somePath)
    .option('--task <name=file>', 'a zero-shot task and its file; can be given several times', collect(somePath))
    .option('--limit <items>', 'with --task: only the first items of each file', positiveCount)
    .option('--bos', "with --task: begin contexts with the model's first token (the harness does not)")
    .option('--show', 'with --prompts: show the conversations that failed')
    .option('--page <file>', 'with --prompts: write all conversations to a Markdown page', somePath)
    .option('--save-logits <file>', 'write all logits to a safetensors file', somePath)
    .option('-f, --force', 'with --page and --save-logits: replace an existing file')
    .option(
      '--json',
      'one JSON object on stdout: {tokens, lossNats, perplexity, bitsPerByte, evaluateMs, model, backend, logitsPath}',
    )
  addSamplingOptions(addModelOptions(command))
    .addHelpText('after', EXAMPLES)
    .action((model: string | undefined, options: EvalOptions) => run(model, options))
}

export async function evaluate(
  model: string | undefined,
  options: EvalOptions,
  context: CommandContext,
): Promise<number> {
  const { terminal } = context
  context.wantsJson = options.json === true
  if (model !== undefined && options.model !== undefined) throw new UsageError('Two models given: name one.')
  const given = model ?? options.model
  const modelOptions = { ...options, ...(given === undefined ? {} : { model: given }) }
  checkOptions(options)
  if (options.prompts !== undefined) {
    return evaluatePrompts({ ...modelOptions, prompts: options.prompts }, context)
  }
  if (options.task !== undefined) return evaluateTasks({ ...modelOptions, task: options.task }, context)
  const source = (options.text ?? options.ids)!
  const inputs = [modelPath(given), ...(source === '-' ? [] : [absolutePath(source)])]
  const logitsPath = options.saveLogits === undefined ? undefined : await outputPath(options.saveLogits, inputs)
  const saveLogits =
    logitsPath === undefined ? {} : { saveLogits: { path: logitsPath, replace: options.force === true } }
  const input = await readInput(options, context)

  const engine = await context.connectEngine(options.backend)
  const progress = startProgress(terminal, 'Evaluating')
  try {
    const loaded = await loadModel(engine.client, modelOptions, context)
    const startedAtMs = performance.now()
    let result = {
      tokens: 0,
      lossNats: null as number | null,
      perplexity: null as number | null,
      bitsPerByte: null as number | null,
    }
    await follow(
      engine.client,
      'evaluate',
      { input, ...saveLogits },
      event => {
        if (event.kind === 'progress') progress.update(event.tokensDone / Math.max(1, event.tokensTotal))
        else {
          const { tokens, lossNats, perplexity, bitsPerByte } = event
          result = { tokens, lossNats, perplexity, bitsPerByte }
        }
      },
      context,
    )
    progress.end()
    const evaluateMs = performance.now() - startedAtMs
    if (options.json) {
      writeJson(terminal, {
        ...result,
        evaluateMs,
        model: loaded.model.name,
        backend: loaded.backend.name,
        logitsPath: logitsPath ?? null,
      })
    } else {
      terminal.stdout.write(
        table([
          ['model', loaded.model.name],
          ['tokens', result.tokens.toLocaleString('en-US')],
          ['loss', result.lossNats === null ? '–' : `${result.lossNats.toFixed(4)} nats a token`],
          ['perplexity', formatNumber(result.perplexity)],
          ...(result.bitsPerByte === null ? [] : [['bits a byte', result.bitsPerByte.toFixed(4)] as const]),
          [
            'time',
            `${formatMs(evaluateMs)}, ${formatRate((result.tokens * 1000) / evaluateMs)} (${loaded.backend.name})`,
          ],
          ...(logitsPath === undefined ? [] : [['logits', logitsPath] as const]),
        ]),
      )
    }
    return 0
  } finally {
    progress.end()
    await engine.close()
  }
}

function checkOptions(options: EvalOptions): void {
  const { text, ids, prompts, task, limit, bos, show, page, saveLogits, greedy, maxTokens, stop } = options
  if ([text, ids, prompts, task].filter(file => file !== undefined).length !== 1) {
    throw new UsageError('Give one of --text FILE, --ids FILE.json, --prompts FILE.json and --task NAME=FILE.')
  }
  if (task === undefined && (limit !== undefined || bos !== undefined)) {
    throw new UsageError('--limit and --bos go with --task.')
  }
  const isForPrompts = [show, page, greedy, maxTokens, stop].some(option => option !== undefined)
  if (prompts === undefined && (isForPrompts || asksForSampling(options))) {
    throw new UsageError('Sampling options, --show and --page go with --prompts.')
  }
  if ((prompts !== undefined || task !== undefined) && saveLogits !== undefined)
    throw new UsageError('--save-logits goes with --text or --ids.')
}

async function readInput(options: EvalOptions, context: CommandContext): Promise<EvaluateInput> {
  const path = (options.text ?? options.ids)!
  const content =
    path === '-'
      ? ((await readPipedStdin(context)) ?? '')
      : (await readInputFile(path, MAX_TEXT_BYTES, context)).toString('utf8')
  if (options.text === undefined) return { kind: 'tokens', tokens: parseIds(content, path) }
  if (content !== '') return { kind: 'text', text: content }
  throw new TernError({
    code: 'invalid-argument',
    message: `${path} holds no text.`,
    expected: 'some text',
    remedy: 'Give a file that is not empty.',
  })
}

/** [1, 2], {"ids": [1, 2]}, {"input_ids": [1, 2]}; a batch of one, [[1, 2]], counts as its only row. */
function parseIds(content: string, path: string): number[] {
  let value: unknown
  try {
    value = JSON.parse(content)
  } catch (cause) {
    throw invalidIds(path, (cause as Error).message)
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    value = (value as { ids?: unknown }).ids ?? (value as { input_ids?: unknown }).input_ids
  }
  if (Array.isArray(value) && value.length === 1 && Array.isArray(value[0])) value = value[0]
  if (!Array.isArray(value)) throw invalidIds(path, 'no array')
  const wrong = value.findIndex(id => !Number.isSafeInteger(id) || id < 0)
  if (wrong >= 0) throw invalidIds(path, `${JSON.stringify(value[wrong])} at index ${wrong}`)
  return value as number[]
}

const invalidIds = (path: string, actual: string): TernError =>
  new TernError({
    code: 'invalid-argument',
    message: `${path} holds no token ids.`,
    expected: 'a JSON array of ids, or an object with one under "ids" or "input_ids"',
    actual,
    remedy: 'Write the ids as [1, 2, 3].',
  })
