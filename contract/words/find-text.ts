/**
 * Finding words in texts as people mean it: capitals, accents and forms of the same character do not matter, and part of a
 * word is enough. Pure; host, store and window use the same.
 */

/** Words that a search looks for; more are left out. */
const MAX_WORDS = 8
const MAX_WORD_CHARACTERS = 100

/** Where a hit begins and ends in a text, in UTF-16 units. */
export type Mark = readonly [start: number, end: number]

/** Without case, accents and compatibility forms. */
export const folded = (text: string): string =>
  text
    .normalize('NFKD')
    .replace(/\p{M}+/gu, '')
    .toLowerCase()

/** What is looked for, folded: the words of a query. */
export function wordsOf(query: string): string[] {
  const words = folded(query.replaceAll('\0', ' '))
    .split(/\s+/)
    .filter(word => word !== '')
    .map(word => Array.from(word).slice(0, MAX_WORD_CHARACTERS).join(''))
  return [...new Set(words)].slice(0, MAX_WORDS)
}

/** Whether every word is somewhere in the text. */
export function hasAll(text: string, words: readonly string[]): boolean {
  const inFolded = folded(text)
  return words.every(word => inFolded.includes(word))
}

/** Where the words stand, from left to right; places that touch are one. */
export function marksIn(text: string, words: readonly string[]): Mark[] {
  const { content, sources } = foldedWithSources(text)
  const found = words.flatMap(word => placesOf(content, word).map((at): Mark => [at, at + word.length]))
  const marks: Mark[] = []
  for (const [from, to] of found.sort((a, b) => a[0] - b[0])) {
    const start = sources[from]
    // To the end of the last character, whatever of it was found.
    const end = sources[to] > sources[to - 1] ? sources[to] : nextSource(sources, to)
    const last = marks.at(-1)
    if (last !== undefined && start <= last[1]) marks[marks.length - 1] = [last[0], Math.max(last[1], end)]
    else marks.push([start, end])
  }
  return marks
}

export interface MarkedPart {
  text: string
  isHit: boolean
}

/** The text in parts, hits and what stands between them. */
export function markedParts(text: string, marks: readonly Mark[]): MarkedPart[] {
  const parts: MarkedPart[] = []
  let done = 0
  for (const [start, end] of marks) {
    if (start > done) parts.push({ text: text.slice(done, start), isHit: false })
    parts.push({ text: text.slice(start, end), isHit: true })
    done = end
  }
  if (done < text.length) parts.push({ text: text.slice(done), isHit: false })
  return parts
}

/** Of the text before the first hit. */
const LEAD_CHARACTERS = 40

/** Two lines of a narrow list. */
const EXCERPT_CHARACTERS = 160

/** One line around the first hit, with the hits in it; about `length` characters. */
export function excerptOf(text: string, words: readonly string[], length = EXCERPT_CHARACTERS): MarkedPart[] {
  const first = marksIn(text, words)[0]?.[0] ?? 0
  let start = Math.max(0, first - LEAD_CHARACTERS)
  // Begins at a word where one begins soon.
  const space = text.slice(start, first).search(/\s/)
  if (start > 0 && space >= 0) start += space + 1
  const cut = `${start > 0 ? '…' : ''}${text.slice(start, start + length)}`
  const line = cut.toWellFormed().replace(/\s+/g, ' ').trim()
  const shown = start + length < text.length ? `${line}…` : line
  return markedParts(shown, marksIn(shown, words))
}

function placesOf(content: string, word: string): number[] {
  const places: number[] = []
  if (word === '') return places
  for (let at = content.indexOf(word); at >= 0; at = content.indexOf(word, at + word.length)) places.push(at)
  return places
}

/** The folded text, and of each of its UTF-16 units where the character that it comes from begins; the end is last. */
function foldedWithSources(text: string): { content: string; sources: number[] } {
  let content = ''
  const sources: number[] = []
  let at = 0
  for (const character of text) {
    const fold = folded(character)
    for (let n = 0; n < fold.length; n++) sources.push(at)
    content += fold
    at += character.length
  }
  sources.push(at)
  return { content, sources }
}

const nextSource = (sources: readonly number[], from: number): number =>
  sources.slice(from).find(source => source > sources[from - 1]) ?? sources.at(-1)!
