/**
 * A backend held against the reference on the machine where it is to work: every single operation over the case table,
 * then a model's logits, state and greedy tokens, and the rules of runners. The same table and rules as in the conformance
 * tests. Prints nothing.
 */
import { type Backend, GREEDY_ON_DEVICE, type Runner } from './backends/backend.ts'
import type { OpName, OpTable } from './backends/ops.ts'
import { createReferenceBackend } from './backends/reference/backend.ts'
import { firstBitDifference, firstNormalDifference } from './conformance/compare.ts'
import {
  appliesTo,
  differenceFromReference,
  OP_NAMES,
  RUNNABLE_CASES,
  type RunnableCase,
} from './conformance/run-case.ts'
import { brokenRule, largest, oracleOf, RUNNER_RULES } from './conformance/runner-rules.ts'
import type { CancelSignal, YieldToEventLoop } from './engine-environment.ts'
import { cancelled, EngineError } from './errors.ts'
import type { GgufModel } from './formats/gguf.ts'
import { chunksOf, readTokens } from './reading.ts'
import { createTokenizer } from './tokenizer/tokenizer.ts'

export interface SelfTestCheck {
  name: string
  cases: number
  /** A sentence each. */
  failures: string[]
  /** Why nothing was tried, in a few words; null: it was. */
  skipped: string | null
}

export interface SelfTestOptions {
  /** The cases of each operation; all of them by default. */
  table?: { [Op in OpName]: RunnableCase[] }
  onProgress(stage: string, fraction: number): void
  onCheck(check: SelfTestCheck): void
  yieldToEventLoop: YieldToEventLoop
  signal: CancelSignal
}

const GREEDY_TOKENS = 24
/** For the rules of runners, which read them many times. */
const RULE_TOKENS = 12
const PROMPT = 'Once upon a time there was a small bird who wanted to cross the sea.'

/** Whether all checks passed. Throws `cancelled`, and what makes the backend unusable. */
export async function runSelfTest(backend: Backend, model: GgufModel, options: SelfTestOptions): Promise<boolean> {
  const { onProgress, signal } = options
  const { table = RUNNABLE_CASES } = options
  const { arithmetic, ops } = backend.capabilities
  const total = OP_NAMES.reduce((sum, op) => sum + table[op].length, 0) + 2 * GREEDY_TOKENS + RUNNER_RULES.length
  let done = 0
  const next = async (stage: string): Promise<void> => {
    await options.yieldToEventLoop()
    if (signal.aborted) throw cancelled()
    onProgress(stage, done++ / total)
  }
  let passed = true
  const report = (check: SelfTestCheck): void => {
    if (check.failures.length > 0) passed = false
    options.onCheck(check)
  }

  for (const op of OP_NAMES) {
    if (arithmetic === 'own' || !ops.includes(op)) {
      const skipped = arithmetic === 'own' ? 'this backend has its own arithmetic' : 'this backend does not offer it'
      report({ name: op, cases: 0, failures: [], skipped })
      continue
    }
    const failures: string[] = []
    const cases = table[op].filter(opCase => appliesTo(opCase, arithmetic))
    for (const opCase of cases) {
      await next(op)
      const problem = await problemOf(() => differenceFromReference(opCase, backend.ops as OpTable, arithmetic))
      if (problem !== null) failures.push(`${opCase.name}: ${problem}`)
    }
    report({ name: op, cases: cases.length, failures, skipped: null })
  }
  await modelChecks(backend, model, () => next('model'), report)
  return passed
}

/** A difference or an error in words; errors that end everything are thrown on. */
async function problemOf(work: () => Promise<string | null>): Promise<string | null> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof EngineError && error.code !== 'internal' && error.code !== 'cancelled') {
      return `${error.message} ${error.actual ?? ''}`.trim()
    }
    throw error
  }
}

/** The model as a whole, and every rule of runners. Ends what it loads. */
async function modelChecks(
  backend: Backend,
  model: GgufModel,
  next: () => Promise<void>,
  report: (check: SelfTestCheck) => void,
): Promise<void> {
  const prompt = promptOf(model)
  const reference = await createReferenceBackend().load(model)
  const runner = await backend.load(model)
  try {
    const { arithmetic } = runner.capabilities
    const difference = arithmetic === 'definition' ? firstBitDifference : firstNormalDifference
    const check = (name: string, at: () => number): void => {
      if (arithmetic === 'own') report({ name, cases: 0, failures: [], skipped: 'this backend has its own arithmetic' })
      else report({ name, cases: 1, failures: at() < 0 ? [] : [`the first difference is at ${at()}`], skipped: null })
    }
    const expected = await greedy(reference, prompt, next)
    const actual = await greedy(runner, prompt, next)
    check(`logits after ${prompt.length} tokens of ${model.name}`, () => difference(actual.logits, expected.logits))
    check('greedy tokens', () => expected.tokens.findIndex((token, i) => token !== actual.tokens[i]))
    check('recurrent state after them', () => difference(actual.state, expected.state))
    const oracle = await oracleOf(reference, prompt.slice(0, RULE_TOKENS))
    for (const rule of RUNNER_RULES) {
      await next()
      if (rule.needs && !rule.needs(runner.capabilities)) {
        report({ name: rule.name, cases: 0, failures: [], skipped: 'this backend cannot do it' })
        continue
      }
      const broken = await brokenRule(rule, runner, oracle)
      report({ name: rule.name, cases: 1, failures: broken === null ? [] : [broken], skipped: null })
    }
  } finally {
    await runner.dispose()
    await reference.dispose()
  }
}

function promptOf({ tokenizerJson, config }: GgufModel): number[] {
  const { vocabularySize, bosTokenId } = config
  if (tokenizerJson === null) return Array.from({ length: 16 }, (_, t) => (t * 7919) % vocabularySize)
  const tokenizer = createTokenizer(JSON.parse(tokenizerJson), { vocabularySize })
  const ids = tokenizer.encode(PROMPT, { parseSpecial: false, continuation: false })
  return bosTokenId === null ? ids : [bosTokenId, ...ids]
}

/** Logits after the prompt, the tokens chosen from there on, and the state before the last of them. */
async function greedy(
  runner: Runner,
  prompt: number[],
  next: () => Promise<void>,
): Promise<{ logits: Float32Array; tokens: number[]; state: Float32Array }> {
  const state = await runner.createState()
  let logits = new Float32Array()
  await readTokens(chunksOf(runner, state), prompt, {
    want: 'last',
    onProgress: next,
    onLogits: row => {
      logits = row.slice()
    },
  })
  const tokens: number[] = []
  if (runner.capabilities.samples !== null) {
    await runner.decodeAhead!(state, logits, {
      sampling: GREEDY_ON_DEVICE,
      maxTokens: GREEDY_TOKENS,
      onToken: token => {
        tokens.push(token)
        return 'feed'
      },
    })
  } else {
    tokens.push(largest(logits))
    while (tokens.length < GREEDY_TOKENS) {
      await next()
      const [after] = await runner.decodeBatch([{ state, token: tokens[tokens.length - 1]! }])
      tokens.push(largest(after))
    }
  }
  const { values } = await runner.exportState(state)
  runner.releaseState(state)
  return { logits, tokens, state: values }
}
