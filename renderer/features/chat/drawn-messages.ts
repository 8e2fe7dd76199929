/**
 * How much of the open chat is drawn. A long one is drawn from its end, which is read first; what comes before follows while
 * nothing else is to do, so that in the end all of it is there: for the eyes, a search, a selection and a screen reader.
 */
import { useEffect } from 'react'
import { flushSync } from 'react-dom'
import { useStore } from 'zustand'
import { createStore } from 'zustand/vanilla'

/** More than fill a large screen. */
const FIRST_MESSAGES = 40
/** Drawn at once without a frame that is missed by much. */
const STEP_MESSAGES = 20
/** So long the rest waits for an idle moment, as while a reply is written. */
const LONGEST_WAIT_MS = 500

/** `from`: index of the first message that is drawn. */
const drawn = createStore<{ chatId: string | null; from: number }>(() => ({ chatId: null, from: 0 }))

/** Index of the first message to draw, of `count`. */
export function useDrawnFrom(chatId: string, count: number): number {
  const state = useStore(drawn)
  const last = Math.max(0, count - FIRST_MESSAGES)
  const from = state.chatId === chatId ? Math.min(state.from, last) : last
  useEffect(() => {
    if (state.chatId !== chatId || state.from !== from) drawn.setState({ chatId, from })
    if (from === 0) return
    const draw = () => drawn.setState({ chatId, from: Math.max(0, from - STEP_MESSAGES) })
    if (typeof requestIdleCallback === 'undefined') {
      const timer = setTimeout(draw, 50)
      return () => clearTimeout(timer)
    }
    const idle = requestIdleCallback(draw, { timeout: LONGEST_WAIT_MS })
    return () => cancelIdleCallback(idle)
  }, [chatId, from, state])
  useEffect(() => {
    const drawAll = () => drawMessagesFrom(0)
    window.addEventListener('beforeprint', drawAll)
    return () => window.removeEventListener('beforeprint', drawAll)
  }, [])
  return from
}

/** They are there when this returns. Not to be called while React draws. */
export function drawMessagesFrom(index: number): void {
  const { from } = drawn.getState()
  if (index < from) flushSync(() => drawn.setState({ from: Math.max(0, index) }))
}
