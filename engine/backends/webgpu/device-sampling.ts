/** One request's sampling options as shaders/sample-draw.wgsl reads them. It samples nothing. */
import { EngineError } from '../../errors.ts'
import { checkTokenIds } from '../../model/token-ids.ts'
import {
  type DecodeAheadOptions,
  type DevicePenalties,
  type DeviceSampling,
  MAX_DEVICE_PENALTY_WINDOW,
} from '../backend.ts'

/** What the shader notes instead of a token when more equally likely tokens stand where top-k or top-p end than it can hold. */
export const ASK_CPU = 0xfffffffe

/** The uniform, and where there are penalties the counts [V] and the window. */
export function samplingWords(
  { temperature, topK, topP, minP, penalties, seed, drawn }: DeviceSampling,
  vocabularySize: number,
): { uniform: Uint32Array; counts: Uint32Array | null; history: Uint32Array | null } {
  const uniform = new Uint32Array(12)
  const floats = new Float32Array(uniform.buffer)
  const { repetition, presence, frequency, window, history } = penalties ?? NO_PENALTIES
  floats[0] = temperature
  uniform[1] = topK
  floats.set([topP, minP, repetition, presence, frequency], 2)
  uniform.set([window, history.length, seed, drawn], 7)
  if (penalties === null) return { uniform, counts: null, history: null }
  const counts = new Uint32Array(vocabularySize)
  for (let i = 0; i < history.length; i++) counts[history[i]]++
  return { uniform, counts, history: window > 0 ? Uint32Array.from(history) : null }
}

const NO_PENALTIES: DevicePenalties = { repetition: 1, presence: 0, frequency: 0, window: 0, history: [] }

/** Throws `sampling-invalid`, `token-out-of-range`. */
export function checkDeviceSampling({ sampling, maxTokens }: DecodeAheadOptions, vocabularySize: number): void {
  const { temperature, topK, topP, minP, penalties, seed, drawn } = sampling
  const whole = (value: number, most: number): boolean => Number.isInteger(value) && value >= 0 && value <= most
  const fraction = (value: number): boolean => value >= 0 && value <= 1
  if (
    temperature >= 0 &&
    Number.isFinite(temperature) &&
    whole(topK, 2 ** 32 - 1) &&
    fraction(topP) &&
    fraction(minP) &&
    (penalties === null || arePenalties(penalties)) &&
    whole(seed, 2 ** 32 - 1) &&
    whole(drawn, 2 ** 32 - 1) &&
    maxTokens >= 1
  ) {
    if (penalties) checkTokenIds(penalties.history, vocabularySize)
    return
  }
  throw new EngineError('sampling-invalid', 'These sampling options cannot run on the graphics processor.', {
    expected: `temperature from 0, a penalty window up to ${MAX_DEVICE_PENALTY_WINDOW}, at least one token`,
    actual: JSON.stringify({ temperature, topK, topP, minP, seed, drawn, maxTokens, window: penalties?.window }),
  })
}

const arePenalties = ({ repetition, presence, frequency, window, history }: DevicePenalties): boolean =>
  repetition > 0 &&
  [repetition, presence, frequency].every(Number.isFinite) &&
  Number.isInteger(window) &&
  window >= 0 &&
  window <= MAX_DEVICE_PENALTY_WINDOW &&
  (window === 0 || history.length <= window)
