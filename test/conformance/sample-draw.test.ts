/**
 * The sampler on the GPU against the one of the host: the same tokens where nothing is left to chance, the same odds where it
 * is, a sign when it cannot. The draws of one case are one submission, as many dispatches as draws.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DeviceSampling, MAX_DEVICE_PENALTY_WINDOW } from '../../engine/backends/backend.ts'
import { ASK_CPU, samplingWords } from '../../engine/backends/webgpu/device-sampling.ts'
import { Gpu } from '../../engine/backends/webgpu/gpu.ts'
import { padded, WORKGROUP_SIZE } from '../../engine/backends/webgpu/kernel-shapes.ts'
import { createSampler, type SamplingOptions } from '../../engine/sampling/sampler.ts'
import { createRandom, normal } from '../../engine/seeded-random.ts'
import { readShaders } from '../../main/engine-process/webgpu-device.ts'
import { noWebGpuReason, openTestDevice } from '../webgpu-backend.ts'

const RING = 1024
/** One for all cases: each compiles the shader anew. More than fit into the sampler's pool. */
const V = 1103
const NO_NUMBER = 0xffffffff
const OFF: DeviceSampling = { temperature: 1, topK: 0, topP: 1, minP: 0, penalties: null, seed: 7, drawn: 0 }

const NO_LIMITS = { maximumBindingBytes: Number.POSITIVE_INFINITY, maximumWorkgroupBytes: Number.POSITIVE_INFINITY }

let gpu: Gpu
beforeAll(async () => {
  if (noWebGpuReason !== null) return
  const features = { isPackedDot: false, isFused: false, subgroupSize: 0, workgroups: 8 }
  gpu = new Gpu(await openTestDevice(), await readShaders(), features, NO_LIMITS)
})
afterAll(() => {
  gpu?.device.destroy()
})

/** So many tokens drawn from the same logits, one after another. */
async function draw(logits: Float32Array, sampling: Partial<DeviceSampling>, draws: number): Promise<number[]> {
  const { uniform, counts, history } = samplingWords({ ...OFF, ...sampling }, V)
  return gpu.checked(async () => {
    const row = new Float32Array(padded(V))
    row.set(logits)
    const buffers = {
      sampling: gpu.bufferOf('sampling', uniform, 48, 0x48),
      logits: gpu.bufferOf('logits', row),
      step: gpu.bufferOf('step', new Uint32Array(4)),
      chosen: gpu.buffer('chosen', RING * 4),
      counts: gpu.bufferOf('counts', counts ?? new Uint32Array(V)),
      history: gpu.bufferOf('history', history ?? new Uint32Array(1), MAX_DEVICE_PENALTY_WINDOW * 4),
    }
    const kernel = await gpu.kernel('sample-draw', { WORKGROUP_SIZE, V, RING })
    const command = { kernel, bindGroup: kernel.bind(buffers), groups: [1, 1, 1] as const }
    const encoder = gpu.device.createCommandEncoder()
    gpu.encode(
      encoder,
      Array.from({ length: draws }, () => command),
    )
    gpu.submit(encoder)
    const chosen = new Uint32Array(await gpu.read(buffers.chosen, 0, draws * 4))
    for (const buffer of Object.values(buffers)) buffer.destroy()
    return [...chosen]
  })
}

const logitsOf = (seed: number, spread: number): Float32Array => {
  const random = createRandom(seed)
  return Float32Array.from({ length: V }, () => normal(random) * spread)
}

/** Probabilities by token, from the definition, in float64; tokens that are left out are missing. */
function odds(logits: Float32Array, { temperature, topK, topP, minP }: DeviceSampling): Map<number, number> {
  const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a] || a - b)
  const kept = topK > 0 ? order.slice(0, topK) : order
  const weights = kept.map(token => Math.exp((logits[token] - logits[order[0]]) / temperature))
  const total = weights.reduce((a, b) => a + b)
  let before = 0
  let end = 0
  while (end < kept.length && (end === 0 || (before < topP * total && weights[end] >= minP))) before += weights[end++]
  return new Map(kept.slice(0, end).map((token, i) => [token, weights[i] / before]))
}

describe.skipIf(noWebGpuReason !== null)('draws on the GPU', () => {
  const cases: [string, Partial<DeviceSampling>][] = [
    ['temperature alone', { temperature: 0.7 }],
    ['top-k', { topK: 40 }],
    ['top-k of 1', { topK: 1 }],
    ['top-k of many', { topK: 700, temperature: 2 }],
    ['top-k of more than there are', { topK: 5000, temperature: 2 }],
    ['top-p of nearly all', { topP: 0.999, temperature: 3 }],
    ['top-p', { topP: 0.9, temperature: 0.5 }],
    ['top-p of 0', { topP: 0 }],
    ['min-p', { minP: 0.1 }],
    ['top-p and min-p', { topP: 0.95, minP: 0.1, temperature: 0.4 }],
    ['all', { topK: 30, topP: 0.8, minP: 0.02, temperature: 1.3 }],
  ]
  it.each(cases)('%s', async (_, sampling) => {
    const logits = logitsOf(11, 3)
    const expected = odds(logits, { ...OFF, ...sampling })
    const draws = 500
    const seen = new Map<number, number>()
    for (const token of await draw(logits, sampling, draws)) seen.set(token, (seen.get(token) ?? 0) + 1)
    for (const token of seen.keys()) expect(expected.has(token), `token ${token} may be drawn`).toBe(true)
    for (const [token, probability] of expected) {
      // Five standard deviations: once in a million tokens.
      const bound = 5 * Math.sqrt(draws * probability * (1 - probability)) + 1e-9
      expect(Math.abs((seen.get(token) ?? 0) - draws * probability), `token ${token}`).toBeLessThanOrEqual(bound + 1)
    }
  })

  it('is the same for the same seed, another for another, and goes on where it stopped', async () => {
    const logits = logitsOf(12, 2)
    const first = await draw(logits, { topK: 40 }, 64)
    expect(await draw(logits, { topK: 40 }, 64)).toEqual(first)
    expect(await draw(logits, { topK: 40, seed: 8 }, 64)).not.toEqual(first)
    expect(await draw(logits, { topK: 40, drawn: 30 }, 34)).toEqual(first.slice(30))
  })

  it('asks the host when too many tokens are equally likely', async () => {
    expect(await draw(new Float32Array(V), { topP: 0.99 }, 1)).toEqual([ASK_CPU])
    expect(await draw(new Float32Array(V), { topK: 20 }, 1)).toEqual([ASK_CPU])
  })

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('says when a logit is %s', async value => {
    const logits = logitsOf(13, 2)
    logits[V - 1] = value
    expect(await draw(logits, { topK: 40 }, 1)).toEqual([NO_NUMBER])
    expect(await draw(logits, { temperature: 0, penalties: { ...PENALTIES } }, 1)).toEqual([NO_NUMBER])
  })
})

const PENALTIES = { repetition: 1, presence: 0, frequency: 0, window: 0, history: [] }

describe.skipIf(noWebGpuReason !== null)('penalties on the GPU', () => {
  const cases: [string, SamplingOptions, number][] = [
    ['repetition, all tokens', { repetitionPenalty: 1.3, penaltyWindow: 0 }, 0],
    ['repetition, a window', { repetitionPenalty: 1.3, penaltyWindow: 17 }, 5],
    ['presence', { presencePenalty: 0.4, penaltyWindow: 64 }, 64],
    ['frequency', { frequencyPenalty: 0.11, penaltyWindow: 33 }, 20],
    ['frequency below zero', { frequencyPenalty: -0.3, penaltyWindow: 8 }, 3],
    ['all', { repetitionPenalty: 0.8, presencePenalty: 0.25, frequencyPenalty: 0.125, penaltyWindow: 100 }, 10],
  ]
  it.each(cases)('%s: the tokens of the host', async (_, options, historyLength) => {
    const logits = logitsOf(21, 1.5)
    const host = createSampler({ ...options, temperature: 0 }, V)
    const history = Array.from({ length: historyLength }, (_, i) => (i * 37) % V)
    for (const token of history) host.accept(token)
    const expected = Array.from({ length: 200 }, () => {
      const token = host.sample(logits)
      host.accept(token)
      return token
    })
    const penalties = {
      repetition: options.repetitionPenalty ?? 1,
      presence: options.presencePenalty ?? 0,
      frequency: options.frequencyPenalty ?? 0,
      window: options.penaltyWindow ?? 0,
      history,
    }
    expect(await draw(logits, { temperature: 0, penalties }, 200)).toEqual(expected)
  })
})
