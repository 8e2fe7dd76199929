/** The recurrence: one gated update of every channel for each token. */
import type { MlgruInput } from '../ops.ts'
import { sigmoid, silu } from './exp.ts'

const fround = Math.fround

/**
 * f = lb + (1 - lb) * sigmoid(forget);  h = f * h + silu(input) * (1 - f), from `state` [E] on over T tokens.
 * Returns every h [T, E]; without a lower bound f stays sigmoid(forget).
 */
export function mlgru({ input, forget, lowerBound, state }: MlgruInput): Float32Array {
  const width = state.length
  const hs = new Float32Array(input.length)
  let previous = state
  for (let start = 0; start < input.length; start += width) {
    for (let e = 0; e < width; e++) {
      let f = sigmoid(forget[start + e])
      if (lowerBound) f = fround(lowerBound[e] + fround(fround(1 - lowerBound[e]) * f))
      const c = fround(silu(input[start + e]) * fround(1 - f))
      hs[start + e] = fround(f * previous[e]) + c
    }
    previous = hs.subarray(start, start + width)
  }
  return hs
}
