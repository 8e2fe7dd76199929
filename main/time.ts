/** Time as an argument: whoever waits or stamps gets it passed in, so that tests turn the clock by hand. */

export type Cancel = () => void

export interface Time {
  /** Monotonic, for durations. */
  nowMs(): number
  /** Since 1970, for dates. */
  wallMs(): number
  /** Calls `work` once; the returned function prevents it. */
  after(delayMs: number, work: () => void): Cancel
  /** Calls `work` again and again; the returned function ends it. */
  every(periodMs: number, work: () => void): Cancel
}

export const systemTime: Time = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, work) {
    const timer = setTimeout(work, delayMs)
    return () => clearTimeout(timer)
  },
  every(periodMs, work) {
    const timer = setInterval(work, periodMs)
    return () => clearInterval(timer)
  },
}
