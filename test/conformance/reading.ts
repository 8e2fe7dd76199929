/** A bare runner in tests: whole texts and single tokens. */
import type { Runner, StateHandle } from '../../engine/backends/backend.ts'
import { chunksOf, readTokens } from '../../engine/reading.ts'

/** The logits [V] after the last token, a copy. */
export async function readLast(
  runner: Runner,
  state: StateHandle,
  tokens: ArrayLike<number>,
): Promise<Float32Array<ArrayBuffer>> {
  let last = new Float32Array()
  await readTokens(chunksOf(runner, state), tokens, {
    want: 'last',
    onLogits: logits => {
      last = logits.slice()
    },
  })
  return last
}

/** The logits [T, V] of all tokens. */
export async function readAll(
  runner: Runner,
  state: StateHandle,
  tokens: ArrayLike<number>,
): Promise<Float32Array<ArrayBuffer>> {
  const V = runner.config.vocabularySize
  const all = new Float32Array(tokens.length * V)
  await readTokens(chunksOf(runner, state), tokens, {
    want: 'all',
    onLogits: (logits, firstToken) => all.set(logits, firstToken * V),
  })
  return all
}

/** The logits [V] after one token, a copy. */
export async function decodeOne(runner: Runner, state: StateHandle, token: number): Promise<Float32Array<ArrayBuffer>> {
  const [logits] = await runner.decodeBatch([{ state, token }])
  return logits.slice()
}
