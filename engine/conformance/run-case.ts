/** One case of the table on a backend and on the reference. */
import type { RunnerCapabilities } from '../backends/backend.ts'
import type { OpTable } from '../backends/ops.ts'
import { DEFINITION, flushToZero } from '../backends/reference/arithmetic.ts'
import { referenceOps, referenceOpsIn } from '../backends/reference/ops.ts'
import { OP_CASES, type OpCase, type OpName } from './cases.ts'
import { firstDifference, firstNormalDifference, type OpResult } from './compare.ts'

export const OP_NAMES = Object.keys(OP_CASES) as OpName[]

/** A case with the op that it is for. */
export interface RunnableCase extends Pick<OpCase<OpName>, 'name' | 'tokens' | 'isBeyondDomain'> {
  /** What the op gives. */
  run(ops: OpTable): Promise<OpResult[]>
}

const runnable = <Op extends OpName>(
  cases: OpCase<Op>[],
  run: (ops: OpTable, args: ReturnType<OpCase<Op>['make']>) => ReturnType<RunnableCase['run']>,
): RunnableCase[] =>
  cases.map(({ name, tokens, isBeyondDomain, make }) => ({
    name,
    tokens,
    isBeyondDomain,
    run: ops => run(ops, make()),
  }))

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

type BackendArithmetic = RunnerCapabilities['arithmetic']

/** Whether the case says something about a backend of this arithmetic. */
export const appliesTo = ({ isBeyondDomain }: RunnableCase, arithmetic: BackendArithmetic): boolean =>
  arithmetic === 'definition' || !isBeyondDomain

/** By case: the reference takes most of the time, and every backend asks for the same. */
const definitionResults = new WeakMap<RunnableCase, Promise<OpResult[]>>()
const expectedOf = (opCase: RunnableCase): Promise<OpResult[]> => {
  const known = definitionResults.get(opCase) ?? opCase.run(referenceOps)
  definitionResults.set(opCase, known)
  return known
}

/** What a graphics processor may compute: denormals or not, and the root of a norm or its neighbours. */
const GPU_TABLES: OpTable[] = [DEFINITION.round, flushToZero].flatMap(round =>
  ([0, -1, 1] as const).map(rootUlps => referenceOpsIn({ round, rootUlps })),
)

/**
 * null: equal bit for bit; else the first difference in words. Where denormals may be flushed, each token's results must be
 * those of one and the same arithmetic, among those that WGSL allows.
 */
export async function differenceFromReference(
  opCase: RunnableCase,
  ops: OpTable,
  arithmetic: BackendArithmetic,
): Promise<string | null> {
  const expected = await expectedOf(opCase)
  const actual = await opCase.run(ops)
  const difference = inWords(actual, expected, firstDifference)
  if (difference === null || arithmetic === 'definition') return difference
  const allowed = await Promise.all(GPU_TABLES.map(table => opCase.run(table)))
  for (let token = 0; token < opCase.tokens; token++) {
    const rowOf = (results: OpResult[]) => results.map(values => rowsOf(values, token, opCase.tokens))
    const row = rowOf(actual)
    if (allowed.every(results => inWords(row, rowOf(results), firstNormalDifference) !== null)) {
      return `token ${token}: ${inWords(row, rowOf(expected), firstNormalDifference)}`
    }
  }
  return null
}

function rowsOf(values: OpResult, token: number, tokens: number): OpResult {
  const width = values.length / tokens
  return values.subarray(token * width, (token + 1) * width)
}

function inWords(actual: OpResult[], expected: OpResult[], first: typeof firstDifference): string | null {
  for (const [i, values] of actual.entries()) {
    const right = expected[i]!
    const at = first(values, right)
    if (at >= 0) return `element ${at} of ${right.length} is ${values[at]}, not ${right[at]}`
  }
  return null
}
