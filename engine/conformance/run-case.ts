/** One case of the table on a backend and on the reference. */
import type { OpTable } from '../backends/ops.ts'
import { referenceOps } from '../backends/reference/ops.ts'
import { OP_CASES, type OpCase, type OpName } from './cases.ts'
import { firstBitDifference, firstNormalDifference } from './compare.ts'

export const OP_NAMES = Object.keys(OP_CASES) as OpName[]

/** A case with the op that it is for. */
export interface RunnableCase {
  name: string
  /** What the op gives. */
  run(ops: OpTable): Promise<(Float32Array | Int32Array | Int8Array)[]>
}

const runnable = <Op extends OpName>(
  cases: OpCase<Op>[],
  run: (ops: OpTable, args: ReturnType<OpCase<Op>['make']>) => ReturnType<RunnableCase['run']>,
): RunnableCase[] => cases.map(({ name, make }) => ({ name, run: ops => run(ops, make()) }))

export const RUNNABLE_CASES: { [Op in OpName]: RunnableCase[] } = {
  rmsNorm: runnable(OP_CASES.rmsNorm, async (ops, args) => [await ops.rmsNorm(...args)]),
  absmaxQuantize: runnable(OP_CASES.absmaxQuantize, async (ops, args) => {
    const { q, scales } = await ops.absmaxQuantize(...args)
    return [q, scales]
  }),
  ternaryMatmul: runnable(OP_CASES.ternaryMatmul, async (ops, args) => [await ops.ternaryMatmul(...args)]),
  bitLinear: runnable(OP_CASES.bitLinear, async (ops, args) => [await ops.bitLinear(...args)]),
  mlgru: runnable(OP_CASES.mlgru, async (ops, args) => [await ops.mlgru(...args)]),
  mlgruOutput: runnable(OP_CASES.mlgruOutput, async (ops, args) => [await ops.mlgruOutput(...args)]),
  glu: runnable(OP_CASES.glu, async (ops, args) => [await ops.glu(...args)]),
}

/**
 * null: equal bit for bit; else the first difference in words.
 * @param flushesDenormals numbers too small to be normal float32 may have become zero, which WGSL allows
 */
export async function differenceFromReference(
  { run }: RunnableCase,
  ops: OpTable,
  flushesDenormals: boolean,
): Promise<string | null> {
  const expected = await run(referenceOps)
  const actual = await run(ops)
  for (const [i, values] of actual.entries()) {
    const right = expected[i]!
    const byElement = flushesDenormals && values instanceof Float32Array && right instanceof Float32Array
    const first = byElement ? firstNormalDifference(values, right) : firstBitDifference(values, right)
    if (first < 0) continue
    const at = byElement ? first : Math.floor(first / right.BYTES_PER_ELEMENT)
    return `element ${at} of ${right.length} is ${values[at]}, not ${right[at]}`
  }
  return null
}
