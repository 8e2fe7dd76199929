/** The table of single operations: the definition that every backend is held against. */
import type { OpTable } from '../ops.ts'
import { absmaxQuantize } from './absmax-quantize.ts'
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
