/** How likely a model holds each of several continuations of one context: the context is read once, states branch from it. */

import type { CancelSignal, YieldToEventLoop } from './engine-environment.ts'
import { cancelled, EngineError } from './errors.ts'
import { lossSumNats } from './evaluate.ts'
import { checkTokenIds } from './model/token-ids.ts'
import { chunksInTurns, readTokens } from './reading.ts'
import type { Sequences } from './sequences.ts'
import type { Tokenizer } from './tokenizer/tokenizer.ts'
import type { Turns } from './turns.ts'

export interface ContinuationScore {
  tokens: number
  /** Natural logarithm of the probability of the whole continuation after the context; 0 or less. */
  logProbability: number
}

interface ScoreContext {
  sequences: Sequences
  turns: Turns
  yieldToEventLoop: YieldToEventLoop
}

/** Throws `invalid-argument` for an empty context or continuation, `token-out-of-range`, `cancelled`. */
export async function scoreContinuations(
  context: readonly number[],
  continuations: readonly (readonly number[])[],
  { signal }: { signal?: CancelSignal },
  engine: ScoreContext,
): Promise<ContinuationScore[]> {
  const { sequences } = engine
  for (const tokens of [context, ...continuations]) {
    checkTokenIds(tokens, sequences.config.vocabularySize)
    if (tokens.length === 0) throw nothingToScore()
  }
  if (signal?.aborted) throw cancelled()
  const sequence = sequences.create()
  const options = { yieldToEventLoop: engine.yieldToEventLoop, ...(signal && { signal }) }
  let next = new Float32Array(0)
  try {
    await readTokens(chunksInTurns(engine, sequence, signal), context, {
      ...options,
      want: 'last',
      onLogits: logits => {
        next = logits.slice()
      },
    })
    const scores: ContinuationScore[] = []
    for (const tokens of continuations) {
      let nats = lossSumNats(next, 1, tokens, 0)
      // The last token is only foretold: nothing reads it.
      const read = tokens.slice(0, -1)
      if (read.length > 0) {
        const branch = await engine.turns.exclusive(() => sequences.fork(sequence), signal)
        try {
          await readTokens(chunksInTurns(engine, branch, signal), read, {
            ...options,
            want: 'all',
            onLogits: (logits, first, count) => {
              nats += lossSumNats(logits, count, tokens, first + 1)
            },
          })
        } finally {
          sequences.release(branch)
        }
      }
      scores.push({ tokens: tokens.length, logProbability: -nats })
    }
    return scores
  } finally {
    sequences.release(sequence)
  }
}

export interface TokenPairs {
  context: number[]
  continuations: number[][]
}

/**
 * Token ids of a context and its continuations by the rule of lm-evaluation-harness: spaces at the context's end go over to the
 * continuations, both are encoded as one text, and what is longer than the context's own ids is the continuation.
 */
export function encodePairs(
  tokenizer: Tokenizer,
  context: string,
  continuations: readonly string[],
  firstToken: number | null,
): TokenPairs {
  const encode = (text: string): number[] => tokenizer.encode(text, { parseSpecial: false, continuation: false })
  const stem = context.trimEnd()
  const spaces = context.slice(stem.length)
  const stemTokens = encode(stem)
  const first = firstToken === null ? [] : [firstToken]
  return {
    context: [...first, ...stemTokens],
    continuations: continuations.map(text => encode(stem + spaces + text).slice(stemTokens.length)),
  }
}

const nothingToScore = (): EngineError =>
  new EngineError('invalid-argument', 'A continuation cannot be scored without a token before it and one in it.', {
    expected: 'a context and continuations of at least one token each',
    remedy: "Leave the item out, or begin contexts with the model's first token.",
  })
