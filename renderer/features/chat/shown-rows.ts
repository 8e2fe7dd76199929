/** How much of a long list is drawn: a first part, and more as its end comes into sight. */
import { type RefObject, useEffect, useRef, useState } from 'react'

const STEP_ROWS = 100
/** Room to scroll a row away from the edge of the list. */
const ROWS_BELOW = 10
/** Rows are there before they are scrolled to. */
const AHEAD_PX = 800

export interface ShownRows {
  count: number
  /** Of what stands in place of the rest. */
  end: RefObject<HTMLLIElement | null>
  showMore(): void
}

/** `at`: of the row that is drawn, and brought into sight, whatever was scrolled to; -1: there is none. */
export function useShownRows(length: number, at: number): ShownRows {
  const [shown, setShown] = useState(STEP_ROWS)
  const end = useRef<HTMLLIElement>(null)
  const count = Math.min(length, Math.max(shown, at + ROWS_BELOW))
  const showMore = () => setShown(count + STEP_ROWS)
  // biome-ignore lint/correctness/useExhaustiveDependencies: an end that is in sight again is told only to a new observer
  useEffect(() => {
    if (end.current === null) return
    const sight = new IntersectionObserver(([entry]) => entry.isIntersecting && showMore(), {
      root: end.current.closest('.chats-list'),
      rootMargin: `${AHEAD_PX}px`,
    })
    sight.observe(end.current)
    return () => sight.disconnect()
  }, [count, length])
  return { count, end, showMore }
}
