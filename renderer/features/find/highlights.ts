/** Words marked in the text of the page, without a change to it: ranges that the browser paints (CSS custom highlights). */
import { marksIn } from '../../../contract/words/find-text.ts'

const FOUND = 'found'
const FOUND_NOW = 'found-now'

/** Where the words stand in the elements, in the order of the page. Hits across emphasis and links are found too. */
export function rangesIn(elements: Iterable<Element>, words: readonly string[]): Range[] {
  const ranges: Range[] = []
  for (const element of elements) {
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT)
    const nodes: { node: Node; start: number }[] = []
    let text = ''
    for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
      nodes.push({ node, start: text.length })
      text += node.nodeValue ?? ''
    }
    const placeOf = (at: number, isEnd: boolean) => {
      const index = nodes.findLastIndex(({ start }) => (isEnd ? start < at : start <= at))
      return nodes[Math.max(0, index)]
    }
    for (const [start, end] of marksIn(text, words)) {
      const [from, to] = [placeOf(start, false), placeOf(end, true)]
      const range = new Range()
      range.setStart(from.node, start - from.start)
      range.setEnd(to.node, end - to.start)
      ranges.push(range)
    }
  }
  return ranges
}

/** Marks them, one of them stronger; none: nothing is marked. Without an effect where the browser cannot. */
export function paint(ranges: readonly Range[], now: Range | null): void {
  if (!('highlights' in CSS)) return
  CSS.highlights.delete(FOUND)
  CSS.highlights.delete(FOUND_NOW)
  if (ranges.length > 0) CSS.highlights.set(FOUND, new Highlight(...ranges.filter(range => range !== now)))
  if (now !== null) CSS.highlights.set(FOUND_NOW, new Highlight(now))
}

/** Into the middle of what scrolls it. */
export function showRange(range: Range): void {
  const element = range.startContainer.parentElement
  // What was not laid out yet gets its height only when it comes near: the second time it stands where it will.
  element?.scrollIntoView({ block: 'center' })
  requestAnimationFrame(() => element?.scrollIntoView({ block: 'center' }))
}
