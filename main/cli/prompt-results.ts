/** What `tern eval --prompts` found, as a table for the terminal, as JSON, and as a page of all replies. */
import type { Sampling } from '../../contract/words/sampling.ts'
import type { BrokenRule, Prompt } from './prompt-set.ts'
import { formatMs, formatRate, table } from './terminal.ts'

export interface AnsweredPrompt extends Prompt {
  /** One to every turn. */
  replies: string[]
  /** By the last reply; null: it passes. */
  brokenRule: BrokenRule | null
  generatedTokens: number
  /** What `tern run --seed` gives the same reply with; undefined: greedy. */
  seed: number | undefined
}

export interface PromptResults {
  model: string
  backend: string
  sampling: Sampling
  /** From the first prompt to the last reply. */
  evaluateMs: number
  answers: AnsweredPrompt[]
}

/** Columns of a page and of the terminal. */
const LINE_WIDTH = 110

export function promptTable(results: PromptResults, { withFailures }: { withFailures: boolean }): string {
  const { answers, evaluateMs } = results
  const tokens = generatedTokens(answers)
  const failures = answers.filter(({ brokenRule }) => brokenRule !== null)
  const summary = table([
    ['model', results.model],
    ['sampling', samplingInWords(results.sampling)],
    ['passed', passedOf(answers)],
    ...byCategory(answers).map(([category, its]) => [`  ${category}`, passedOf(its)] as const),
    ['time', `${formatMs(evaluateMs)}, ${formatRate((tokens * 1000) / evaluateMs)} (${results.backend})`],
  ])
  return withFailures ? `${failures.map(answer => `${conversation(answer)}\n\n`).join('')}${summary}` : summary
}

export function promptJson({ model, backend, sampling, evaluateMs, answers }: PromptResults) {
  const figures = (its: readonly AnsweredPrompt[]) => ({ passed: passedIn(its), total: its.length })
  return {
    ...figures(answers),
    categories: Object.fromEntries(byCategory(answers).map(([category, its]) => [category, figures(its)])),
    generatedTokens: generatedTokens(answers),
    evaluateMs,
    sampling,
    model,
    backend,
    answers: answers.map(({ category, turns, replies, brokenRule, seed }) => ({
      category,
      turns,
      replies,
      brokenRule,
      seed,
    })),
  }
}

/** Markdown. `promptFile` as the user gave it. */
export function promptPage({ model, sampling, answers }: PromptResults, promptFile: string): string {
  const sections = byCategory(answers).map(([category, its]) => {
    const text = its.map(conversation).join('\n\n')
    const fence = '`'.repeat(Math.max(3, ...Array.from(text.matchAll(/`+/g), ([ticks]) => ticks.length + 1)))
    return `## ${category}: ${passedOf(its)}\n\n${fence}text\n${text}\n${fence}\n`
  })
  return [
    `# What ${model} answers: ${passedOf(answers)}\n`,
    `Every reply to the prompts of \`${promptFile}\`, ${samplingInWords(sampling)}, judged by the rules in that file.`,
    `Written by \`tern eval --prompts ${promptFile} --page FILE\`.\n`,
    ...sections,
  ].join('\n')
}

/** In the order in which the file names them first. */
function byCategory(answers: readonly AnsweredPrompt[]): [category: string, AnsweredPrompt[]][] {
  const categories = new Map<string, AnsweredPrompt[]>()
  for (const answer of answers) categories.set(answer.category, [...(categories.get(answer.category) ?? []), answer])
  return [...categories]
}

const passedIn = (answers: readonly AnsweredPrompt[]): number =>
  answers.filter(({ brokenRule }) => brokenRule === null).length

const passedOf = (answers: readonly AnsweredPrompt[]): string => `${passedIn(answers)} of ${answers.length}`

const generatedTokens = (answers: readonly AnsweredPrompt[]): number =>
  answers.reduce((sum, answer) => sum + answer.generatedTokens, 0)

function samplingInWords({ maxTokens, ...sampling }: Sampling): string {
  const { temperature = 0, seed, ...rest } = sampling
  const limit = `at most ${maxTokens} tokens a reply`
  if (temperature === 0) return `greedy, ${limit}`
  const options = Object.entries(rest).map(([name, value]) => `${name} ${JSON.stringify(value)}`)
  return [`temperature ${temperature}`, ...options, ...(seed === undefined ? [] : [`seed ${seed}`]), limit].join(', ')
}

function conversation({ turns, replies, category, ...answer }: AnsweredPrompt): string {
  const lines = turns.flatMap((turn, index) => [spoken('user ', turn), spoken('model', replies[index] ?? '')])
  return [verdict(answer), ...lines].join('\n')
}

function verdict({ brokenRule, must, mustNot, words }: Omit<AnsweredPrompt, 'turns' | 'replies' | 'category'>): string {
  switch (brokenRule) {
    case null:
      return 'passes'
    case 'must':
      return `does not match ${must}`
    case 'mustNot':
      return `matches ${mustNot}`
    case 'words':
      return `is not ${words[0]} to ${words[1]} words long`
    case 'repetition':
      return 'says the same four words more than three times'
  }
}

/** Wrapped, under its speaker, without what would steer a terminal. */
function spoken(speaker: string, text: string): string {
  const width = LINE_WIDTH - speaker.length - 4
  const lines = text
    .split('\n')
    .flatMap(line => line.match(new RegExp(`.{1,${width}}(?=\\s|$)|.{1,${width}}`, 'g')) ?? [''])
  const indented = lines.map((line, index) => `  ${index === 0 ? speaker : ' '.repeat(speaker.length)}  ${line.trim()}`)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is taken out.
  return indented.join('\n').replace(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/g, '\ufffd')
}
