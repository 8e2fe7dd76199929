/**
 * Next token from logits.
 */
import { EngineError } from '../errors.ts'

/** All optional; what is left out is off. Fields as in the contract's samplingSchema. */
export interface SamplingOptions {
  /** 0 is greedy; default 0. */
  temperature?: number | undefined
  /** 0 is off. */
  topK?: number | undefined
  /** 1 is off. */
  topP?: number | undefined
  /** 0 is off. */
  minP?: number | undefined
  /** 1 is off. */
  repetitionPenalty?: number | undefined
  presencePenalty?: number | undefined
  frequencyPenalty?: number | undefined
  /** The last tokens that penalties look at; 0 is all. */
  penaltyWindow?: number | undefined
  seed?: number | undefined
  stop?: readonly string[] | undefined
  /** Token id to bias added to its logit. */
  logitBias?: readonly (readonly [number, number])[] | undefined
  maxTokens?: number | undefined
}

/** Plain data: structured-cloneable and JSON-safe. */
export interface SamplerState {
  /** Four 32-bit words of the generator. */
  rng: number[]
  /** Accepted tokens that penalties still look at, oldest first. */
  history: number[]
}

export interface Sampler {
  /** The seed in use: the given one, or the one drawn. */
  readonly seed: number
  /** A token id. Does not change `logits`. Throws `sampling-invalid` on a wrong length, `tensor-not-finite` on NaN. */
  sample(logits: Float32Array): number
  /** Tells the penalties that a token was fed to the model, prompt tokens included if they should count. */
  accept(token: number): void
  exportState(): SamplerState
  /** Throws `state-corrupt`. */
  importState(state: SamplerState): void
}

/** Throws `sampling-invalid`. `randomSeed` draws the seed where the options give none. */
export function createSampler(
  _options: SamplingOptions,
  _vocabularySize: number,
  _randomSeed: () => number = () => Math.floor(Math.random() * 0x1_0000_0000),
): Sampler {
  throw new EngineError('internal', 'not yet written')
}
