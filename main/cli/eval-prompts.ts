/** `tern eval --prompts`: which of a file's prompts the model answers as their rules ask, several conversations at a time. */
import type { EngineApi } from '../../contract/engine-api.ts'
import type { Client } from '../../contract/rpc.ts'
import type { TemplateMessage } from '../../contract/words/message.ts'
import type { Sampling } from '../../contract/words/sampling.ts'
import { generateReply } from '../generation/generate.ts'
import { type CommandContext, UsageError } from './command-context.ts'
import { seeded } from './conversation.ts'
import { absolutePath, readInputFile } from './input-files.ts'
import { loadModel, modelPath } from './model.ts'
import { asksForSampling, type ModelOptions, type SamplingOptions, samplingOf } from './options.ts'
import { type OutputFile, openOutput, outputPath } from './output-files.ts'
import { type AnsweredPrompt, type PromptResults, promptJson, promptPage, promptTable } from './prompt-results.ts'
import { brokenRule, type Prompt, parsePrompts } from './prompt-set.ts'
import { dim, startProgress, writeJson, writeText } from './terminal.ts'

export interface PromptOptions extends ModelOptions, SamplingOptions {
  prompts: string
  show?: true
  page?: string
  force?: true
  json?: true
}

/** What the rules of models/eval100.json are made for. */
const MAX_REPLY_TOKENS = 320
const MAX_FILE_BYTES = 8 * 2 ** 20
/** Twice what one step of the CPU serves: the steps stay full while some read or have ended. */
const CONVERSATIONS_AT_ONCE = 16
/** Between the seeds of two prompts, so that those of neighbouring --seed values do not meet. */
const SEED_STRIDE = 100_000

/** Greedy, unless an option asks for sampling: then from the defaults of chats. */
const promptSampling = (options: PromptOptions): Sampling =>
  samplingOf({
    ...options,
    maxTokens: options.maxTokens ?? MAX_REPLY_TOKENS,
    ...(asksForSampling(options) ? {} : { greedy: true }),
  })

export async function evaluatePrompts(options: PromptOptions, context: CommandContext): Promise<number> {
  const { terminal } = context
  const inputs = [modelPath(options.model), absolutePath(options.prompts)]
  const pagePath = options.page === undefined ? null : await outputPath(options.page, inputs)
  const content = await readInputFile(options.prompts, MAX_FILE_BYTES, context)
  const prompts = parsePrompts(content.toString('utf8'), options.prompts)
  const sampling = seeded(promptSampling(options))
  const page: OutputFile | null = pagePath === null ? null : await openOutput(pagePath, options)
  const engine = await context.connectEngine(options.backend)
  const progress = startProgress(terminal, 'Asking')
  try {
    const { model, backend } = await loadModel(engine.client, options, context)
    const startedAtMs = performance.now()
    const answers = await answerAll(
      prompts,
      (prompt, index) => converse(engine.client, prompt, samplingOfPrompt(sampling, index), context),
      context,
      done => progress.update(done / prompts.length, `${done} of ${prompts.length}`),
    )
    progress.end()
    const evaluateMs = performance.now() - startedAtMs
    const results: PromptResults = { model: model.name, backend: backend.name, sampling, evaluateMs, answers }
    await page?.write(Buffer.from(promptPage(results, options.prompts)))
    await page?.finish()
    if (options.json) writeJson(terminal, promptJson(results))
    else writeText(terminal.stdout, promptTable(results, { withFailures: options.show === true }))
    return 0
  } finally {
    progress.end()
    await page?.abort()
    await engine.close()
  }
}

/** In the order of `prompts`. Throws the engine's errors, and `cancelled` when the command is to stop. */
async function answerAll(
  prompts: readonly Prompt[],
  answer: (prompt: Prompt, index: number) => Promise<AnsweredPrompt>,
  { interrupts }: CommandContext,
  onProgress: (done: number) => void,
): Promise<AnsweredPrompt[]> {
  const answered: AnsweredPrompt[] = []
  let next = 0
  let done = 0
  const converse = async () => {
    while (next < prompts.length && !interrupts.signal.aborted) {
      const index = next++
      answered[index] = await answer(prompts[index]!, index)
      onProgress(++done)
    }
  }
  await Promise.all(Array.from({ length: CONVERSATIONS_AT_ONCE }, converse))
  interrupts.throwIfStopped()
  return answered
}

/** One conversation: every turn is asked with the model's own replies to those before it. */
async function converse(
  client: Client<EngineApi>,
  prompt: Prompt,
  sampling: Sampling,
  { terminal, interrupts }: CommandContext,
): Promise<AnsweredPrompt> {
  const sessionId = await client.call('session.create', undefined)
  const messages: TemplateMessage[] = []
  const replies: string[] = []
  let generatedTokens = 0
  for (const turn of prompt.turns) {
    interrupts.throwIfStopped()
    messages.push({ role: 'user', content: turn })
    const { text, stats } = await generateReply(
      client,
      { sessionId, input: { kind: 'messages', messages, addGenerationPrompt: true }, sampling },
      interrupts.signal,
      () => {},
      (_, reason) => void terminal.stderr.write(`${dim(`tern: ${reason}`, terminal.stderr)}\n`),
    )
    messages.push({ role: 'assistant', content: text })
    replies.push(text)
    generatedTokens += stats.generatedTokens
  }
  await client.call('session.dispose', { sessionId })
  return { ...prompt, replies, brokenRule: brokenRule(prompt, replies.at(-1)!), generatedTokens, seed: sampling.seed }
}

/** Every prompt draws from a seed of its own: with one for all, their first draws would be the same. */
function samplingOfPrompt(sampling: Sampling, index: number): Sampling {
  if (sampling.seed === undefined) return sampling
  const seed = sampling.seed + index * SEED_STRIDE
  if (!Number.isSafeInteger(seed)) throw new UsageError('--seed is too large for so many prompts.')
  return { ...sampling, seed }
}
