/**
 * Finds stop strings in streamed text and holds back what may be the beginning of one: the Aho-Corasick automaton,
 * so time grows with the text alone. The match that ends first wins, of several ending together the longest:
 * what is found does not depend on how the text was cut into pieces.
 */
import { EngineError } from '../errors.ts'

interface StopMatch {
  /** Text that is safe to show. */
  text: string
  /** The stop string found, which is not part of `text`; null when none. After a match the matcher is done. */
  stop: string | null
}

export interface StopMatcher {
  /** `text`: whole characters. */
  push(text: string): StopMatch
  /** The text held back: the stream has ended without a stop string. */
  flush(): string
}

interface State {
  next: Map<number, State>
  /** The state of the longest proper end of this one's text. */
  fallback: State | null
  /** UTF-16 units of a stop string's beginning that have been seen. */
  depth: number
  /** The longest stop string that ends here. */
  stop: string | null
}

/** Throws `sampling-invalid` when a stop string is empty. */
export function createStopMatcher(stops: readonly string[]): StopMatcher {
  const start = buildAutomaton(stops)
  let state = start
  /** The last `state.depth` units of the text, not yet handed out. */
  let held = ''
  let isDone = false
  return {
    push(text) {
      if (isDone) return { text: '', stop: null }
      const all = held + text
      for (let at = held.length; at < all.length; at++) {
        state = step(start, state, all.charCodeAt(at))
        if (state.stop === null) continue
        isDone = true
        held = ''
        return { text: all.slice(0, at + 1 - state.stop.length), stop: state.stop }
      }
      held = all.slice(all.length - state.depth)
      return { text: all.slice(0, all.length - state.depth), stop: null }
    },
    flush() {
      const rest = held
      held = ''
      state = start
      return rest
    },
  }
}

function step(start: State, from: State, unit: number): State {
  for (let state: State | null = from; state !== null; state = state.fallback) {
    const next = state.next.get(unit)
    if (next !== undefined) return next
  }
  return start
}

function buildAutomaton(stops: readonly string[]): State {
  const start: State = { next: new Map(), fallback: null, depth: 0, stop: null }
  const order: State[] = []
  for (const stop of stops) {
    if (stop === '') {
      throw new EngineError('sampling-invalid', 'A stop string is empty.', { remedy: 'Leave it out.' })
    }
    let state = start
    for (let i = 0; i < stop.length; i++) {
      const unit = stop.charCodeAt(i)
      let next = state.next.get(unit)
      if (next === undefined) {
        next = { next: new Map(), fallback: null, depth: i + 1, stop: null }
        state.next.set(unit, next)
        order.push(next)
      }
      state = next
    }
    state.stop = stop
  }
  // Shorter beginnings first: a state's fallback is shorter than itself.
  order.sort((a, b) => a.depth - b.depth)
  for (const [unit, child] of start.next) link(start, child, unit, null)
  for (const state of order) for (const [unit, child] of state.next) link(start, child, unit, state.fallback)
  return start
}

function link(start: State, child: State, unit: number, parentFallback: State | null): void {
  child.fallback = parentFallback === null ? start : step(start, parentFallback, unit)
  child.stop ??= child.fallback.stop
}
