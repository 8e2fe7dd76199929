/**
 * How many threads run the next decode step: all there are while that is fastest, fewer while other programs want the
 * cores too. With fewer free cores than threads all wait for the one that does not run, and a step can take longer than one
 * thread alone would need. Nobody can ask for free cores, so it is measured, again and again: now and then other numbers of
 * threads run some steps, and the fastest stays.
 */

/** Steps whose mean is one measurement. */
export const WINDOW_STEPS = 16
/** Windows between two trials: few at first and after a change, then twice as many after each that changed nothing. */
const PATIENCE_FIRST = 4
const MAX_PATIENCE = 128
/** A trial must be so much faster. */
const WORTHWHILE = 0.93
/** Two steps in a row so much slower end a trial; a window so much slower than the best since the last trial begins one. */
const HOPELESS = 1.3

export class ThreadChoice {
  /** Falling by halves from all threads to one. */
  private readonly levels: number[]
  private settled: number
  /** Levels still to be tried, the one on trial first. Empty: none is on trial. */
  private trials: number[] = []
  /** The fastest of the trials that are worthwhile. */
  private better: { threads: number; meanMs: number } | null = null
  private patience = PATIENCE_FIRST
  private windowsSinceTrial = 0
  /** Mean of the last window with the settled number, and the least since the last trials. */
  private lastMs = 0
  private bestMs = Number.POSITIVE_INFINITY
  /** The window in progress. */
  private window: number[] = []

  constructor(most: number) {
    this.levels = [most]
    for (let threads = most >> 1; threads >= 1; threads >>= 1) this.levels.push(threads)
    this.settled = most
  }

  /** Threads for the next step. */
  get threads(): number {
    return this.trials[0] ?? this.settled
  }

  /** A step with `threads` threads took `ms`. */
  stepTook(ms: number): void {
    if (this.levels.length === 1) return
    this.window.push(ms)
    if (
      this.trials.length > 0 &&
      Math.min(...this.window.slice(-2)) > this.lastMs * HOPELESS &&
      this.window.length > 1
    ) {
      this.endTrial(Number.POSITIVE_INFINITY)
    } else if (this.window.length === WINDOW_STEPS) {
      // Without the longest: one long step (a thread waking, a garbage collection) says nothing.
      const sumMs = this.window.reduce((sum, step) => sum + step, 0) - Math.max(...this.window)
      const meanMs = sumMs / (WINDOW_STEPS - 1)
      if (this.trials.length > 0) this.endTrial(meanMs)
      else this.endWindow(meanMs)
    }
  }

  private endWindow(meanMs: number): void {
    this.window = []
    this.lastMs = meanMs
    this.bestMs = Math.min(this.bestMs, meanMs)
    this.windowsSinceTrial++
    if (this.windowsSinceTrial < this.patience && meanMs < this.bestMs * HOPELESS) return
    this.trials = this.levels.filter(threads => threads !== this.settled)
  }

  private endTrial(meanMs: number): void {
    this.window = []
    const threads = this.trials.shift()!
    if (meanMs < (this.better?.meanMs ?? this.lastMs * WORTHWHILE)) this.better = { threads, meanMs }
    if (this.trials.length > 0) return
    this.windowsSinceTrial = 0
    this.bestMs = this.better?.meanMs ?? this.lastMs
    this.patience = this.better === null ? Math.min(2 * this.patience, MAX_PATIENCE) : PATIENCE_FIRST
    this.settled = this.better?.threads ?? this.settled
    this.better = null
  }
}
