/**
 * How threads meet, without JavaScript: spin for a while, then sleep. A thread that waits for one that has died traps
 * after a time, or at once when the dying thread could leave a note (FAILURE), so nothing hangs.
 */
import {
  BARRIER_ARRIVED,
  BARRIER_GENERATION,
  BARRIER_PATIENCE,
  BARRIER_SLEEPERS,
  FAILURE,
  FAILURE_TIMEOUT,
  THREAD_COUNT,
} from './memory-layout'

/** Looks at the word before a thread goes to sleep: some tens of microseconds. */
const SPINS = 40_000
/** One sleep, nanoseconds, after which a thread looks for a failure: BARRIER_PATIENCE of them, then it gives up. */
const SLEEP_NS: i64 = 500_000_000

/** Waits until the word at `address` differs from `seen`. `patient`: for ever, as an idle thread does. */
export function waitForChange(address: usize, seen: i32, sleepers: usize, patient: bool): void {
  for (let spin = 0; spin < SPINS; spin++) {
    if (atomic.load<i32>(address) !== seen) return
  }
  // Whoever changes the word reads the number of sleepers afterwards; both in one order for all, so no wake-up is lost.
  atomic.add<i32>(sleepers, 1)
  let sleeps = 0
  while (atomic.load<i32>(address) === seen) {
    if (atomic.load<i32>(FAILURE) !== 0) unreachable()
    if (!patient && sleeps++ === load<i32>(BARRIER_PATIENCE)) {
      atomic.store<i32>(FAILURE, FAILURE_TIMEOUT)
      unreachable()
    }
    atomic.wait<i32>(address, seen, patient ? -1 : SLEEP_NS)
  }
  atomic.sub<i32>(sleepers, 1)
}

/** Every thread of the command must come here before any goes on. What they wrote before is then seen by all. */
export function barrier(): void {
  const threads = load<i32>(THREAD_COUNT)
  if (threads === 1) return
  const generation = atomic.load<i32>(BARRIER_GENERATION)
  if (atomic.add<i32>(BARRIER_ARRIVED, 1) === threads - 1) {
    atomic.store<i32>(BARRIER_ARRIVED, 0)
    atomic.store<i32>(BARRIER_GENERATION, generation + 1)
    if (atomic.load<i32>(BARRIER_SLEEPERS) !== 0) atomic.notify(BARRIER_GENERATION, -1)
  } else {
    waitForChange(BARRIER_GENERATION, generation, BARRIER_SLEEPERS, false)
  }
}
