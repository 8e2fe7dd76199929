/** Decoding several tokens ahead with sampling on the device, on every backend that can: held against single steps. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type Backend,
  type DeviceSampling,
  GREEDY_ON_DEVICE,
  type Runner,
  type SampledTokenUse,
  type StateHandle,
} from '../../engine/backends/backend.ts'
import { firstBitDifference } from '../../engine/conformance/compare.ts'
import { EngineError } from '../../engine/errors.ts'
import { noWebGpuReason } from '../webgpu-backend.ts'
import { WEBGPU, webgpu } from './backends.ts'
import { argMax } from './compare.ts'
import { randomModel } from './random-model.ts'
import { decodeOne, readLast } from './reading.ts'

const MODEL = randomModel({ seed: 0xdec0 })
const PROMPT = [5, 9, 2, 77]
const DRAW: DeviceSampling = { ...GREEDY_ON_DEVICE, temperature: 1.5, topK: 20, seed: 99 }

// A row that does not fit workgroup memory goes by way of the prefill kernels: as if this adapter had little of it.
const UNFUSED = webgpu(', unfused', { maximumWorkgroupBytes: 12 * 1024 })

describe.skipIf(noWebGpuReason !== null).each([WEBGPU, UNFUSED])('several tokens ahead on $name', ({ create }) => {
  let backend: Backend
  let runner: Runner
  beforeAll(async () => {
    backend = await create()
    runner = await backend.load(MODEL)
  })
  afterAll(async () => {
    await backend.dispose()
  })

  const begin = async (): Promise<{ state: StateHandle; logits: Float32Array }> => {
    const state = await runner.createState()
    return { state, logits: await readLast(runner, state, PROMPT) }
  }
  const values = async (state: StateHandle): Promise<Float32Array> => {
    const { values } = await runner.exportState(state)
    runner.releaseState(state)
    return values
  }

  interface Many {
    sampling?: DeviceSampling
    maxTokens?: number
    /** The use of the last token, when it is not maxTokens that ends. */
    endAfter?: number
    endWith?: SampledTokenUse
    signal?: { aborted: boolean }
  }
  const many = async (state: StateHandle, start: number | Float32Array, options: Many = {}): Promise<number[]> => {
    const tokens: number[] = []
    const told = await runner.decodeAhead!(state, start, {
      sampling: options.sampling ?? GREEDY_ON_DEVICE,
      maxTokens: options.maxTokens ?? 40,
      ...(options.signal && { signal: options.signal }),
      onToken: token => {
        tokens.push(token)
        return tokens.length === options.endAfter ? (options.endWith ?? 'keep') : 'feed'
      },
    })
    expect(told).toBe(tokens.length)
    return tokens
  }

  /** Greedy tokens one by one, and the states before each of them is fed. */
  const single = async (count: number): Promise<{ tokens: number[]; states: Float32Array[] }> => {
    let { state, logits } = await begin()
    const tokens: number[] = []
    const states: Float32Array[] = []
    for (let i = 0; i < count; i++) {
      states.push((await runner.exportState(state)).values)
      tokens.push(argMax(logits))
      logits = await decodeOne(runner, state, tokens[i])
    }
    runner.releaseState(state)
    return { tokens, states }
  }

  it('writes the tokens of single steps and leaves the state before the last', async () => {
    const expected = await single(40)
    for (const count of [1, 2, 3, 4, 5, 12, 13, 16, 17, 40]) {
      const fromLogits = await begin()
      expect(await many(fromLogits.state, fromLogits.logits, { maxTokens: count })).toEqual(
        expected.tokens.slice(0, count),
      )
      expect(firstBitDifference(await values(fromLogits.state), expected.states[count - 1]), `${count}`).toBe(-1)
      if (count === 40) continue
      const fromToken = await begin()
      expect(await many(fromToken.state, expected.tokens[0], { maxTokens: count })).toEqual(
        expected.tokens.slice(1, count + 1),
      )
      expect(firstBitDifference(await values(fromToken.state), expected.states[count]), `${count}`).toBe(-1)
    }
  })

  it('ends at any token, kept or dropped, whatever was computed beyond it', async () => {
    const expected = await single(24)
    for (const count of [1, 2, 4, 5, 7, 9, 16, 17, 22]) {
      for (const endWith of ['keep', 'drop'] as const) {
        const { state, logits } = await begin()
        await many(state, logits, { endAfter: count, endWith })
        const read = Math.max(0, endWith === 'keep' ? count - 1 : count - 2)
        expect(firstBitDifference(await values(state), expected.states[read]), `${endWith} ${count}`).toBe(-1)
        const other = await begin()
        await many(other.state, expected.tokens[0], { endAfter: count, endWith })
        const readThen = endWith === 'keep' ? count : count - 1
        expect(firstBitDifference(await values(other.state), expected.states[readThen]), `${endWith} ${count}`).toBe(-1)
      }
    }
  })

  it('ends at a cancel, and lets others work in between', async () => {
    const expected = await single(10)
    const { state, logits } = await begin()
    const signal = { aborted: false }
    const begun: number[] = []
    await runner.decodeAhead!(state, logits, {
      sampling: GREEDY_ON_DEVICE,
      maxTokens: 1000,
      signal,
      onToken: token => {
        signal.aborted = begun.push(token) === 6
        return 'feed'
      },
    })
    expect(begun).toEqual(expected.tokens.slice(0, 6))
    runner.releaseState((await begin()).state)
    expect(await many(state, begun[5], { maxTokens: 4 })).toEqual(expected.tokens.slice(6, 10))
    runner.releaseState(state)
  })

  it('draws the same tokens with the same seed, wherever it was interrupted', async () => {
    const sampling = DRAW
    const { state, logits } = await begin()
    const whole = await many(state, logits, { sampling })
    expect(new Set(whole).size).toBeGreaterThan(10)
    for (const first of [1, 7, 16]) {
      const other = await begin()
      const begun = await many(other.state, other.logits, { sampling, maxTokens: first })
      const rest = { sampling: { ...sampling, drawn: first }, maxTokens: 40 - first }
      expect([...begun, ...(await many(other.state, begun[first - 1], rest))]).toEqual(whole)
      runner.releaseState(other.state)
    }
    const another = await begin()
    expect(await many(another.state, another.logits, { sampling: { ...sampling, seed: 98 } })).not.toEqual(whole)
  })

  it('leaves a token to the host when too many are equally likely, and changes nothing then', async () => {
    const wide = await backend.load(randomModel({ seed: 0xa5c, config: { vocabularySize: 1300, layerCount: 1 } }))
    const state = await wide.createState()
    const logits = await readLast(wide, state, PROMPT)
    const before = (await wide.exportState(state)).values
    const sampling = { ...DRAW, topK: 0, topP: 0.9999, temperature: 1e6 }
    const onToken = (): SampledTokenUse => 'feed'
    for (const start of [logits, 5]) {
      expect(await wide.decodeAhead!(state, start, { sampling, maxTokens: 9, onToken })).toBe(0)
      expect(firstBitDifference((await wide.exportState(state)).values, before)).toBe(-1)
    }
    await wide.dispose()
  })

  it('refuses what it cannot do, before it begins', async () => {
    const { state, logits } = await begin()
    const codeOf = async (start: number | Float32Array, changes: Many): Promise<string> =>
      many(state, start, changes).then(
        () => 'no error',
        error => (error instanceof EngineError ? error.code : String(error)),
      )
    expect(await codeOf(97_000, {})).toBe('token-out-of-range')
    for (const wrong of [{ topK: 1.5 }, { topK: -1 }, { temperature: Number.NaN }, { seed: -1 }, { seed: 2 ** 32 }]) {
      expect(await codeOf(logits, { sampling: { ...GREEDY_ON_DEVICE, ...wrong } })).toBe('sampling-invalid')
    }
    expect(await codeOf(logits, { maxTokens: 0 })).toBe('sampling-invalid')
    expect(await codeOf(logits.fill(Number.NaN), {})).toBe('logits-not-finite')
    runner.releaseState(state)
  })
})
