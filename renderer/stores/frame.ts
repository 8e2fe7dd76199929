/** Runs work once a frame, and at least four times a second while the window is hidden and frames stand still. */

export type Schedule = (work: () => void) => void

const HIDDEN_INTERVAL_MS = 250

/** At most one run a frame for any number of requests; the last work wins. */
export function createFrameSchedule(): Schedule {
  let pending: (() => void) | null = null
  let frame = 0
  let timer: ReturnType<typeof setTimeout> | undefined

  const run = () => {
    cancelAnimationFrame(frame)
    clearTimeout(timer)
    const work = pending
    pending = null
    work?.()
  }
  return work => {
    const waiting = pending !== null
    pending = work
    if (waiting) return
    frame = requestAnimationFrame(run)
    timer = setTimeout(run, HIDDEN_INTERVAL_MS)
  }
}
