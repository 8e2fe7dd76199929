/** Sampling options as a device takes them: all but logit biases and penalty windows that are too long for it. */
import type { DeviceSampling, DeviceSamplingLimits } from '../backends/backend.ts'
import {
  DEFAULT_PENALTY_WINDOW,
  effectiveRepetitionPenalty,
  effectiveTemperature,
  type SamplingOptions,
} from './sampler.ts'

/**
 * What to tell the device at a point of a reply: how many tokens the sequence has, by which the draws of a seed are
 * numbered, so that a seed gives the same text again however the reply was interrupted; and the tokens that penalties
 * look at, oldest first.
 */
export type SamplingAt = (tokenCount: number, history: readonly number[]) => DeviceSampling

/** null: the logits must come to the CPU. */
export function deviceSampling(
  options: SamplingOptions,
  seed: number,
  vocabularySize: number,
  { maxPenaltyWindow }: DeviceSamplingLimits,
): SamplingAt | null {
  const { topP = 1, minP = 0, logitBias = [], penaltyWindow: window = DEFAULT_PENALTY_WINDOW } = options
  const { presencePenalty: presence = 0, frequencyPenalty: frequency = 0 } = options
  const temperature = effectiveTemperature(options.temperature)
  const repetition = effectiveRepetitionPenalty(options.repetitionPenalty)
  const isPenalised = repetition !== 1 || presence !== 0 || frequency !== 0
  const topK = (options.topK ?? 0) < vocabularySize ? (options.topK ?? 0) : 0
  if (logitBias.length > 0 || (isPenalised && window > maxPenaltyWindow)) return null
  const draw = temperature > 0 ? { temperature, topK, topP, minP } : { temperature, topK: 0, topP: 1, minP: 0 }
  return (tokenCount, history) => ({
    ...draw,
    penalties: isPenalised ? { repetition, presence, frequency, window, history } : null,
    seed: foldedSeed(seed),
    drawn: tokenCount >>> 0,
  })
}

/** 53 bits to 32. */
const foldedSeed = (seed: number): number => (seed ^ Math.imul(Math.floor(seed / 2 ** 32), 0x9e3779b1)) >>> 0
