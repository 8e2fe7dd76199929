/**
 * What is done to a reply's markdown before it is parsed: mathematics stays as its source until it can be drawn, blocks of
 * raw HTML are code, line by line, and headings get levels without gaps, as an outline below the window's own headings needs. What is copied is untouched.
 */

const FENCE = /^ {0,3}(`{3,}|~{3,})/
const HEADING = /^( {0,3})(#{1,6})(?=[ \t]|$)/
/** Tags that begin a block of raw HTML, up to the next empty line; others stand within a line. */
const HTML_BLOCK =
  /^ {0,3}<(?:!--|\?|![a-z]|\/?(?:address|article|aside|base|blockquote|body|center|dd|details|dialog|dir|div|dl|dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|legend|li|link|main|menu|meta|nav|ol|optgroup|option|p|param|pre|script|search|section|style|summary|svg|table|tbody|td|textarea|tfoot|th|thead|title|tr|track|ul)(?=[\s>/]|$))/i
const DISPLAY_START = /^(\s*)(\\\[|\$\$)/

/** One line may hold code spans, which are left alone, and mathematics between \( \), \[ \] or $$ $$. */
const SPANS = /(`+)(?:(?!\1)[\s\S])*?\1(?!`)|\\\\|\\\((.*?)\\\)|\\\[(.*?)\\\]|\$\$(.+?)\$\$|\\[([\])]/g

export function prepareMarkdown(text: string): string {
  if (!/[\\#$<]/.test(text)) return text
  const lines = text.split('\n')
  const prepared: string[] = []
  const outline = new Outline()
  let fence: string | null = null
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]
    const mark = FENCE.exec(line)?.[1] ?? null
    if (fence !== null) {
      if (mark !== null && mark[0] === fence[0] && mark.length >= fence.length) fence = null
      prepared.push(line)
      continue
    }
    if (mark !== null) {
      fence = mark
      prepared.push(line)
      continue
    }
    if (HTML_BLOCK.test(line) && (lines[at - 1] ?? '').trim() === '') {
      const empty = lines.findIndex((other, index) => index > at && other.trim() === '')
      const block = lines.slice(at, empty === -1 ? lines.length : empty)
      const ticks = '`'.repeat(Math.max(3, ...block.map(other => (/`+/.exec(other)?.[0].length ?? 0) + 1)))
      prepared.push(`${ticks}html`, ...block, ticks)
      at += block.length - 1
      continue
    }
    const end = displayEnd(lines, at)
    if (end !== null) {
      const indent = DISPLAY_START.exec(line)?.[1] ?? ''
      prepared.push(`${indent}\`\`\`latex`, ...lines.slice(at, end + 1), `${indent}\`\`\``)
      at = end
      continue
    }
    prepared.push(keepMath(line.replace(HEADING, (_, indent, marks) => indent + outline.marks(marks.length))))
  }
  return prepared.join('\n')
}

/** The last line of a formula that begins on this one and stands alone; null: none does. It may lack its end yet. */
function displayEnd(lines: readonly string[], start: number): number | null {
  const opening = DISPLAY_START.exec(lines[start])
  if (opening === null) return null
  const close = opening[2] === '$$' ? '$$' : '\\]'
  const first = lines[start].slice(opening[0].length)
  for (let at = start; at < lines.length; at++) {
    const rest = at === start ? first : lines[at]
    const found = rest.indexOf(close)
    if (found !== -1) return rest.slice(found + close.length).trim() === '' ? at : null
    if (at > start && rest.trim() === '') return null
  }
  return lines.length - 1
}

const keepMath = (line: string): string =>
  line.replace(SPANS, found => {
    if (found.startsWith('`') || found === '\\\\') return found
    // A half of a formula, as while it streams: shown as it came.
    if (found.length === 2) return `\\${found}`
    const ticks = found.includes('`') ? '``' : '`'
    return ticks + found + ticks
  })

/** Levels by depth: the first heading is of level 1, and no heading is more than one deeper than the one before. */
class Outline {
  readonly #levels: number[] = []
  marks(level: number): string {
    while (this.#levels.length > 0 && this.#levels[this.#levels.length - 1] >= level) this.#levels.pop()
    this.#levels.push(level)
    return '#'.repeat(this.#levels.length)
  }
}
