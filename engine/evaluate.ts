/** The loss of a text: how well a model foresees each of its tokens. */

import type { CancelSignal, MaybePromise, YieldToEventLoop } from './engine-environment.ts'
import { cancelled, EngineError } from './errors.ts'
import { checkTokenIds } from './model/token-ids.ts'
import { chunksInTurns, readTokens } from './reading.ts'
import type { Sequences } from './sequences.ts'
import type { Turns } from './turns.ts'

export interface EvaluateOptions {
  /** Logits [tokenCount, V] from `firstToken` on, in order; a view that is only valid until the callback's end. */
  onLogits?: (logits: Float32Array, firstToken: number, tokenCount: number) => MaybePromise<void>
  onProgress?(tokensDone: number, tokensTotal: number): void
  signal?: CancelSignal
}

export interface Evaluation {
  tokens: number
  /** Mean over the T - 1 predicted tokens; null for a single token. */
  lossNats: number | null
}

/** In turns of a chunk, so that sessions can go on meanwhile. Throws `invalid-argument`, `token-out-of-range`, `cancelled`. */
export async function evaluateTokens(
  tokens: readonly number[],
  options: EvaluateOptions,
  context: { sequences: Sequences; turns: Turns; yieldToEventLoop: YieldToEventLoop },
): Promise<Evaluation> {
  const { sequences } = context
  checkTokenIds(tokens, sequences.config.vocabularySize)
  if (tokens.length === 0) {
    throw new EngineError('invalid-argument', 'There is nothing to evaluate.', { expected: 'at least one token' })
  }
  const { signal } = options
  if (signal?.aborted) throw cancelled()
  const sequence = sequences.create()
  let totalNats = 0
  try {
    await readTokens(chunksInTurns(context, sequence, signal), tokens, {
      want: 'all',
      onLogits: async (logits, first, count) => {
        totalNats += lossSumNats(logits, count, tokens, first + 1)
        await options.onLogits?.(logits, first, count)
      },
      onProgress: done => options.onProgress?.(done, tokens.length),
      yieldToEventLoop: context.yieldToEventLoop,
      ...(signal && { signal }),
    })
  } finally {
    sequences.release(sequence)
  }
  return { tokens: tokens.length, lossNats: tokens.length > 1 ? totalNats / (tokens.length - 1) : null }
}

/** Sum of -log p(target) over rows of logits [count, V]; the target of row 0 is `tokens[firstTarget]`. In float64. */
export function lossSumNats(
  logits: Float32Array,
  count: number,
  tokens: ArrayLike<number>,
  firstTarget: number,
): number {
  const vocabularySize = logits.length / count
  let totalNats = 0
  for (let row = 0; row < count && firstTarget + row < tokens.length; row++) {
    const values = logits.subarray(row * vocabularySize, (row + 1) * vocabularySize)
    let largest = Number.NEGATIVE_INFINITY
    for (const value of values) largest = Math.max(largest, value)
    let sum = 0
    for (const value of values) sum += Math.exp(value - largest)
    totalNats += Math.log(sum) + largest - values[tokens[firstTarget + row]]
  }
  return totalNats
}
