/** `tern eval --task`: zero-shot tasks, each choice scored from the state after its context. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { EngineApi } from '../../contract/engine-api.ts'
import type { Client } from '../../contract/rpc.ts'
import { type CommandContext, UsageError } from './command-context.ts'
import { readInputFile } from './input-files.ts'
import { follow, loadModel, modelPath } from './model.ts'
import type { ModelOptions } from './options.ts'
import { readRows } from './task-file.ts'
import { type ItemResult, judge, type Share, shareOf } from './task-scores.ts'
import { columns, formatMs, startProgress, table, writeJson, writeText } from './terminal.ts'
import { isZeroShotTask, type TaskItem, taskItems, ZERO_SHOT_TASKS, type ZeroShotTaskName } from './zero-shot-tasks.ts'

export interface TaskOptions extends ModelOptions {
  /** NAME=FILE. */
  task: readonly string[]
  limit?: number
  bos?: true
  json?: true
}

/** HellaSwag's validation split has 40 MB as JSON lines with everything in it. */
const MAX_FILE_BYTES = 256 * 2 ** 20
/** A request is short, so that progress is told and a stop is seen. */
const ITEMS_A_REQUEST = 8
/** Whose rules these are: prompts, tokens and metrics. */
const RULES = 'lm-evaluation-harness 0.4'

interface TaskResult {
  task: ZeroShotTaskName
  items: number
  dataSha256: string
  acc: Share
  accNorm: Share | null
}

interface GivenTask {
  name: ZeroShotTaskName
  items: TaskItem[]
  dataSha256: string
}

export async function evaluateTasks(options: TaskOptions, context: CommandContext): Promise<number> {
  const { terminal } = context
  const given: GivenTask[] = []
  for (const task of options.task.map(parseTask)) given.push(await readTask(task, options.limit, context))
  const engine = await context.connectEngine(options.backend)
  const progress = startProgress(terminal, 'Scoring', { lines: true })
  try {
    const { model, backend } = await loadModel(engine.client, options, context)
    const modelSha256 = await fileSha256(modelPath(options.model), context)
    const total = given.reduce((sum, { items }) => sum + items.length, 0)
    const startedAtMs = performance.now()
    const results: TaskResult[] = []
    let done = 0
    for (const task of given) {
      const outcomes = await scoreItems(engine.client, task.items, options.bos === true, context, count => {
        progress.update((done + count) / total, ZERO_SHOT_TASKS[task.name].title)
      })
      done += task.items.length
      results.push(resultOf(task, outcomes))
    }
    progress.end()
    const run = {
      model: model.name,
      modelSha256,
      backend: backend.name,
      rules: RULES,
      shots: 0,
      beginWithFirstToken: options.bos === true,
      limit: options.limit ?? null,
      evaluateMs: performance.now() - startedAtMs,
    }
    if (options.json) writeJson(terminal, { ...run, tasks: results })
    else {
      writeText(terminal.stdout, taskTable(results))
      terminal.stdout.write(
        `\n${table([
          ['model', `${run.model} (${backend.name})`],
          ['sha256', modelSha256 ?? '–'],
          ['rules', `${RULES}, 0 shots, ${run.beginWithFirstToken ? 'with' : 'without'} a first token`],
          ['time', formatMs(run.evaluateMs)],
        ])}`,
      )
    }
    return 0
  } finally {
    progress.end()
    await engine.close()
  }
}

/** "piqa=valid.parquet". */
function parseTask(given: string): { name: ZeroShotTaskName; path: string } {
  const at = given.indexOf('=')
  const name = given.slice(0, Math.max(0, at))
  const path = given.slice(at + 1)
  if (at > 0 && path !== '' && isZeroShotTask(name)) return { name, path }
  throw new UsageError(`--task ${given}: give NAME=FILE, with one of ${Object.keys(ZERO_SHOT_TASKS).join(', ')}.`)
}

async function readTask(
  { name, path }: { name: ZeroShotTaskName; path: string },
  limit: number | undefined,
  context: CommandContext,
): Promise<GivenTask> {
  const content = await readInputFile(path, MAX_FILE_BYTES, context)
  const rows = await readRows(content, path)
  return {
    name,
    items: taskItems(name, rows.slice(0, limit), path),
    dataSha256: createHash('sha256').update(content).digest('hex'),
  }
}

async function scoreItems(
  client: Client<EngineApi>,
  items: readonly TaskItem[],
  beginWithFirstToken: boolean,
  context: CommandContext,
  onProgress: (done: number) => void,
): Promise<ItemResult[]> {
  const results: ItemResult[] = []
  for (let first = 0; first < items.length; first += ITEMS_A_REQUEST) {
    const part = items.slice(first, first + ITEMS_A_REQUEST)
    const questions = part.flatMap((item, i) => branches(item).map(branch => ({ ...branch, item: i })))
    const logProbabilities: number[][] = part.map(() => [])
    await follow(
      client,
      'score',
      {
        items: questions.map(question => ({ context: question.context, continuations: question.continuations })),
        beginWithFirstToken,
      },
      ({ index, scores }) => {
        logProbabilities[questions[index]!.item]!.push(...scores.map(score => score.logProbability))
      },
      context,
    )
    results.push(...part.map((item, i) => judge(item, logProbabilities[i]!)))
    onProgress(first + part.length)
  }
  return results
}

/** Choices with one context are one question, which is read once. */
function branches({ contexts, continuations }: TaskItem): { context: string; continuations: string[] }[] {
  if (contexts.every(context => context === contexts[0])) return [{ context: contexts[0]!, continuations }]
  return contexts.map((context, i) => ({ context, continuations: [continuations[i]!] }))
}

function resultOf({ name, items, dataSha256 }: GivenTask, outcomes: readonly ItemResult[]): TaskResult {
  const accNorm = shareOf(outcomes.map(outcome => outcome.isRightNormalised))
  return {
    task: name,
    items: items.length,
    dataSha256,
    acc: shareOf(outcomes.map(outcome => outcome.isRight)),
    accNorm: ZERO_SHOT_TASKS[name].hasAccNorm ? accNorm : null,
  }
}

/** null for a folder: its hash is not one file's. */
async function fileSha256(path: string, { interrupts }: CommandContext): Promise<string | null> {
  if (!(await stat(path)).isFile()) return null
  const hash = createHash('sha256')
  for await (const bytes of createReadStream(path)) {
    interrupts.throwIfStopped()
    hash.update(bytes)
  }
  return hash.digest('hex')
}

const percent = (value: number | null): string => (value === null ? '–' : value.toFixed(1))
const share = (value: Share | null): string => {
  if (value === null) return '–'
  const error = value.standardError === null ? '' : ` ± ${(value.standardError * 100).toFixed(1)}`
  return `${(value.mean * 100).toFixed(1)}${error}`
}

const COLUMNS = ['task', 'items', 'acc', 'acc_norm', 'chance', 'paper, 370M', 'independent acc', 'independent acc_norm']

/** In per cent. */
function taskTable(results: readonly TaskResult[]): string {
  const rows = results.map(result => {
    const { title, chance, published } = ZERO_SHOT_TASKS[result.task]
    return [
      title,
      String(result.items),
      share(result.acc),
      share(result.accNorm),
      String(chance),
      percent(published.paper),
      percent(published.acc),
      percent(published.accNorm),
    ]
  })
  return columns([COLUMNS, ...rows])
}
