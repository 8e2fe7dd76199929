/** How many threads decode, by what steps took: simulated machines with more and fewer free cores. */
import { describe, expect, it } from 'vitest'
import { ThreadChoice, WINDOW_STEPS } from '../../engine/backends/wasm/thread-choice.ts'

/** Runs `steps` steps, each of which takes `costMs(threads)`; the steps with each number of threads. */
function run(choice: ThreadChoice, steps: number, costMs: (threads: number, step: number) => number) {
  const counts: Record<number, number> = {}
  for (let step = 0; step < steps; step++) {
    const { threads } = choice
    counts[threads] = (counts[threads] ?? 0) + 1
    choice.stepTook(costMs(threads, step))
  }
  return counts
}

/** Threads that all have a core share the work; one that has none holds up the others. */
const machine = (freeCores: number) => (threads: number) => (threads <= freeCores ? 10 / threads : 30)

describe('the number of decoding threads', () => {
  it('is all of them on an idle machine, but for rare trials', () => {
    const counts = run(new ThreadChoice(8), 5000, machine(8))
    expect(counts[8] / 5000).toBeGreaterThan(0.98)
  })

  it('falls to what is free, and rises again', () => {
    const choice = new ThreadChoice(8)
    expect(run(choice, 200, machine(8))[8] / 200).toBeGreaterThan(0.9)
    run(choice, 1000, machine(2))
    const busy = run(choice, 2000, machine(2))
    expect(busy[2] / 2000).toBeGreaterThan(0.95)
    run(choice, 6000, machine(8))
    const idle = run(choice, 2000, machine(8))
    expect(idle[8] / 2000).toBeGreaterThan(0.95)
  })

  it('notices within a few windows that a core was lost', () => {
    const choice = new ThreadChoice(2)
    run(choice, 5000, machine(2))
    const counts = run(choice, 6 * WINDOW_STEPS, machine(1))
    expect(counts[1]).toBeGreaterThanOrEqual(3 * WINDOW_STEPS)
  })

  it('does not mind single long steps', () => {
    const choice = new ThreadChoice(2)
    const counts = run(choice, 5000, (threads, step) => machine(2)(threads) + (step % WINDOW_STEPS === 3 ? 50 : 0))
    expect(counts[2] / 5000).toBeGreaterThan(0.95)
  })

  it('stays with all threads where fewer are no slower', () => {
    const counts = run(new ThreadChoice(4), 5000, () => 10)
    expect(counts[4] / 5000).toBeGreaterThan(0.95)
  })

  it('is one where there is one', () => {
    expect(run(new ThreadChoice(1), 100, machine(1))).toEqual({ 1: 100 })
  })

  it('tries every level from one that is no power of two', () => {
    const choice = new ThreadChoice(6)
    run(choice, 2000, machine(1))
    expect(run(choice, 2000, machine(1))[1] / 2000).toBeGreaterThan(0.9)
  })
})
