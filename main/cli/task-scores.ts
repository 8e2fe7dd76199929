/** From log-probabilities to acc and acc_norm with their standard errors, as lm-evaluation-harness computes them. */
import type { TaskItem } from './zero-shot-tasks.ts'

export interface Share {
  /** 0 to 1. */
  mean: number
  /** Standard error of the mean; null for a single item. */
  standardError: number | null
}

/** The choice of the highest value; of equal ones the first. */
export function likeliest(values: readonly number[]): number {
  let best = 0
  for (const [i, value] of values.entries()) if (value > values[best]!) best = i
  return best
}

export interface ItemResult {
  isRight: boolean
  /** By log-probability for each character of the choice. */
  isRightNormalised: boolean
}

/** `logProbabilities`: of each choice's continuation. */
export function judge({ gold, choiceLengths }: TaskItem, logProbabilities: readonly number[]): ItemResult {
  return {
    isRight: likeliest(logProbabilities) === gold,
    isRightNormalised: likeliest(logProbabilities.map((value, i) => value / choiceLengths[i]!)) === gold,
  }
}

export function shareOf(outcomes: readonly boolean[]): Share {
  const count = outcomes.length
  const mean = outcomes.filter(Boolean).length / count
  // The sample's deviation, with n - 1, over the root of n: for zeros and ones it is this.
  return { mean, standardError: count > 1 ? Math.sqrt((mean * (1 - mean)) / (count - 1)) : null }
}
