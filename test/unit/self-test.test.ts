/** The self-test itself: a right backend passes, and one that is wrong somewhere is told where. */
import { describe, expect, it } from 'vitest'
import type { Backend } from '../../engine/backends/backend.ts'
import { createReferenceBackend } from '../../engine/backends/reference/backend.ts'
import { EngineError } from '../../engine/errors.ts'
import { runSelfTest, type SelfTestCheck } from '../../engine/self-test.ts'
import { nodeEngineHost } from '../../main/engine-process/engine-host.ts'
import { randomModel } from '../conformance/random-model.ts'

const MODEL = randomModel({ seed: 0x5e1f })

async function test(backend: Backend, signal = { aborted: false }) {
  const checks: SelfTestCheck[] = []
  const fractions: number[] = []
  const passed = await runSelfTest(backend, MODEL, {
    onProgress: (_, fraction) => fractions.push(fraction),
    onCheck: check => checks.push(check),
    yieldToHost: nodeEngineHost.yieldToHost,
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
    expect(checks.length).toBe(10)
    expect(checks.reduce((sum, { cases }) => sum + cases, 0)).toBeGreaterThan(150)
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b))
  })

  it('finds one wrong number, and an operation that fails', async () => {
    const right = createReferenceBackend()
    const wrong: Backend = {
      ...right,
      ops: {
        ...right.ops,
        glu: async (gateUp, size) => {
          const out = (await right.ops.glu(gateUp, size)).slice()
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
    expect(failed).toEqual([`logits after 16 tokens of ${MODEL.name}`, 'greedy tokens', 'recurrent state after them'])
  })

  it('ends when cancelled', async () => {
    await expect(test(createReferenceBackend(), { aborted: true })).rejects.toMatchObject({ code: 'cancelled' })
  })
})
