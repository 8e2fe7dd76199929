/**
 * Next token from logits. The order of operations is that of Hugging Face transformers:
 * logit bias, repetition penalty, presence and frequency penalties, then greedy choice, or
 * temperature, top-k, top-p, min-p and a draw.
 * Stop strings and maxTokens are options of the same set, but work on text and counts: see stop-strings.ts, session.
 * Allocates nothing per token.
 */
import * as v from 'valibot'
import { EngineError } from '../errors.ts'
import { TokenHistory } from './penalties.ts'
import { Random } from './random.ts'

const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const fraction = v.pipe(v.number(), v.minValue(0), v.maxValue(1))
const penalty = v.pipe(v.number(), v.minValue(-100), v.maxValue(100))

/** All optional; what is left out is off. Fields and ranges as in the contract's samplingSchema. */
const samplingOptionsSchema = v.object({
  temperature: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(100))),
  topK: v.optional(whole),
  topP: v.optional(fraction),
  minP: v.optional(fraction),
  repetitionPenalty: v.optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(100))),
  presencePenalty: v.optional(penalty),
  frequencyPenalty: v.optional(penalty),
  penaltyWindow: v.optional(whole),
  seed: v.optional(whole),
  stop: v.optional(v.pipe(v.array(v.pipe(v.string(), v.minLength(1))), v.maxLength(64))),
  logitBias: v.optional(v.array(v.tuple([whole, v.number()]))),
  maxTokens: v.optional(whole),
})

export interface SamplingOptions {
  /** 0, the default, is greedy: the likeliest token, of equals the lowest id. */
  temperature?: number | undefined
  /** Keep the K likeliest tokens; 0 is off. */
  topK?: number | undefined
  /** Keep the likeliest tokens that together reach this probability; 1 is off. */
  topP?: number | undefined
  /** Keep tokens at least this likely relative to the likeliest; 0 is off. */
  minP?: number | undefined
  /** Divides positive and multiplies negative logits of tokens in the window; 1 is off. */
  repetitionPenalty?: number | undefined
  /** Taken from the logit of every token in the window. */
  presencePenalty?: number | undefined
  /** Taken from it as often as the token stands in the window. */
  frequencyPenalty?: number | undefined
  /** The last tokens that penalties look at; 0 is all; default 256. */
  penaltyWindow?: number | undefined
  seed?: number | undefined
  stop?: readonly string[] | undefined
  /** Token id to bias added to its logit. -100 and below bans the token, +Infinity forces it. */
  logitBias?: readonly (readonly [number, number])[] | undefined
  maxTokens?: number | undefined
}

/** Plain data: structured-cloneable and JSON-safe. */
interface SamplerState {
  /** Four 32-bit words of the generator. */
  rng: number[]
  /** The tokens that penalties look at, oldest first; kept whether or not penalties are on. */
  history: number[]
}

export interface Sampler {
  /** The seed in use: the given one, or the one drawn. */
  readonly seed: number
  /** A token id. Does not change `logits` [V]. Throws `invalid-argument` (length), `logits-not-finite`, `sampling-invalid`. */
  sample(logits: Float32Array): number
  /** Tells the penalties of a token in the text: new ones, and those of the prompt if they should count. */
  accept(token: number): void
  exportState(): SamplerState
  /** Throws `state-corrupt`. */
  importState(state: SamplerState): void
}

export const DEFAULT_PENALTY_WINDOW = 256
const MAX_PENALTY_WINDOW = 1 << 20
const BAN_BIAS = -100
/**
 * Logits lie within 2^60 (docs/model-format.md, "Numeric domain"), so no quotient by these leaves float32. At a temperature
 * below it only logits that are equal could share a draw.
 */
const MIN_TEMPERATURE = 2 ** -60
const MIN_REPETITION_PENALTY = 2 ** -60

/** The temperature to draw with, 0 where the likeliest token is the only choice; on every backend the same. */
export const effectiveTemperature = (temperature = 0): number => (temperature < MIN_TEMPERATURE ? 0 : temperature)
/** Smaller ones would make an infinity of every logit above 0. */
export const effectiveRepetitionPenalty = (penalty = 1): number => Math.max(MIN_REPETITION_PENALTY, penalty)

/** Throws `sampling-invalid`. */
function checkSamplingOptions(options: SamplingOptions, vocabularySize: number): void {
  const parsed = v.safeParse(samplingOptionsSchema, options)
  if (!parsed.success) {
    const issue = parsed.issues[0]
    throw samplingInvalid(`${v.getDotPath(issue) ?? 'options'}: ${issue.message}`)
  }
  for (const [token, bias] of options.logitBias ?? []) {
    if (token >= vocabularySize) throw samplingInvalid(`logitBias: there is no token ${token}`)
    if (Number.isNaN(bias)) throw samplingInvalid(`logitBias: the bias of token ${token} is not a number`)
  }
  if (options.stop?.some(stop => !stop.isWellFormed()))
    throw samplingInvalid('stop: a stop string is not valid Unicode')
}

const samplingInvalid = (message: string): EngineError =>
  new EngineError('sampling-invalid', `Sampling options are not valid: ${message}.`, {
    remedy: 'Correct the option or leave it out.',
  })

/** Throws `sampling-invalid`. `randomSeed` draws the seed (a whole number below 2^53) where the options give none. */
export function createSampler(
  options: SamplingOptions,
  vocabularySize: number,
  randomSeed: () => number = () => Math.floor(Math.random() * 0x1_0000_0000),
): Sampler {
  checkSamplingOptions(options, vocabularySize)
  return new LogitSampler(options, vocabularySize, options.seed ?? randomSeed())
}

const notFinite = (token: number, logit: number): EngineError =>
  new EngineError('logits-not-finite', `The model's logit of token ${token} is ${logit}.`, {
    expected: 'finite logits',
    actual: String(logit),
    remedy: 'Reload the model; if it happens again, its file is damaged.',
  })

/** Tokens this many nats below the best one have no measurable probability: exp(-40) is 4e-18. */
const NEGLIGIBLE_NATS = 40
/** Candidates are sorted into buckets by their distance from the best logit, so that few have to be ordered. */
const BUCKETS_PER_NAT = 4
const BUCKETS = NEGLIGIBLE_NATS * BUCKETS_PER_NAT
/** exp(-i / 256); between its points two terms of the series are exact to 1e-8. */
const STEPS_PER_NAT = 256
const EXP_TABLE = Float64Array.from({ length: NEGLIGIBLE_NATS * STEPS_PER_NAT + 1 }, (_, i) =>
  Math.exp(-i / STEPS_PER_NAT),
)

class LogitSampler implements Sampler {
  readonly seed: number
  readonly #vocabularySize: number
  readonly #temperature: number
  readonly #topK: number
  readonly #topP: number
  readonly #minP: number
  readonly #repetitionPenalty: number
  readonly #presencePenalty: number
  readonly #frequencyPenalty: number
  readonly #logitBias: readonly (readonly [number, number])[]
  readonly #penalises: boolean
  readonly #history: TokenHistory
  #random: Random
  /** [V] logits after bias and penalties. */
  readonly #logits: Float32Array
  /** [V] exp of the distance from the best logit after temperature: 1 for the best token. */
  readonly #weights: Float64Array
  /** Ids of candidates, a heap by logit. */
  readonly #heap: Int32Array
  /** The K likeliest ids in order. */
  readonly #best: Int32Array
  readonly #bucketCounts = new Uint32Array(BUCKETS + 1)
  readonly #bucketMasses = new Float64Array(BUCKETS)

  constructor(options: SamplingOptions, vocabularySize: number, seed: number) {
    this.seed = seed
    this.#vocabularySize = vocabularySize
    this.#temperature = effectiveTemperature(options.temperature)
    this.#topK = Math.min(options.topK ?? 0, vocabularySize)
    this.#topP = options.topP ?? 1
    this.#minP = options.minP ?? 0
    this.#repetitionPenalty = effectiveRepetitionPenalty(options.repetitionPenalty)
    this.#presencePenalty = options.presencePenalty ?? 0
    this.#frequencyPenalty = options.frequencyPenalty ?? 0
    this.#logitBias = options.logitBias ?? []
    this.#penalises = this.#repetitionPenalty !== 1 || this.#presencePenalty !== 0 || this.#frequencyPenalty !== 0
    const window = Math.min(options.penaltyWindow ?? DEFAULT_PENALTY_WINDOW, MAX_PENALTY_WINDOW)
    this.#history = new TokenHistory(vocabularySize, window)
    this.#random = Random.fromSeed(seed)
    this.#logits = new Float32Array(vocabularySize)
    const draws = this.#temperature > 0
    this.#weights = new Float64Array(draws ? vocabularySize : 0)
    this.#heap = new Int32Array(draws ? vocabularySize : 0)
    this.#best = new Int32Array(draws ? this.#topK : 0)
  }

  accept(token: number): void {
    if (!Number.isInteger(token) || token < 0 || token >= this.#vocabularySize) {
      throw new EngineError('token-out-of-range', `There is no token ${token}.`, {
        expected: `a whole number from 0 to ${this.#vocabularySize - 1}`,
        actual: String(token),
      })
    }
    this.#history.add(token)
  }

  exportState(): SamplerState {
    return { rng: this.#random.exportState(), history: this.#history.export() }
  }

  importState(state: SamplerState): void {
    const random = Random.fromState(state.rng)
    this.#history.import(state.history)
    this.#random = random
  }

  sample(logits: Float32Array): number {
    if (logits.length !== this.#vocabularySize) {
      throw new EngineError('invalid-argument', 'The logits do not fit the vocabulary.', {
        expected: `${this.#vocabularySize} values`,
        actual: `${logits.length} values`,
      })
    }
    this.#adjust(logits)
    const bestLogit = this.#bestLogit()
    if (this.#temperature === 0 || bestLogit === Number.POSITIVE_INFINITY) {
      const best = this.#logits.indexOf(bestLogit)
      if (logits[best] === Number.POSITIVE_INFINITY) throw notFinite(best, logits[best])
      return best
    }
    return this.#topK > 0 ? this.#drawFromTopK(bestLogit) : this.#drawFromAll(bestLogit)
  }

  /** Copies the logits with bias and penalties. */
  #adjust(logits: Float32Array): void {
    const adjusted = this.#logits
    adjusted.set(logits)
    for (let i = 0; i < this.#logitBias.length; i++) {
      const [token, bias] = this.#logitBias[i]
      const isFinal = bias <= BAN_BIAS || bias === Number.POSITIVE_INFINITY
      adjusted[token] = isFinal ? Math.sign(bias) * Number.POSITIVE_INFINITY : adjusted[token] + bias
    }
    if (!this.#penalises) return
    const history = this.#history
    for (let i = 0; i < history.distinctCount; i++) {
      const token = history.distinctToken(i)
      const logit = adjusted[token]
      const scaled = logit > 0 ? logit / this.#repetitionPenalty : logit * this.#repetitionPenalty
      adjusted[token] = scaled - this.#presencePenalty - this.#frequencyPenalty * history.countOf(token)
    }
  }

  /** Throws where the model gives no numbers or the options leave no token. */
  #bestLogit(): number {
    const logits = this.#logits
    const even = logits.length & ~3
    // Four chains of Math.max, which hands NaN on, take a quarter of one chain's time.
    let a = Number.NEGATIVE_INFINITY
    let b = a
    let c = a
    let d = a
    for (let token = 0; token < even; token += 4) {
      a = Math.max(a, logits[token])
      b = Math.max(b, logits[token + 1])
      c = Math.max(c, logits[token + 2])
      d = Math.max(d, logits[token + 3])
    }
    for (let token = even; token < logits.length; token++) a = Math.max(a, logits[token])
    const best = Math.max(a, b, c, d)
    if (Number.isNaN(best)) {
      const token = logits.findIndex(Number.isNaN)
      throw notFinite(token, logits[token])
    }
    if (best === Number.NEGATIVE_INFINITY) throw samplingInvalid('logitBias bans every token')
    return best
  }

  /** Temperature, top-p and min-p over the whole vocabulary; nothing is sorted but the tokens at top-p's edge. */
  #drawFromAll(bestLogit: number): number {
    const weights = this.#weights
    const total = this.#weigh(bestLogit)
    if (this.#topP === 1 && this.#minP === 0) return this.#draw(total, 0, -1)
    const minPMass = this.#minP === 0 ? total : this.#massFrom(this.#minP)
    const wanted = this.#topP * total
    if (this.#topP === 1 || minPMass <= wanted) return this.#draw(minPMass, this.#minP, -1)
    const masses = this.#fillBuckets(bestLogit)
    let bucket = 0
    let reached = 0
    while (bucket < BUCKETS - 1 && reached + masses[bucket] < wanted) reached += masses[bucket++]
    let heapLength = this.#gather(bestLogit, bucket, bucket)
    let last = 0
    do {
      last = this.#pop(heapLength--)
      reached += weights[last]
    } while (reached < wanted && heapLength > 0)
    return this.#draw(reached, 0, last)
  }

  // Several short loops: the compiler makes far better code of them than of one that does everything.

  /** Fills the weights and returns their sum. */
  #weigh(bestLogit: number): number {
    const logits = this.#logits
    const weights = this.#weights
    const scale = STEPS_PER_NAT / this.#temperature
    let total = 0
    for (let token = 0; token < logits.length; token++) {
      const distance = (bestLogit - logits[token]) * scale
      const weight = distance < NEGLIGIBLE_NATS * STEPS_PER_NAT ? expOfMinus(distance) : 0
      weights[token] = weight
      total += weight
    }
    return total
  }

  #massFrom(minWeight: number): number {
    const weights = this.#weights
    let mass = 0
    for (let token = 0; token < weights.length; token++) if (weights[token] >= minWeight) mass += weights[token]
    return mass
  }

  #fillBuckets(bestLogit: number): Float64Array {
    const logits = this.#logits
    const weights = this.#weights
    const masses = this.#bucketMasses
    const scale = BUCKETS_PER_NAT / this.#temperature
    masses.fill(0)
    for (let token = 0; token < logits.length; token++) {
      const distance = (bestLogit - logits[token]) * scale
      if (distance < BUCKETS) masses[distance | 0] += weights[token]
    }
    return masses
  }

  /**
   * Draws by weight, walking the ids: of tokens with at least `minWeight`, down to the token `last` in the order of
   * likelihood (-1: all). `mass` is their sum.
   */
  #draw(mass: number, minWeight: number, last: number): number {
    const logits = this.#logits
    const weights = this.#weights
    const lastLogit = last < 0 ? Number.NEGATIVE_INFINITY : logits[last]
    let left = this.#random.next() * mass
    let drawn = 0
    for (let token = 0; token < logits.length; token++) {
      const weight = weights[token]
      if (weight === 0 || weight < minWeight || logits[token] < lastLogit) continue
      if (logits[token] === lastLogit && token > last) continue
      drawn = token
      left -= weight
      if (left < 0) break
    }
    return drawn
  }

  /** Top-k, then temperature, top-p and min-p over the tokens left. */
  #drawFromTopK(bestLogit: number): number {
    const best = this.#best
    const weights = this.#weights
    let heapLength = this.#gather(bestLogit, 0, this.#topKBucket(bestLogit))
    const taken = Math.min(this.#topK, heapLength)
    const scale = STEPS_PER_NAT / this.#temperature
    let total = 0
    for (let i = 0; i < taken; i++) {
      best[i] = this.#pop(heapLength--)
      const distance = (bestLogit - this.#logits[best[i]]) * scale
      weights[i] = distance < NEGLIGIBLE_NATS * STEPS_PER_NAT ? expOfMinus(distance) : 0
      total += weights[i]
    }
    let count = 0
    let reached = 0
    while (count < taken && weights[count] >= this.#minP && (count === 0 || reached < this.#topP * total)) {
      reached += weights[count++]
    }
    let left = this.#random.next() * reached
    for (let i = 0; i < count; i++) {
      left -= weights[i]
      if (left < 0) return best[i]
    }
    return best[count - 1]
  }

  /** The bucket up to which there are at least K tokens; BUCKETS: all of them are needed. */
  #topKBucket(bestLogit: number): number {
    const logits = this.#logits
    const counts = this.#bucketCounts
    const scale = BUCKETS_PER_NAT / this.#temperature
    counts.fill(0)
    for (let token = 0; token < logits.length; token++) {
      const distance = (bestLogit - logits[token]) * scale
      counts[distance < BUCKETS ? distance | 0 : BUCKETS] += 1
    }
    let bucket = 0
    for (let count = counts[0]; count < this.#topK && bucket < BUCKETS; ) count += counts[++bucket]
    return bucket
  }

  /** Makes a heap of the tokens in buckets `first` to `last` (BUCKETS: everything not banned); returns its length. */
  #gather(bestLogit: number, first: number, last: number): number {
    const logits = this.#logits
    const heap = this.#heap
    const scale = BUCKETS_PER_NAT / this.#temperature
    const end = last === BUCKETS ? Number.POSITIVE_INFINITY : last + 1
    let length = 0
    for (let token = 0; token < logits.length; token++) {
      const distance = (bestLogit - logits[token]) * scale
      if (distance < end && distance >= first) heap[length++] = token
    }
    for (let parent = (length >> 1) - 1; parent >= 0; parent--) this.#siftDown(parent, length)
    return length
  }

  /** Takes the likeliest token off a heap of this length. */
  #pop(length: number): number {
    const heap = this.#heap
    const top = heap[0]
    heap[0] = heap[length - 1]
    this.#siftDown(0, length - 1)
    return top
  }

  #siftDown(start: number, length: number): void {
    const heap = this.#heap
    const token = heap[start]
    let parent = start
    for (let child = 2 * parent + 1; child < length; child = 2 * parent + 1) {
      if (child + 1 < length && this.#isLikelier(heap[child + 1], heap[child])) child += 1
      if (!this.#isLikelier(heap[child], token)) break
      heap[parent] = heap[child]
      parent = child
    }
    heap[parent] = token
  }

  #isLikelier(a: number, b: number): boolean {
    const difference = this.#logits[a] - this.#logits[b]
    return difference > 0 || (difference === 0 && a < b)
  }
}

/** exp(-distance / STEPS_PER_NAT) for a distance from 0 to below the table's end. */
function expOfMinus(distance: number): number {
  const index = distance | 0
  const rest = (distance - index) * (1 / STEPS_PER_NAT)
  return EXP_TABLE[index] * (1 - rest + 0.5 * rest * rest)
}
