/** A time limit that stands still while somebody attends to what it will take away. */

export interface AttentionTimer {
  /** Held: time stands still; what is left goes on when it is let go. */
  setHeld(isHeld: boolean): void
  cancel(): void
}

/** Calls `onEnd` once, after `milliseconds` in which it was not held. `nowMs` is a clock that never goes back. */
export function startAttentionTimer(milliseconds: number, onEnd: () => void, nowMs: () => number): AttentionTimer {
  let leftMs = milliseconds
  let startedAtMs = 0
  let timer: ReturnType<typeof setTimeout> | null = null
  const stop = () => {
    if (timer === null) return
    clearTimeout(timer)
    timer = null
    leftMs -= nowMs() - startedAtMs
  }
  const start = () => {
    if (timer !== null || leftMs === 0) return
    startedAtMs = nowMs()
    timer = setTimeout(() => {
      timer = null
      leftMs = 0
      onEnd()
    }, leftMs)
  }
  start()
  return {
    setHeld: isHeld => (isHeld ? stop() : start()),
    cancel() {
      stop()
      leftMs = 0
    },
  }
}
