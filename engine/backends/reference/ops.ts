/** The table of single operations: the definition that every backend is held against. */
import type { OpTable } from '../ops.ts'
import { absmaxQuantize } from './absmax-quantize.ts'
import type { Arithmetic } from './arithmetic.ts'
import { bitLinear } from './bitlinear.ts'
import { glu } from './glu.ts'
import { mlgru } from './mlgru.ts'
import { mlgruOutput } from './mlgru-output.ts'
import { rmsNorm } from './rms-norm.ts'
import { ternaryMatmul } from './ternary-matmul.ts'

export const referenceOps = {
  rmsNorm,
  absmaxQuantize,
  ternaryMatmul,
  bitLinear,
  mlgru,
  mlgruOutput,
  glu,
} satisfies OpTable

/**
 * The table in another arithmetic: operands and results flushed where it flushes. Quantisation and integer products have no
 * result that it could change.
 */
export const referenceOpsIn = (arithmetic: Arithmetic): OpTable => {
  const flush = (values: Float32Array) => values.map(arithmetic.round)
  return {
    ...referenceOps,
    rmsNorm: (x, weight, epsilon) => rmsNorm(flush(x), flush(weight), epsilon, arithmetic),
    bitLinear: (x, { matrix, inNorm }) => bitLinear(flush(x), { matrix, inNorm: flush(inNorm) }, arithmetic),
    mlgru: ({ input, forget, lowerBound, state }) =>
      mlgru(
        {
          input: flush(input),
          forget: flush(forget),
          lowerBound: lowerBound === null ? null : flush(lowerBound),
          state: flush(state),
        },
        arithmetic,
      ),
    mlgruOutput: (g, h, outNorm, epsilon) => mlgruOutput(flush(g), flush(h), flush(outNorm), epsilon, arithmetic),
    glu: (gateUp, intermediateSize) => glu(flush(gateUp), intermediateSize, arithmetic),
  }
}
