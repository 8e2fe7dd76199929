/**
 * Keeps a scroller at its end while content grows, as long as the reader is there. Whoever scrolls up is left alone:
 * nothing moves under the eyes until they come back or ask for the latest. Nothing moves either under a pressed mouse or a
 * finger, and while something is selected.
 */
import { type RefObject, useCallback, useEffect, useRef, useState } from 'react'

/** This close to the end counts as being there. */
const NEAR_PX = 40

export interface Follow {
  scroller: RefObject<HTMLDivElement | null>
  content: RefObject<HTMLDivElement | null>
  /** false: the reader is elsewhere, offer a way back. */
  atEnd: boolean
  jumpToEnd(): void
}

function hasSelectionIn(element: Element | null): boolean {
  const selection = document.getSelection()
  return selection !== null && !selection.isCollapsed && element?.contains(selection.anchorNode) === true
}

export function useFollow(): Follow {
  const scroller = useRef<HTMLDivElement>(null)
  const content = useRef<HTMLDivElement>(null)
  const following = useRef(true)
  const [atEnd, setAtEnd] = useState(true)

  const jumpToEnd = useCallback(() => {
    // Asked for the latest: what was selected holds nothing any more.
    if (hasSelectionIn(content.current)) document.getSelection()?.removeAllRanges()
    following.current = true
    setAtEnd(true)
    const element = scroller.current
    if (element !== null) element.scrollTop = element.scrollHeight
  }, [])

  useEffect(() => {
    const element = scroller.current
    const inner = content.current
    if (element === null || inner === null) return
    let lastTop = element.scrollTop
    const distance = () => element.scrollHeight - element.clientHeight - element.scrollTop
    const onScroll = () => {
      // Growth never lowers scrollTop, and shrinking leaves it at the end: only a reader goes up and away.
      const { scrollTop } = element
      if (scrollTop > lastTop && distance() <= NEAR_PX) following.current = true
      else if (scrollTop < lastTop && distance() > 1) following.current = false
      lastTop = scrollTop
      setAtEnd(following.current || distance() <= NEAR_PX)
    }
    // A smooth scroll begins with less than a pixel; growth in that moment would take the reader back and end it.
    const leave = () => {
      if (element.scrollTop > 0) following.current = false
    }
    const onWheel = ({ deltaY }: WheelEvent) => {
      if (deltaY < 0) leave()
    }
    const onKeyDown = ({ key }: KeyboardEvent) => {
      if (key === 'PageUp' || key === 'ArrowUp' || key === 'Home') leave()
    }
    let pressed = false
    const onPress = () => {
      pressed = true
    }
    const onRelease = () => {
      pressed = false
    }
    const observer = new ResizeObserver(() => {
      const isHeld = pressed || hasSelectionIn(inner)
      // What grew out of sight meanwhile would be a leap when the hand is taken away: the reader is elsewhere then.
      if (isHeld && distance() > NEAR_PX) following.current = false
      if (following.current && !isHeld) {
        element.scrollTop = element.scrollHeight
        lastTop = element.scrollTop
      } else setAtEnd(distance() <= NEAR_PX)
    })
    element.addEventListener('scroll', onScroll, { passive: true })
    element.addEventListener('wheel', onWheel, { passive: true })
    element.addEventListener('keydown', onKeyDown)
    inner.addEventListener('pointerdown', onPress)
    window.addEventListener('pointerup', onRelease)
    window.addEventListener('pointercancel', onRelease)
    window.addEventListener('blur', onRelease)
    observer.observe(inner)
    observer.observe(element)
    return () => {
      element.removeEventListener('scroll', onScroll)
      element.removeEventListener('wheel', onWheel)
      element.removeEventListener('keydown', onKeyDown)
      inner.removeEventListener('pointerdown', onPress)
      window.removeEventListener('pointerup', onRelease)
      window.removeEventListener('pointercancel', onRelease)
      window.removeEventListener('blur', onRelease)
      observer.disconnect()
    }
  }, [])

  return { scroller, content, atEnd, jumpToEnd }
}
