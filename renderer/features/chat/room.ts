/** The room that a message takes before it is laid out, so that the scroll bar tells the truth from the start. */
import type { CSSProperties } from 'react'

const LINE_CHARACTERS = 78
const LINE_REM = 1.6

/** An estimate from its lines, and what stands below them; the browser remembers the true size once it was in sight. */
export function roomFor(text: string, moreRem = 0): CSSProperties {
  let lines = 0
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf('\n', at)
    const stop = end === -1 ? text.length : end
    lines += Math.max(1, Math.ceil((stop - at) / LINE_CHARACTERS))
    at = stop + 1
  }
  return { containIntrinsicBlockSize: `auto ${(lines * LINE_REM + moreRem).toFixed(1)}rem` }
}
