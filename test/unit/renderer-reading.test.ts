/** What the window makes of texts before it draws them: pure functions. */
import { describe, expect, it } from 'vitest'
import { type AddressBar, chatIdOf, followAddress, hashOf } from '../../renderer/app/address.ts'
import { chatAsMarkdown } from '../../renderer/features/chat/copy-chat.tsx'
import { exchange } from '../../renderer/features/chat/growing-text.tsx'
import { shownHost } from '../../renderer/features/chat/link-target.ts'
import { piecesOf } from '../../renderer/features/chat/markdown.tsx'
import { prepareMarkdown } from '../../renderer/features/chat/prepare-markdown.ts'
import { readingCostOf, timeLeftMs } from '../../renderer/features/chat/reading-cost.ts'
import { createChatsStore } from '../../renderer/stores/chats.ts'
import { createConnection } from '../../renderer/stores/connection.ts'
import { createNavigationStore } from '../../renderer/stores/navigation.ts'
import { shownTitle } from '../../renderer/ui/chat-title.ts'
import { isOfInputMethod } from '../../renderer/ui/input-method.ts'
import { chatMessage } from '../messages.ts'

const figures = (generatedTokens: number, prefillTokensPerSecond: number | null) => ({
  promptTokens: 10,
  generatedTokens,
  ttftMs: 10,
  prefillTokensPerSecond,
  decodeTokensPerSecond: null,
})

it.each([
  ['inline mathematics becomes code', 'So \\(a^2\\, b\\) holds', 'So `\\(a^2\\, b\\)` holds'],
  ['two on a line', '\\(a\\) and \\[b\\]', '`\\(a\\)` and `\\[b\\]`'],
  ['with a backtick inside', '\\(a`b\\)', '``\\(a`b\\)``'],
  ['half of one, as while it streams', 'So \\(a', 'So \\\\(a'],
  ['an escaped backslash is none', 'C:\\\\(x)', 'C:\\\\(x)'],
  ['code spans stay', 'see `\\(x\\)` here', 'see `\\(x\\)` here'],
  ['fences stay', '```\n\\(x\\)\n# no heading\n```', '```\n\\(x\\)\n# no heading\n```'],
  ['a longer fence holds a shorter one', '````\n```\n\\(x\\)\n````', '````\n```\n\\(x\\)\n````'],
  ['display mathematics over lines', '\\[\na\\,b\n\\]\nafter', '```latex\n\\[\na\\,b\n\\]\n```\nafter'],
  ['in dollars', '$$ x^2 $$', '```latex\n$$ x^2 $$\n```'],
  ['display mathematics without its end yet', '\\[\na\\,b', '```latex\n\\[\na\\,b\n```'],
  ['what only begins with a bracket is inline', '\\[a\\] is it', '`\\[a\\]` is it'],
  ['one dollar is money', 'from $5 to $10', 'from $5 to $10'],
  ['headings begin at the first level', '### A\n\n##### B', '# A\n\n## B'],
  ['and come back up', '# A\n## B\n# C\n### D', '# A\n## B\n# C\n## D'],
  ['raw HTML is code, line by line', '<table>\n<tr>*a*</tr>\n\nafter', '```html\n<table>\n<tr>*a*</tr>\n```\n\nafter'],
  ['tags within a line are not', 'a <b>bold</b> word', 'a <b>bold</b> word'],
])('markdown: %s', (_, given, prepared) => {
  expect(prepareMarkdown(given)).toBe(prepared)
})

it('text grows by what is new, and changes from where it differs', () => {
  const done: string[] = []
  const nodeOf = (data: string) => ({
    data,
    appendData: (text: string) => void done.push(`+${text}`),
    replaceData: (at: number, count: number, text: string) => void done.push(`${at},${count},${text}`),
  })
  exchange(nodeOf('one'), 'one two')
  exchange(nodeOf('one'), 'one')
  exchange(nodeOf('one **tw'), 'one ')
  expect(done).toEqual(['+ two', '4,4,'])
})

it('pieces of a huge block join to it, and do not change when it grows', () => {
  const text = `${'word '.repeat(3_000)}${'x'.repeat(5_001)}${'😀'.repeat(3_000)}`
  const pieces = piecesOf(text)
  expect(pieces.map(({ piece }) => piece).join('')).toBe(text)
  for (const { piece } of pieces) {
    expect(piece.length).toBeLessThanOrEqual(2_000)
    expect(piece.isWellFormed()).toBe(true)
  }
  expect(piecesOf(`${text} more`).slice(0, pieces.length - 1)).toEqual(pieces.slice(0, -1))
})

it('a reading’s cost comes from what was measured, else from what is usual', () => {
  const text = 'x'.repeat(7_000)
  expect(readingCostOf(text, [])).toEqual({ tokens: 2_000, milliseconds: null })
  const measured = [
    chatMessage({ content: 'y'.repeat(400), stats: figures(100, 50) }),
    chatMessage({ content: 'y'.repeat(400), stats: figures(100, 100) }),
  ]
  expect(readingCostOf(text, measured)).toEqual({ tokens: 1_750, milliseconds: 17_500 })
})

it('the time left is told from the pace so far, and not from its first second', () => {
  const first = { atMs: 1_000, tokensDone: 100 }
  expect(timeLeftMs(first, { atMs: 1_500, tokensDone: 200 }, 1_000)).toBeNull()
  expect(timeLeftMs(first, { atMs: 3_000, tokensDone: 100 }, 1_000)).toBeNull()
  expect(timeLeftMs(first, { atMs: 3_000, tokensDone: 300 }, 1_000)).toBe(7_000)
})

it.each([
  ['https://example.com/a', 'example.com', false],
  ['http://bank.com@evil.test/', 'evil.test', true],
  ['https://pаypal.com/', 'xn--pypal-4ve.com', true],
  ['https://example.com:8443/', 'example.com:8443', false],
  ['mailto:someone@example.com', 'someone@example.com', false],
])('the host of %s is %s', (address, words, isDeceptive) => {
  expect(shownHost(address)).toEqual({ words, isDeceptive })
})

it.each([
  ['Plain title', 'Plain title'],
  ['\u202eeltit live', 'eltit live'],
  ['\u200b', 'Untitled chat'],
  ['', 'Untitled chat'],
  ['a\u0000\nb', 'a b'],
  ['👩‍👩‍👧 family', '👩‍👩‍👧 family'],
])('the title %j is shown as %j', (title, shown) => {
  expect(shownTitle(title)).toBe(shown)
})

it('knows the keys of an input method by either mark', () => {
  expect(isOfInputMethod({ isComposing: false, keyCode: 13 })).toBe(false)
  expect(isOfInputMethod({ isComposing: true, keyCode: 13 })).toBe(true)
  expect(isOfInputMethod({ isComposing: false, keyCode: 229 })).toBe(true)
})

it('addresses name chats and nothing else', () => {
  expect(chatIdOf(hashOf('a-1_b'))).toBe('a-1_b')
  for (const hash of ['', '#/', '#composer', '#/chat/', '#/chat/a/b', '#/chat/<x>']) expect(chatIdOf(hash)).toBeNull()
})

describe('the address bar', () => {
  const barAt = (hash: string) => {
    const visited = [hash]
    let pop = () => {}
    const show = (_: null, __: string, url: string) => {
      bar.location.hash = url
    }
    const bar: AddressBar & { back(): void; visited: string[] } = {
      location: { hash },
      visited,
      history: {
        pushState: (state, unused, url) => {
          visited.push(url)
          show(state, unused, url)
        },
        replaceState: show,
      },
      addEventListener: (_, listener) => {
        pop = listener
      },
      back() {
        visited.pop()
        bar.location.hash = visited.at(-1)!
        pop()
      },
    }
    return bar
  }
  const storesAt = (hash: string) => {
    const memo = { getItem: () => null, setItem: () => {} }
    const { client } = createConnection(() => new Promise(() => {}))
    const chats = createChatsStore(client, run => run(), memo)
    const navigation = createNavigationStore()
    const bar = barAt(hash)
    followAddress(chats, navigation, bar)
    return { chats, navigation, bar }
  }

  it('leads to the settings and back to the chat that was open', () => {
    const { chats, navigation, bar } = storesAt('#/chat/a')
    navigation.go('settings')
    expect(bar.visited).toEqual(['#/chat/a', '#/settings'])
    bar.back()
    expect(navigation.state.getState().place).toBe('chat')
    expect(chats.state.getState().currentId).toBe('a')
  })

  it('opens the settings where it names them, and a chat leads out of them', () => {
    const { chats, navigation, bar } = storesAt('#/settings')
    expect(navigation.state.getState().place).toBe('settings')
    expect(bar.location.hash).toBe('#/settings')
    chats.open('b')
    expect(navigation.state.getState().place).toBe('chat')
    expect(bar.location.hash).toBe('#/chat/b')
  })
})

it('a copied chat says who said what', () => {
  const messages = [chatMessage({ role: 'user', content: 'Hi ' }), chatMessage({ content: 'Hello' })]
  expect(chatAsMarkdown(messages)).toBe('## You\n\nHi\n\n## Tern\n\nHello\n')
})
