/**
 * Text that may grow under a selection. React sets a text node as a whole, and that throws away what the reader has
 * selected in it; here only what differs is exchanged, so that a growing text is added to and a selection stands.
 */
import { Children, type ReactNode, useLayoutEffect, useRef } from 'react'

export function GrowingText({ text }: { text: string }) {
  const place = useRef<HTMLSpanElement>(null)
  useLayoutEffect(() => {
    const span = place.current
    if (span === null) return
    const node = span.firstChild
    if (node instanceof Text) exchange(node, text)
    else span.append(text)
  }, [text])
  return <span ref={place} />
}

/** Leaves the beginning that both have as it is: selections inside of it are not touched. */
export function exchange(node: Pick<Text, 'data' | 'replaceData' | 'appendData'>, text: string): void {
  const { data } = node
  if (text.startsWith(data)) {
    if (text.length > data.length) node.appendData(text.slice(data.length))
    return
  }
  let same = 0
  while (same < text.length && data[same] === text[same]) same++
  node.replaceData(same, data.length - same, text.slice(same))
}

/** Children as they are, their bare text as text that may grow; what only separates blocks is no text. */
export function Growing({ children }: { children?: ReactNode }) {
  return Children.toArray(children).map((child, index) =>
    // biome-ignore lint/suspicious/noArrayIndexKey: its place is what a piece of text keeps while it grows
    typeof child === 'string' && child.trim() !== '' ? <GrowingText key={`text ${index}`} text={child} /> : child,
  )
}
