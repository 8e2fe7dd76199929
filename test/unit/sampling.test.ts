import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { samplingSchema } from '../../contract/words/sampling.ts'
import { deviceSampling } from '../../engine/sampling/device-sampling.ts'
import { createSampler, type SamplingOptions } from '../../engine/sampling/sampler.ts'
import { createRandom } from '../../engine/seeded-random.ts'

const logits = (...values: number[]): Float32Array => Float32Array.from(values)

/** How often each token is drawn. */
function histogram(options: SamplingOptions, from: Float32Array, draws: number): number[] {
  const sampler = createSampler({ seed: 42, ...options }, from.length)
  const counts = new Array<number>(from.length).fill(0)
  for (let i = 0; i < draws; i++) counts[sampler.sample(from)] += 1
  return counts
}

const softmax = (values: ArrayLike<number>, temperature: number): number[] => {
  const best = Math.max(...Array.from(values))
  const weights = Array.from(values, value => Math.exp((value - best) / temperature))
  const total = weights.reduce((a, b) => a + b, 0)
  return weights.map(weight => weight / total)
}

/** The definition, slowly: sort, cut by top-k, top-p and min-p one after the other, renormalise. */
function expectedProbabilities(options: SamplingOptions, from: Float32Array): number[] {
  const probabilities = softmax(from, options.temperature ?? 1)
  let kept = probabilities.map((p, token) => ({ p, token })).sort((a, b) => b.p - a.p || a.token - b.token)
  if (options.topK) kept = kept.slice(0, options.topK)
  const mass = kept.reduce((sum, { p }) => sum + p, 0)
  if (options.topP !== undefined && options.topP < 1) {
    let reached = 0
    const end = kept.findIndex(({ p }) => (reached += p) >= options.topP! * mass)
    if (end >= 0) kept = kept.slice(0, end + 1)
  }
  kept = kept.filter(({ p }) => p >= (options.minP ?? 0) * kept[0].p)
  const total = kept.reduce((sum, { p }) => sum + p, 0)
  const result = new Array<number>(from.length).fill(0)
  for (const { p, token } of kept) result[token] = p / total
  return result
}

/** Chi-square per degree of freedom: near 1 when the draws have this distribution, far above when not. */
function misfit(counts: number[], probabilities: number[]): number {
  const draws = counts.reduce((a, b) => a + b, 0)
  let sum = 0
  let degrees = -1
  let rareCount = 0
  let rareExpected = 0
  for (const [token, p] of probabilities.entries()) {
    if (p === 0) expect(counts[token], `token ${token} must never be drawn`).toBe(0)
    if (p * draws < 5) {
      rareCount += counts[token]
      rareExpected += p * draws
      continue
    }
    sum += (counts[token] - p * draws) ** 2 / (p * draws)
    degrees += 1
  }
  if (rareExpected >= 5) {
    sum += (rareCount - rareExpected) ** 2 / rareExpected
    degrees += 1
  }
  return degrees > 0 ? sum / degrees : 0
}

describe('greedy choice', () => {
  it('takes the likeliest token, of equals the lowest id', () => {
    expect(createSampler({}, 4).sample(logits(1, 3, 3, 2))).toBe(1)
    expect(createSampler({ temperature: 0, topK: 2, topP: 0.1 }, 5).sample(logits(-5, -4, -3, -2, -1))).toBe(4)
    expect(createSampler({}, 3).sample(logits(Number.NEGATIVE_INFINITY, -1e30, -2e30))).toBe(1)
  })

  it('leaves the logits as they are', () => {
    const given = logits(1, 2, 3, 4, 5)
    createSampler({ repetitionPenalty: 2, logitBias: [[0, 100]] }, 5).sample(given)
    expect(given).toEqual(logits(1, 2, 3, 4, 5))
  })
})

describe('the distribution of draws', () => {
  const random = createRandom(9)
  const spread = Float32Array.from({ length: 60 }, () => 8 * random() - 4)
  const flat = Float32Array.from({ length: 300 }, () => 0.2 * random())
  const tied = Float32Array.from({ length: 50 }, (_, token) => token % 3)
  const far = logits(0, -200, -30, -1, -41, -2)

  it.each<[string, SamplingOptions]>([
    ['temperature', { temperature: 1 }],
    ['a low temperature', { temperature: 0.3 }],
    ['a high temperature', { temperature: 5 }],
    ['top-k', { temperature: 1, topK: 7 }],
    ['a top-k above the vocabulary', { temperature: 1, topK: 10_000 }],
    ['top-p', { temperature: 1, topP: 0.8 }],
    ['a tiny top-p', { temperature: 1, topP: 1e-9 }],
    ['min-p', { temperature: 1.5, minP: 0.1 }],
    ['top-p and min-p', { temperature: 2, topP: 0.9, minP: 0.05 }],
    ['top-k, top-p and min-p', { temperature: 1.3, topK: 20, topP: 0.9, minP: 0.08 }],
  ])('follows the definition with %s', (_, options) => {
    for (const from of [spread, flat, tied, far]) {
      const counts = histogram(options, from, 20_000)
      expect(misfit(counts, expectedProbabilities(options, from))).toBeLessThan(1.6)
    }
  })

  it('would notice a wrong temperature', () => {
    expect(misfit(histogram({ temperature: 1.1 }, spread, 20_000), softmax(spread, 1))).toBeGreaterThan(3)
  })
})

describe('options at the ends of their ranges', () => {
  const from = logits(1, 2 ** 59, 3, -(2 ** 59), 2 ** 59 + 2 ** 40)

  it.each([5e-324, 1e-320, 1e-306, 1e-39, 1e-20])('temperature %d is greedy, under any filter', temperature => {
    for (const filter of [{}, { topK: 2 }, { topP: 0.5 }, { minP: 0.1 }, { topK: 3, topP: 5e-324, minP: 5e-324 }]) {
      expect(histogram({ temperature, ...filter }, from, 20)).toEqual([0, 0, 0, 0, 20])
      expect(deviceSampling({ temperature, ...filter }, 1, 5, { maxPenaltyWindow: 256 })?.(0, []).temperature).toBe(0)
    }
  })

  it('just above, the likeliest token is still the one drawn', () => {
    expect(histogram({ temperature: 1e-18, topK: 2 }, from, 20)).toEqual([0, 0, 0, 0, 20])
    expect(histogram({ temperature: 1e-9 }, logits(1, 1 + 2 ** -20), 20)).toEqual([0, 20])
  })

  it.each([5e-324, 1e-39, 100])('repetition penalty %d keeps the order of logits', repetitionPenalty => {
    const sampler = createSampler({ repetitionPenalty }, 5)
    for (const token of [0, 1, 4]) sampler.accept(token)
    // Divided by next to nothing, the largest is still the largest; divided by 100, it is so here too.
    expect(sampler.sample(from)).toBe(4)
    const onDevice = deviceSampling({ repetitionPenalty }, 1, 5, { maxPenaltyWindow: 256 })?.(0, [])
    expect(Number.isFinite(Math.fround(2 ** 60 / (onDevice?.penalties?.repetition ?? 0)))).toBe(true)
  })
})

describe('penalties', () => {
  const given = logits(2, -2, 1, 0)

  it('divide or multiply by the repetition penalty, and subtract presence and frequency', () => {
    // 2 / 2 - 0.1 - 0.2 x 3 = 0.3 and -2 x 2 - 0.1 - 0.2 = -4.3; the untouched 1 wins.
    const sampler = createSampler({ repetitionPenalty: 2, presencePenalty: 0.1, frequencyPenalty: 0.2 }, 4)
    for (const token of [0, 0, 0, 1]) sampler.accept(token)
    expect(sampler.sample(given)).toBe(2)
    // Of 2 / 2 - 0.1 - 0.2 = 0.7 it would not be if it had come only once and 1 were 0.6.
    const once = createSampler({ repetitionPenalty: 2, presencePenalty: 0.1, frequencyPenalty: 0.2 }, 4)
    once.accept(0)
    expect(once.sample(logits(2, -2, 0.6, 0))).toBe(0)
    expect(once.sample(logits(2, -2, 0.8, 0))).toBe(2)
  })

  it('look at the window only', () => {
    const sampler = createSampler({ presencePenalty: 5, penaltyWindow: 2 }, 4)
    const chosen = (): number => sampler.sample(given)
    sampler.accept(0)
    expect(chosen()).toBe(2)
    sampler.accept(2)
    expect(chosen()).toBe(3)
    sampler.accept(1)
    expect(chosen()).toBe(0)
  })

  it('look at everything when the window is 0', () => {
    const sampler = createSampler({ presencePenalty: 5, penaltyWindow: 0 }, 4)
    sampler.accept(0)
    for (let i = 0; i < 1000; i++) sampler.accept(1)
    expect(sampler.sample(given)).toBe(2)
  })
})

describe('logit bias', () => {
  it('adds, bans and forces', () => {
    expect(createSampler({ logitBias: [[2, 5]] }, 3).sample(logits(4, 0, 0))).toBe(2)
    expect(createSampler({ logitBias: [[0, -100]] }, 2).sample(logits(1000, 0))).toBe(1)
    expect(histogram({ temperature: 100, logitBias: [[0, -100]] }, logits(9, 0, 0), 2000)[0]).toBe(0)
    expect(
      createSampler({ temperature: 1, logitBias: [[1, Number.POSITIVE_INFINITY]] }, 3).sample(logits(99, 0, 0)),
    ).toBe(1)
  })

  it('cannot ban every token', () => {
    const sampler = createSampler(
      {
        logitBias: [
          [0, -100],
          [1, Number.NEGATIVE_INFINITY],
        ],
      },
      2,
    )
    expect(() => sampler.sample(logits(1, 2))).toThrow(expect.objectContaining({ code: 'sampling-invalid' }))
  })
})

describe('the seed', () => {
  const random = createRandom(1)
  const sets = Array.from({ length: 8 }, () => Float32Array.from({ length: 100 }, () => 4 * random()))
  const text = (options: SamplingOptions, randomSeed?: () => number): number[] => {
    const sampler = createSampler({ temperature: 1, ...options }, 100, randomSeed)
    return Array.from({ length: 200 }, (_, i) => sampler.sample(sets[i % 8]))
  }

  it('gives the same tokens again, and another seed gives others', () => {
    expect(text({ seed: 7 })).toEqual(text({ seed: 7 }))
    expect(text({ seed: 7 })).not.toEqual(text({ seed: 8 }))
    expect(text({ seed: 7 })).not.toEqual(text({ seed: 7 + 2 ** 32 }))
    expect(text({ seed: 0 }).filter((token, i, all) => token === all[0] && i > 0).length).toBeLessThan(50)
  })

  it('is drawn where none is given, and told', () => {
    const sampler = createSampler({ temperature: 1 }, 100, () => 123)
    expect(sampler.seed).toBe(123)
    expect(text({}, () => 123)).toEqual(text({ seed: 123 }))
    expect(createSampler({}, 2).seed).toBeGreaterThanOrEqual(0)
  })
})

describe('the state', () => {
  const random = createRandom(2)
  const sets = Array.from({ length: 8 }, () => Float32Array.from({ length: 50 }, () => 3 * random()))
  const run = (sampler: ReturnType<typeof createSampler>, first: number, count: number): number[] =>
    Array.from({ length: count }, (_, i) => {
      const token = sampler.sample(sets[(first + i) % 8])
      sampler.accept(token)
      return token
    })

  it.each([0, 5, 256])('goes on as if never interrupted (window %d)', penaltyWindow => {
    const options = { temperature: 1, seed: 3, repetitionPenalty: 1.3, frequencyPenalty: 0.2, penaltyWindow }
    const whole = run(createSampler(options, 50), 0, 60)
    const first = createSampler(options, 50)
    run(first, 0, 25)
    const second = createSampler({ ...options, seed: 99 }, 50)
    second.importState(JSON.parse(JSON.stringify(first.exportState())))
    expect(run(second, 25, 35)).toEqual(whole.slice(25))
  })

  it('is checked', () => {
    const sampler = createSampler({ temperature: 1, repetitionPenalty: 2, seed: 1 }, 10)
    const corrupt = expect.objectContaining({ code: 'state-corrupt' })
    expect(() => sampler.importState({ rng: [1, 2, 3], history: [] })).toThrow(corrupt)
    expect(() => sampler.importState({ rng: [0, 0, 0, 0], history: [] })).toThrow(corrupt)
    expect(() => sampler.importState({ rng: [1, 2, 3, 2 ** 32], history: [] })).toThrow(corrupt)
    expect(() => sampler.importState({ rng: [1, 2, 3, 4], history: [10] })).toThrow(corrupt)
  })
})

describe('what is refused', () => {
  it.each<[string, SamplingOptions]>([
    ['a negative temperature', { temperature: -1 }],
    ['a temperature that is no number', { temperature: Number.NaN }],
    ['half a token for top-k', { topK: 0.5 }],
    ['a top-p above 1', { topP: 1.1 }],
    ['a negative min-p', { minP: -0.1 }],
    ['a repetition penalty of 0', { repetitionPenalty: 0 }],
    ['a seed past 2^53', { seed: 2 ** 53 }],
    ['a bias on a token that does not exist', { logitBias: [[10, 1]] }],
    ['a bias that is no number', { logitBias: [[1, Number.NaN]] }],
    ['an empty stop string', { stop: [''] }],
    ['half a character as a stop string', { stop: ['\ud83d'] }],
  ])('%s', (_, options) => {
    expect(() => createSampler(options, 10)).toThrow(expect.objectContaining({ code: 'sampling-invalid' }))
  })

  it('logits that are not finite, of the wrong length, and tokens outside', () => {
    for (const temperature of [0, 1]) {
      const sampler = createSampler({ temperature }, 6)
      const notFinite = expect.objectContaining({ code: 'logits-not-finite' })
      expect(() => sampler.sample(logits(0, 1, 2, Number.NaN, 4, 5))).toThrow(notFinite)
      expect(() => sampler.sample(logits(0, 1, 2, 3, 4, Number.NaN))).toThrow(notFinite)
      expect(() => sampler.sample(logits(0, Number.POSITIVE_INFINITY, 2, 3, 4, 5))).toThrow(notFinite)
      expect(() => sampler.sample(logits(1, 2))).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
      expect(() => sampler.accept(6)).toThrow(expect.objectContaining({ code: 'token-out-of-range' }))
    }
  })
})

describe('sampling options', () => {
  /** Whether a value is taken, with token ids that the vocabulary has. */
  const isTaken = (options: Record<string, unknown>): boolean => {
    try {
      createSampler(options as SamplingOptions, 8)
      return true
    } catch (error) {
      expect(error).toMatchObject({ code: 'sampling-invalid' })
      return false
    }
  }
  const numbers = [
    -101,
    -100,
    -1,
    -1e-9,
    0,
    1e-320,
    0.5,
    1,
    1 + 1e-9,
    64,
    100,
    101,
    2 ** 20,
    2 ** 53,
    Number.NaN,
    Infinity,
  ]
  const texts = [[], ['a'], [''], [7], Array(64).fill('s'), Array(65).fill('s')]
  const biases = [[], [[0, -100]], [[-1, 0]], [[0.5, 0]], [[0, Number.NaN]], [[0]], [[0, '1']]]

  // The engine imports nothing of the contract, so the set is written down in both: they are held together here.
  it.each(Object.keys(samplingSchema.entries))('the engine and the contract take the same values of %s', field => {
    for (const value of [...numbers, ...texts, ...biases, 'a', null, true, undefined]) {
      const options = { [field]: value }
      expect([options, isTaken(options)]).toEqual([options, v.is(samplingSchema, options)])
    }
  })
})
