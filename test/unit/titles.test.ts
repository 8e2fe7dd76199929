/** Titles of chats: one line, whole characters, nothing invisible, never empty. */
import { expect, it } from 'vitest'
import { titleOf } from '../../main/services/chats/titles.ts'

const family = '👨‍👩‍👧‍👦'

it.each([
  ['  What is a tern?\nTell me more.', 'What is a tern?'],
  ['\n\n  \nafter blank lines', 'after blank lines'],
  ['', 'New chat'],
  ['\u200b', 'New chat'],
  ['\u200d', 'New chat'],
  ['\u202eolleh evil eltit', 'olleh evil eltit'],
  ['a\u0000b\u001bc\u009fd', 'a b c d'],
  ['tab\tand\u00a0space', 'tab and space'],
  ['```python\nprint(1)', 'print(1)'],
  ['# Heading **bold** and `code`', 'Heading bold and code'],
  ['> quoted _words_', 'quoted words'],
  ['- [ ] a task', 'a task'],
  ['3) third', 'third'],
  ['[a link](https://example.com/x_(y)) and ![picture](p.png)', 'a link and picture'],
  ['2 * 3 * 4 and snake_case_name', '2 * 3 * 4 and snake_case_name'],
  ['#hashtag', '#hashtag'],
  ['***', '***'],
  ['می\u200cخواهم', 'می\u200cخواهم'],
  [
    '🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} England',
    '🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} England',
  ],
  [`z${'\u0301'.repeat(200)}algo`, '\u017a\u0301\u0301algo'],
])('%j', (text, title) => {
  expect(titleOf(text)).toBe(title)
})

it('is cut at a word, never inside a character', () => {
  expect(titleOf('word '.repeat(40))).toBe(`${'word '.repeat(9).trim()}…`)
  expect(titleOf(`${'x'.repeat(47)}${family}${family}`)).toBe(`${'x'.repeat(47)}${family}…`)
  const flags = titleOf('🇩🇪'.repeat(60))
  expect(flags).toBe(`${'🇩🇪'.repeat(48)}…`)
  // Whatever comes in, no half of a pair is left.
  for (let length = 40; length < 56; length++) {
    expect(titleOf(`${'y'.repeat(length)}${family}e\u0301`.repeat(2)).isWellFormed()).toBe(true)
  }
})

it('half of a character in the text itself is not shown', () => {
  expect(titleOf('a\ud83d b').isWellFormed()).toBe(true)
})
