/** What is done to a reply's text before it is drawn, and to text nodes while it grows: pure functions, no browser. */
import { describe, expect, it } from 'vitest'
import { exchange } from '../../renderer/features/chat/growing-text.tsx'
import { shownHost } from '../../renderer/features/chat/link-target.ts'
import { piecesOf, safeLink } from '../../renderer/features/chat/markdown.tsx'
import { prepareMarkdown } from '../../renderer/features/chat/prepare-markdown.ts'
import { shownTitle } from '../../renderer/ui/chat-title.ts'

describe('prepared markdown', () => {
  it.each([
    ['in a line', 'So \\(a^2 \\, b\\) holds.', 'So `\\(a^2 \\, b\\)` holds.'],
    ['between dollars', 'With $a_1 * b_2$ and $\\pi$.', 'With `$a_1 * b_2$` and `$\\pi$`.'],
    ['between two dollars', 'Here $$x * y$$ too.', 'Here `$$x * y$$` too.'],
    ['with backticks in it', '\\(a`b\\)', '``\\(a`b\\)``'],
    ['half written', 'So \\(a^2', 'So \\\\(a^2'],
    ['on lines of its own', 'See\n\\[\nx * y\n\\]\nso', 'See\n```latex\n\\[\nx * y\n\\]\n```\nso'],
    ['in a list', '- one\n\n    \\(a_1\\)', '- one\n\n    `\\(a_1\\)`'],
  ])('keeps mathematics %s', (_, text, prepared) => {
    expect(prepareMarkdown(text)).toBe(prepared)
  })

  it.each([
    ['sums of money', 'It costs $5_000 or $6_000 and $7.'],
    ['variables of a shell', 'Set $HOME_DIR/$USER_NAME first.'],
    ['code spans', 'Write `\\(x\\)` or ``a ` \\(b\\)``.'],
    ['fenced code', '```sh\n# not a heading\necho "\\(x\\)" $$\n<div>\n```'],
    ['fenced code that is not closed yet', '~~~\n### a\n\\[ x \\]'],
    ['fenced code deep in a list', '- a\n    1. b\n        ```sh\n        $$\n        \\(x\\)\n        ```'],
    ['fenced code in a list item’s first line', '- ```sh\n  \\(x\\)\n  ```'],
    ['fenced code in a quote', '> ```\n> \\(x\\)\n> ```'],
    ['a fence with words inside of another', '```\n```js\n\\(x\\)\n```'],
    ['indented code', 'Text:\n\n    grep "\\(x\\)" # $$\n    <div>\n\nend \\\\'],
  ])('leaves %s as they are', (_, text) => {
    expect(prepareMarkdown(text)).toBe(text)
  })

  it('goes on after the code of a quote that ends without a fence', () => {
    expect(prepareMarkdown('> ```\n> \\(x\\)\n\n\\(y\\)')).toBe('> ```\n> \\(x\\)\n\n`\\(y\\)`')
  })

  it('keeps the lines of raw HTML, also under a line of text', () => {
    const html = '<table>\n<tr><td>`</td></tr>\n</table>'
    expect(prepareMarkdown(`Text\n${html}\n\n**more**`)).toBe(`Text\n\`\`\`html\n${html}\n\`\`\`\n\n**more**`)
    expect(prepareMarkdown('a <b>bold</b> word')).toBe('a <b>bold</b> word')
  })

  it('leaves no gap between the levels of headings', () => {
    expect(prepareMarkdown('### a\n##### b\n#### c\n# d\n###### e\n####### f\n#g')).toBe(
      '# a\n## b\n## c\n# d\n## e\n####### f\n#g',
    )
  })

  // What went over the rest of the text again at each of these would take minutes, and this test with it.
  it.each([
    '<div>\n\n',
    '$$\n',
    '\\(a ',
    '`a ``b ',
    '`',
    '```\n',
    '$a_',
    '$a ',
    '> ```\n',
    '- \\[\n\n',
    '\\[\n',
    '\\[\n\n',
    '$$a$ ',
    '\\[',
    '\\',
    '# ',
  ])('is ready in one pass: a million characters of %j', unit => {
    const text = unit.repeat(Math.ceil(1_000_000 / unit.length))
    expect(prepareMarkdown(text).length).toBeGreaterThanOrEqual(text.length)
  })
})

describe('growing text', () => {
  const growing = (data: string) => {
    const done: string[] = []
    return {
      data,
      done,
      appendData: (text: string) => void done.push(`append ${text}`),
      replaceData: (offset: number, count: number, text: string) =>
        void done.push(`replace ${offset} ${count} ${text}`),
    }
  }
  it('is added to, and what both have in common is never touched', () => {
    const cases = [
      ['Once', 'Once upon', ['append  upon']],
      ['Once', 'Once', []],
      ['so **bo', 'so bold', ['replace 3 4 bold']],
      ['abc', 'ab', ['replace 2 1 ']],
      ['', 'a', ['append a']],
    ] as const
    for (const [before, after, done] of cases) {
      const node = growing(before)
      exchange(node, after)
      expect(node.done, `${before} to ${after}`).toEqual(done)
    }
  })

  it('in pieces: a piece keeps its text when more comes, and no character is cut', () => {
    const text = `${'word '.repeat(900)}${'🐦'.repeat(3_000)} end`
    const whole = piecesOf(text)
    expect(whole.map(({ piece }) => piece).join('')).toBe(text)
    for (const { piece } of whole) expect(piece.isWellFormed()).toBe(true)
    for (let length = 0; length < text.length; length += 97) {
      const before = piecesOf(text.slice(0, length))
      expect(before.slice(0, -1)).toEqual(whole.slice(0, Math.max(0, before.length - 1)))
    }
  })
})

describe('links', () => {
  it('lead out of the app, by three protocols', () => {
    for (const address of ['https://example.com/', 'http://a.b', 'mailto:a@b.c'])
      expect(safeLink(address)).toBe(address)
    for (const address of ['javascript:alert(1)', 'data:,x', 'file:///etc', '/a', '#b', 'a.b', undefined])
      expect(safeLink(address), String(address)).toBeNull()
  })

  it('show their host, and say when it deceives', () => {
    expect(shownHost('https://example.com:8080/a')).toEqual({ words: 'example.com:8080', isDeceptive: false })
    expect(shownHost('mailto:a@b.c')).toEqual({ words: 'a@b.c', isDeceptive: false })
    // A Cyrillic letter that looks like an "a".
    expect(shownHost('https://ex\u0430mple.com/')).toEqual({ words: 'xn--exmple-4nf.com', isDeceptive: true })
    expect(shownHost('https://example.com@evil.test/')).toEqual({ words: 'evil.test', isDeceptive: true })
  })
})

describe('titles', () => {
  it('show nothing that turns the line, and are never empty to the eye', () => {
    expect(shownTitle('\u202eabc')).toBe('abc')
    expect(shownTitle('two\nlines')).toBe('two lines')
    for (const nothing of ['', ' ', '\u200b', '\u2066\u2069', '\u0301', '\u2800'])
      expect(shownTitle(nothing), JSON.stringify(nothing)).toBe('Untitled chat')
    expect(shownTitle('👩‍👩‍👧 family')).toBe('👩‍👩‍👧 family')
  })
})
