/** A clock that stands still until a test turns it. */
import type { Cancel, Time } from '../main/time.ts'

export interface TestTime extends Time {
  /** Turns the clock, running what falls due on the way, each with everything that follows from it. */
  advance(durationMs: number): Promise<void>
  /** Timers that wait. */
  readonly pending: number
}

/** Lets promises that are settled, and what follows from them, run. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise<void>(resolve => setImmediate(resolve))
}

export function createTestTime(wallStartMs = Date.UTC(2026, 0, 1)): TestTime {
  const timers = new Set<{ dueMs: number; periodMs: number | null; work: () => void }>()
  let nowMs = 0
  const add = (delayMs: number, periodMs: number | null, work: () => void): Cancel => {
    const timer = { dueMs: nowMs + delayMs, periodMs, work }
    timers.add(timer)
    return () => timers.delete(timer)
  }
  return {
    nowMs: () => nowMs,
    wallMs: () => wallStartMs + nowMs,
    after: (delayMs, work) => add(delayMs, null, work),
    every: (periodMs, work) => add(periodMs, periodMs, work),
    get pending() {
      return timers.size
    },
    async advance(durationMs) {
      const endMs = nowMs + durationMs
      await settled()
      for (;;) {
        const [next] = [...timers].filter(({ dueMs }) => dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs)
        if (next === undefined) break
        nowMs = next.dueMs
        if (next.periodMs === null) timers.delete(next)
        else next.dueMs += next.periodMs
        next.work()
        await settled()
      }
      nowMs = endMs
    },
  }
}
