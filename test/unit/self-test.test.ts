/** The self-test itself: a right backend passes, and one that is wrong somewhere is told where. */
import { describe, expect, it } from 'vitest'
import type { Backend, StateHandle } from '../../engine/backends/backend.ts'
import { createReferenceBackend } from '../../engine/backends/reference/backend.ts'
import { OP_NAMES, RUNNABLE_CASES, type RunnableCase } from '../../engine/conformance/run-case.ts'
import { RUNNER_RULES } from '../../engine/conformance/runner-rules.ts'
import { EngineError } from '../../engine/errors.ts'
import { runSelfTest, type SelfTestCheck } from '../../engine/self-test.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { randomModel } from '../conformance/random-model.ts'

const MODEL = randomModel({ seed: 0x5e1f })
/** Two small cases of each operation: the plumbing is the same for all. */
const TABLE = Object.fromEntries(
  OP_NAMES.map(op => [op, [RUNNABLE_CASES[op][0], op === 'glu' ? GLU_OF_63() : RUNNABLE_CASES[op][1]]]),
) as unknown as typeof RUNNABLE_CASES
function GLU_OF_63(): RunnableCase {
  return RUNNABLE_CASES.glu.find(({ name }) => name.includes('I=63 '))!
}

async function test(backend: Backend, signal = { aborted: false }) {
  const checks: SelfTestCheck[] = []
  const fractions: number[] = []
  const passed = await runSelfTest(backend, MODEL, {
    table: TABLE,
    onProgress: (_, fraction) => fractions.push(fraction),
    onCheck: check => checks.push(check),
    yieldToEventLoop: nodeEngineEnvironment.yieldToEventLoop,
    signal,
  })
  return {
    passed,
    checks,
    failed: checks.filter(({ failures }) => failures.length > 0).map(({ name }) => name),
    fractions,
  }
}

describe('the self-test', () => {
  it('passes the reference', async () => {
    const { passed, checks, fractions } = await test(createReferenceBackend())
    expect(passed).toBe(true)
    expect(checks.length).toBe(OP_NAMES.length + 3 + RUNNER_RULES.length)
    const names = checks.map(({ name }) => name)
    expect(names.slice(0, OP_NAMES.length)).toEqual(OP_NAMES)
    expect(names.slice(-RUNNER_RULES.length)).toEqual(RUNNER_RULES.map(({ name }) => name))
    expect(checks.slice(0, OP_NAMES.length).map(({ cases }) => cases)).toEqual(OP_NAMES.map(() => 2))
    // It has one state a call, none on a device, and samples nothing.
    expect(checks.filter(({ skipped }) => skipped !== null).map(({ name }) => name)).toEqual([
      'a batch computes what each computes alone',
      'more states than fit are refused, and the others live on',
      'running ahead writes what single steps choose',
    ])
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b))
  })

  it('finds one wrong number, and an operation that fails', async () => {
    const right = createReferenceBackend()
    const wrong: Backend = {
      ...right,
      ops: {
        ...right.ops,
        glu: async (gateUp, size) => {
          const out = (await right.ops.glu!(gateUp, size)).slice()
          if (size === 63) out[out.length - 1] += 1
          return out
        },
        rmsNorm: () => {
          throw new EngineError('backend-failed', 'The shader does not compile.', { actual: 'line 3' })
        },
      },
    }
    const { passed, failed, checks } = await test(wrong)
    expect(passed).toBe(false)
    expect(failed).toEqual(['rmsNorm', 'glu'])
    expect(checks[0]!.failures[0]).toContain('The shader does not compile. line 3')
    expect(checks.find(({ name }) => name === 'glu')!.failures[0]).toMatch(/^glu .*: element 188 of 189 is .*, not /)
  })

  it('finds a model that computes something else', async () => {
    const right = createReferenceBackend()
    const other = randomModel({ seed: 0xbad })
    const { passed, failed } = await test({ ...right, load: () => right.load(other) })
    expect(passed).toBe(false)
    expect(failed).toEqual([
      `logits after 16 tokens of ${MODEL.name}`,
      'greedy tokens',
      'recurrent state after them',
      'chunks of any size compute what single tokens do, and what the reference does',
    ])
  })

  it('lists what a backend does not offer as skipped', async () => {
    const right = createReferenceBackend()
    const { bitLinear } = right.ops
    const { passed, checks } = await test({
      ...right,
      capabilities: { ...right.capabilities, ops: ['bitLinear'] },
      ops: { bitLinear: bitLinear! },
    })
    expect(passed).toBe(true)
    for (const { name, cases, skipped } of checks.slice(0, OP_NAMES.length)) {
      if (name === 'bitLinear') expect({ cases, skipped }).toEqual({ cases: 2, skipped: null })
      else expect({ cases, skipped }).toEqual({ cases: 0, skipped: 'this backend does not offer it' })
    }
  })

  it('finds a runner that keeps something of a state it released', async () => {
    const right = createReferenceBackend()
    const { failed } = await test({
      ...right,
      load: async (...args) => {
        const runner = await right.load(...args)
        const { exportState } = runner
        return Object.assign(runner, {
          exportState: async (state: StateHandle) => {
            const portable = await exportState.call(runner, state)
            if (portable.values.every(value => value === 0)) portable.values[3] = 1
            return portable
          },
        })
      },
    })
    expect(failed).toEqual(['a fresh state is zero, in a used place too'])
  })

  it('ends when cancelled', async () => {
    await expect(test(createReferenceBackend(), { aborted: true })).rejects.toMatchObject({ code: 'cancelled' })
  })
})
