/**
 * What is done to a reply's markdown before it is parsed: mathematics stays as its source until it can be drawn, blocks of
 * raw HTML are code, line by line, and headings get levels without gaps, as an outline below the window's own headings needs. What is copied is untouched.
 */

/** Of code, also in lists and quotes: what contains it, the marks, what follows them. */
const FENCE = /^([ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*)(?:(`{3,})([^`]*)|(~{3,})(.*))$/
const INDENTED = /^(?: {4}|\t)/
const LIST_ITEM = /^[ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]/
const HEADING = /^( {0,3})(#{1,6})(?=[ \t]|$)/
/** Tags that begin a block of raw HTML, up to the next empty line; others stand within a line. */
const HTML_BLOCK =
  /^ {0,3}<(?:!--|\?|![a-z]|\/?(?:address|article|aside|base|blockquote|body|center|dd|details|dialog|dir|div|dl|dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|legend|li|link|main|menu|meta|nav|ol|optgroup|option|p|param|pre|script|search|section|style|summary|svg|table|tbody|td|textarea|tfoot|th|thead|title|tr|track|ul)(?=[\s>/]|$))/i
const DISPLAY_START = /^(\s*)(\\\[|\$\$)/

export function prepareMarkdown(text: string): string {
  if (!/[\\#$<]/.test(text)) return text
  const lines = text.split('\n')
  const prepared: string[] = []
  const outline = new Outline()
  const openUntil = new Map<string, number>()
  let isInList = false
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]
    const isIndented = INDENTED.test(line)
    if (!isIndented && line.trim() !== '') isInList = LIST_ITEM.test(line) || (isInList && /^\s/.test(line))
    const end = codeEnd(lines, at, isInList)
    if (end !== null) {
      prepared.push(...lines.slice(at, end + 1))
      at = end
      continue
    }
    if (HTML_BLOCK.test(line)) {
      const last = blockEnd(lines, at)
      const block = lines.slice(at, last + 1)
      const ticks = '`'.repeat(Math.max(3, ...block.map(other => (/`+/.exec(other)?.[0].length ?? 0) + 1)))
      prepared.push(`${ticks}html`, ...block, ticks)
      at = last
      continue
    }
    const mathEnd = displayEnd(lines, at, openUntil)
    if (mathEnd !== null) {
      const indent = DISPLAY_START.exec(line)?.[1] ?? ''
      prepared.push(`${indent}\`\`\`latex`, ...lines.slice(at, mathEnd + 1), `${indent}\`\`\``)
      at = mathEnd
      continue
    }
    prepared.push(keepMath(line.replace(HEADING, (_, indent, marks) => indent + outline.marks(marks.length))))
  }
  return prepared.join('\n')
}

/** The last line before an empty one. */
function blockEnd(lines: readonly string[], start: number): number {
  let end = start
  while (end + 1 < lines.length && lines[end + 1].trim() !== '') end++
  return end
}

function fenceOf(line: string): { container: string; marks: string; rest: string } | null {
  const [, container, ticks, afterTicks, tildes, afterTildes] = FENCE.exec(line) ?? []
  if (container === undefined) return null
  return { container, marks: ticks ?? tildes, rest: afterTicks ?? afterTildes }
}

/** The last line of the code that begins on this one; null: none does. It may lack its end yet. */
function codeEnd(lines: readonly string[], start: number, isInList: boolean): number | null {
  const opening = fenceOf(lines[start])
  if (opening === null) {
    const isCode = INDENTED.test(lines[start]) && !isInList && (lines[start - 1] ?? '').trim() === ''
    return isCode ? blockEnd(lines, start) : null
  }
  const isQuoted = opening.container.includes('>')
  for (let at = start + 1; at < lines.length; at++) {
    // A quote that ends takes its code along.
    if (isQuoted && !/^\s*>/.test(lines[at])) return at - 1
    const closing = fenceOf(lines[at])
    if (closing?.rest.trim() === '' && closing.marks.startsWith(opening.marks)) return at
  }
  return lines.length - 1
}

/**
 * The last line of a formula that begins on this one and stands alone; null: none does. It may lack its end yet.
 * `openUntil`: by closing mark, the line before which it was found to be missing.
 */
function displayEnd(lines: readonly string[], start: number, openUntil: Map<string, number>): number | null {
  const opening = DISPLAY_START.exec(lines[start])
  if (opening === null) return null
  const close = opening[2] === '$$' ? '$$' : '\\]'
  if (start < (openUntil.get(close) ?? 0)) return null
  const first = lines[start].slice(opening[0].length)
  for (let at = start; at < lines.length; at++) {
    const rest = at === start ? first : lines[at]
    const found = rest.indexOf(close)
    if (found !== -1) return rest.slice(found + close.length).trim() === '' ? at : null
    if (at > start && rest.trim() === '') {
      openUntil.set(close, at)
      return null
    }
  }
  return lines.length - 1
}

/**
 * One line may hold code spans, which are left alone, and mathematics between \( \), \[ \], $$ $$, or $ $ where it has a
 * sign of mathematics in it: sums of money have none. Mathematics becomes code; one pass, whatever stands in the line.
 */
function keepMath(line: string): string {
  if (!/[\\$]/.test(line)) return line
  const codeEnds = codeSpanEnds(line)
  /** Marks that do not come any more. */
  const missing = new Set<string>()
  const find = (mark: string, from: number): number => {
    if (missing.has(mark)) return -1
    const at = line.indexOf(mark, from)
    if (at === -1) missing.add(mark)
    return at
  }
  let prepared = ''
  for (let at = 0; at < line.length; ) {
    const codeEnd = codeEnds.get(at)
    const mathEnd = codeEnd === undefined ? formulaEnd(line, at, find) : null
    // A half of a formula, as while it streams, is shown as it came.
    const isHalf = mathEnd === null && codeEnd === undefined && /^\\[([\])]/.test(line.slice(at, at + 2))
    const end = codeEnd ?? mathEnd ?? at + (line[at] === '\\' ? 2 : 1)
    const part = line.slice(at, end)
    prepared += mathEnd !== null ? asCode(part) : isHalf ? `\\${part}` : part
    at = end
  }
  return prepared
}

/** Where the code span ends that begins at a position; a row of backticks without its like stands for itself. */
function codeSpanEnds(line: string): Map<number, number> {
  const ends = new Map<number, number>()
  const next = new Map<number, number>()
  const runs = [...line.matchAll(/`+/g)].map(({ 0: { length }, index }) => ({ length, index }))
  for (const { length, index } of runs.toReversed()) {
    ends.set(index, (next.get(length) ?? index) + length)
    next.set(length, index)
  }
  return ends
}

/** The end of the formula that begins at a position; null: none does, or it lacks its end. */
function formulaEnd(line: string, at: number, find: (mark: string, from: number) => number): number | null {
  const mark = line.slice(at, at + 2)
  const closing = { '\\(': '\\)', '\\[': '\\]', $$: '$$' }[mark]
  if (closing !== undefined) {
    const end = find(closing, at + (mark === '$$' ? 3 : 2))
    return end === -1 ? null : end + 2
  }
  if (mark[0] !== '$' || /[\w\\]/.test(line[at - 1] ?? '')) return null
  const end = find('$', at + 1)
  if (end === -1 || /\w/.test(line[end + 1] ?? '')) return null
  const content = line.slice(at + 1, end)
  return /^\S(?:.*\S)?$/.test(content) && /[\\^_{]/.test(content) ? end + 1 : null
}

function asCode(formula: string): string {
  const ticks = formula.includes('`') ? '``' : '`'
  return ticks + formula + ticks
}

/** Levels by depth: the first heading is of level 1, and no heading is more than one deeper than the one before. */
class Outline {
  readonly #levels: number[] = []
  marks(level: number): string {
    while (this.#levels.length > 0 && this.#levels[this.#levels.length - 1] >= level) this.#levels.pop()
    this.#levels.push(level)
    return '#'.repeat(this.#levels.length)
  }
}
