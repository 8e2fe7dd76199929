/** What a chat is called until the user names it: the first words of its first message, fit for one line of a list. */

export const NEW_CHAT_TITLE = 'New chat'
/** As a reader counts: an emoji family is one. */
const MAX_TITLE_CHARACTERS = 48
/** Of a title that the user gave. */
const MAX_GIVEN_CHARACTERS = 200

/**
 * Characters that show nothing, or turn the direction of what follows. Joiners and tags stay: emoji and Persian need them;
 * so do the few format characters that are drawn.
 */
const INVISIBLE =
  // biome-ignore lint/suspicious/noMisleadingCharacterClass: single code points are meant
  /(?![\u200c\u200d\u0600-\u0605\u06dd\u070f\u08e2\u{e0020}-\u{e007f}])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]|\u034f|\u115f|\u1160|\u17b4|\u17b5|\u3164|\uffa0/gu
// biome-ignore lint/suspicious/noMisleadingCharacterClass: single code points are meant
const HAS_VISIBLE = /[^\s\u200c\u200d\u{e0020}-\u{e007f}]/u
/** Marks of Markdown at the beginning of a line: headings, quotes, list items, fences with their language. */
const LINE_MARKS = /^(?:\s*(?:#{1,6}\s+|>\s?|[-*+]\s+(?:\[[ xX]\]\s+)?|\d{1,9}[.)]\s+|(?:`{3,}|~{3,})\s*[\w+#.-]*\s*))+/
const LINK = /!?\[([^\]]*)\]\((?:[^()\s]|\([^()]*\))*(?:\s+"[^"]*")?\)/g
const EMPHASIS = /(?<![\w*])(\*{1,3}|_{1,3}|~~|`+)(?=[^\s*_~`])(.*?[^\s*_~`])\1(?![\w*])/g

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' })

/** What the user typed, on one line and without what shows nothing; null: nothing is left. */
export function givenTitle(text: string): string | null {
  const visible = text.toWellFormed().replace(INVISIBLE, ' ').replace(/\s+/g, ' ')
  const characters = Array.from(graphemes.segment(withoutStacks(visible).trim()), ({ segment }) => segment)
  const title = characters.slice(0, MAX_GIVEN_CHARACTERS).join('')
  return HAS_VISIBLE.test(title) ? title : null
}

/** Never empty. */
export const titleOf = (text: string): string => openingOf(text) ?? NEW_CHAT_TITLE

/** The first words of a text, fit for one line; null: it shows nothing. */
export function openingOf(text: string): string | null {
  for (const line of text.split(/\r\n|[\n\r\u2028\u2029\u0085]/)) {
    const title = plain(line)
    if (HAS_VISIBLE.test(title)) return cut(title)
  }
  return null
}

function plain(line: string): string {
  const visible = line.toWellFormed().replace(INVISIBLE, ' ').replace(/\s+/g, ' ')
  const unmarked = visible.replace(LINE_MARKS, '').replace(LINK, '$1').replace(EMPHASIS, '$2')
  return withoutStacks(unmarked).trim()
}

/** At most two combining marks on a letter: more paint over the lines above. */
const withoutStacks = (text: string): string => text.normalize('NFC').replace(/(\p{M}{2})\p{M}+/gu, '$1')

/** Cut at a word where one ends in the second half, never inside a character. */
function cut(title: string): string {
  const characters = Array.from(graphemes.segment(title), ({ segment }) => segment)
  if (characters.length <= MAX_TITLE_CHARACTERS) return title
  const kept = characters.slice(0, MAX_TITLE_CHARACTERS)
  const space = kept.lastIndexOf(' ')
  return `${kept
    .slice(0, space > MAX_TITLE_CHARACTERS / 2 ? space : MAX_TITLE_CHARACTERS)
    .join('')
    .trimEnd()}…`
}
