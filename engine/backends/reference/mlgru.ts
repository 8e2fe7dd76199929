/** The recurrence: one gated update of every channel for each token. */
import type { MlgruInput } from '../ops.ts'
import { type Arithmetic, DEFINITION } from './arithmetic.ts'
import { sigmoid, silu } from './exp.ts'

/**
 * f = lb + (1 - lb) * sigmoid(forget);  h = f * h + silu(input) * (1 - f), from `state` [E] on over T tokens.
 * Returns every h [T, E]; without a lower bound f stays sigmoid(forget).
 */
export function mlgru(
  { input, forget, lowerBound, state }: MlgruInput,
  { round }: Arithmetic = DEFINITION,
): Float32Array {
  const width = state.length
  const hs = new Float32Array(input.length)
  let previous = state
  for (let start = 0; start < input.length; start += width) {
    for (let e = 0; e < width; e++) {
      let f = sigmoid(forget[start + e], round)
      if (lowerBound) f = round(lowerBound[e] + round(round(1 - lowerBound[e]) * f))
      const c = round(silu(input[start + e], round) * round(1 - f))
      hs[start + e] = round(round(f * previous[e]) + c)
    }
    previous = hs.subarray(start, start + width)
  }
  return hs
}
