import { describe, expect, it } from 'vitest'
import { excerptOf, hasAll, markedParts, marksIn, wordsOf } from '../../contract/words/find-text.ts'

/** The text with its hits in brackets. */
const shown = (text: string, query: string) =>
  markedParts(text, marksIn(text, wordsOf(query)))
    .map(part => (part.isHit ? `[${part.text}]` : part.text))
    .join('')

describe('marks', () => {
  it.each([
    ['Crème brûlée', 'creme', '[Crème] brûlée'],
    ['CRÈME', 'crème', '[CRÈME]'],
    ['cre\u0300me', 'creme', '[cre\u0300me]'],
    ['Straße', 'straße', '[Straße]'],
    ['a ﬁne ﬁsh', 'fi', 'a [ﬁ]ne [ﬁ]sh'],
    ['ＡＢＣ', 'b', 'Ａ[Ｂ]Ｃ'],
    ['東京タワー', '京タ', '東[京タ]ワー'],
    ['🐦‍⬛ bird', 'bird', '🐦‍⬛ [bird]'],
    ['one two one', 'one two', '[one] [two] [one]'],
    ['banana', 'ana nan', 'b[anan]a'],
    ['aaaa', 'aa', '[aaaa]'],
    ['nothing', 'else', 'nothing'],
    ['İstanbul', 'istanbul', '[İstanbul]'],
    ['', 'a', ''],
    ['a', '', 'a'],
  ])('of %j for %j', (text, query, expected) => {
    expect(shown(text, query)).toBe(expected)
  })

  it('never cut a character in two, and leave every text whole', () => {
    const text = 'é🐦ﬃ\u0301x\u{1f468}\u200d\u{1f469}한글각ꜳ'
    for (const query of ['e', 'f', 'fi', 'x', '한', 'ᆨ', 'a', 'ff', '\u200d']) {
      const parts = markedParts(text, marksIn(text, wordsOf(query)))
      expect(parts.map(part => part.text).join('')).toBe(text)
      for (const part of parts) expect(part.text.isWellFormed()).toBe(true)
    }
  })
})

describe('words', () => {
  it('are folded, each once, and bounded', () => {
    expect(wordsOf('  Éa\u0000b  éA ')).toEqual(['ea', 'b'])
    expect(wordsOf('a b c d e f g h i j')).toHaveLength(8)
    expect(wordsOf('x'.repeat(1_000))[0]).toHaveLength(100)
    expect(wordsOf(' \u0301 ')).toEqual([])
  })

  it('must all be there, wherever', () => {
    expect(hasAll('The quick brown fox', ['own', 'the'])).toBe(true)
    expect(hasAll('The quick brown fox', ['own', 'cat'])).toBe(false)
  })
})

describe('an excerpt', () => {
  it('is a line around the first hit, which begins at a word', () => {
    const text = `${'word '.repeat(100)}\n\n**needle** in a\nhaystack ${'word '.repeat(100)}`
    const parts = excerptOf(text, ['needle'], 80)
    const line = parts.map(part => part.text).join('')
    expect(line).toMatch(/^…word .* \*\*needle\*\* in a haystack word.*…$/)
    expect(parts.filter(part => part.isHit).map(part => part.text)).toEqual(['needle'])
  })

  it('of a text without a hit is its beginning', () => {
    expect(excerptOf('Short text', ['q'], 80)).toEqual([{ text: 'Short text', isHit: false }])
  })
})
