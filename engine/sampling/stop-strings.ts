/**
 * Finds stop strings in streamed text; holds back what may be the beginning of one.
 */
import { EngineError } from '../errors.ts'

export interface StopMatch {
  /** Text that is safe to show. */
  text: string
  /** The stop string found, which is not part of `text`; null when none. After a match the matcher is done. */
  stop: string | null
}

export interface StopMatcher {
  push(text: string): StopMatch
  /** The text held back: the stream has ended without a stop string. */
  flush(): string
}

export function createStopMatcher(_stops: readonly string[]): StopMatcher {
  throw new EngineError('internal', 'not yet written')
}
