/** Which sampling options a device can follow by itself: greedy, temperature and top-k. The rest needs logits on the host. */
import { type DeviceSampling, MAX_DEVICE_TOP_K } from '../backends/backend.ts'
import type { SamplingOptions } from './sampler.ts'

/** null: not on a device. `drawn` counts from the beginning of the sequence, so that a seed gives the same text again. */
export function deviceSampling(
  options: SamplingOptions,
  seed: number,
  vocabularySize: number,
): Omit<DeviceSampling, 'drawn'> | null {
  const { temperature = 0, topP = 1, minP = 0, logitBias = [] } = options
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = options
  const isPenalised = repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0
  if (isPenalised || logitBias.length > 0) return null
  if (temperature === 0) return { temperature, topK: 0, seed: 0 }
  const topK = (options.topK ?? 0) < vocabularySize ? (options.topK ?? 0) : 0
  if (topP < 1 || minP > 0 || topK > MAX_DEVICE_TOP_K) return null
  return { temperature, topK, seed: foldedSeed(seed) }
}

/** 53 bits to 32. */
const foldedSeed = (seed: number): number => (seed ^ Math.imul(Math.floor(seed / 2 ** 32), 0x9e3779b1)) >>> 0
