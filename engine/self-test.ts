/**
 * A backend held against the reference on the machine where it is to work: every single operation over the case table,
 * then a model's logits, state and greedy tokens. The same table as in the conformance tests. Prints nothing.
 */
import { type Backend, GREEDY_ON_DEVICE, type Runner } from './backends/backend.ts'
import { createReferenceBackend } from './backends/reference/backend.ts'
import { firstNormalDifference } from './conformance/compare.ts'
import { differenceFromReference, OP_NAMES, RUNNABLE_CASES } from './conformance/run-case.ts'
import { cancelled, EngineError } from './errors.ts'
import type { GgufModel } from './formats/gguf.ts'
import type { CancelSignal, YieldToHost } from './host.ts'
import { createTokenizer } from './tokenizer/tokenizer.ts'

export interface SelfTestCheck {
  name: string
  cases: number
  /** A sentence each. */
  failures: string[]
}

export interface SelfTestOptions {
  onProgress(stage: string, fraction: number): void
  onCheck(check: SelfTestCheck): void
  yieldToHost: YieldToHost
  signal: CancelSignal
}

const GREEDY_TOKENS = 24
const PROMPT = 'Once upon a time there was a small bird who wanted to cross the sea.'

/** Whether all checks passed. Throws `cancelled`, and what makes the backend unusable. */
export async function runSelfTest(backend: Backend, model: GgufModel, options: SelfTestOptions): Promise<boolean> {
  const { onProgress, signal } = options
  const flushesDenormals = backend.info.name === 'webgpu'
  const total = OP_NAMES.reduce((sum, op) => sum + RUNNABLE_CASES[op].length, 0) + 2 * GREEDY_TOKENS
  let done = 0
  const next = async (stage: string): Promise<void> => {
    await options.yieldToHost()
    if (signal.aborted) throw cancelled()
    onProgress(stage, done++ / total)
  }
  let passed = true
  const report = (check: SelfTestCheck): void => {
    if (check.failures.length > 0) passed = false
    options.onCheck(check)
  }

  for (const op of OP_NAMES) {
    const failures: string[] = []
    for (const opCase of RUNNABLE_CASES[op]) {
      await next(op)
      const problem = await problemOf(() => differenceFromReference(opCase, backend.ops, flushesDenormals))
      if (problem !== null) failures.push(`${opCase.name}: ${problem}`)
    }
    report({ name: op, cases: RUNNABLE_CASES[op].length, failures })
  }
  for (const check of await modelChecks(backend, model, () => next('model'))) report(check)
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

async function modelChecks(backend: Backend, model: GgufModel, next: () => Promise<void>): Promise<SelfTestCheck[]> {
  const prompt = promptOf(model)
  const expected = await greedy(await createReferenceBackend().load(model), prompt, next)
  const actual = await greedy(await backend.load(model), prompt, next)
  const check = (name: string, difference: number): SelfTestCheck => ({
    name,
    cases: 1,
    failures: difference < 0 ? [] : [`the first difference is at ${difference}`],
  })
  return [
    check(
      `logits after ${prompt.length} tokens of ${model.name}`,
      firstNormalDifference(actual.logits, expected.logits),
    ),
    check(
      'greedy tokens',
      expected.tokens.findIndex((token, i) => token !== actual.tokens[i]),
    ),
    check('recurrent state after them', firstNormalDifference(actual.state, expected.state)),
  ]
}

function promptOf({ tokenizerJson, config }: GgufModel): number[] {
  const { vocabularySize, bosTokenId } = config
  if (tokenizerJson === null) return Array.from({ length: 16 }, (_, t) => (t * 7919) % vocabularySize)
  const tokenizer = createTokenizer(JSON.parse(tokenizerJson), { vocabularySize })
  const ids = tokenizer.encode(PROMPT, { parseSpecial: false, continuation: false })
  return bosTokenId === null ? ids : [bosTokenId, ...ids]
}

/** Logits after the prompt, the tokens chosen from there on, and the state before the last of them. Ends the runner. */
async function greedy(
  runner: Runner,
  prompt: number[],
  next: () => Promise<void>,
): Promise<{ logits: Float32Array; tokens: number[]; state: Float32Array }> {
  try {
    const state = runner.createState()
    const logits = (await runner.prefill(state, prompt, { logits: 'last', onProgress: next }))!.slice()
    const tokens: number[] = []
    if (runner.decodeMany) {
      await runner.decodeMany(state, logits, {
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
        tokens.push(largest(await runner.decode(state, tokens[tokens.length - 1]!)))
      }
    }
    return { logits, tokens, state: (await runner.exportState(state)).values }
  } finally {
    await runner.dispose()
  }
}

function largest(logits: Float32Array): number {
  let best = 0
  for (let token = 1; token < logits.length; token++) if (logits[token] > logits[best]) best = token
  return best
}
