/** The languages of the window: complete by type; here that their words are really others, and their figures too. */
import { afterEach, expect, it } from 'vitest'
import { strings } from '../../renderer/app/strings.ts'
import { english } from '../../renderer/language/english.ts'
import { german } from '../../renderer/language/german.ts'
import { languageOf, speakLanguage } from '../../renderer/language/language.ts'
import { formatBytes, formatDuration, formatRate } from '../../renderer/ui/units.ts'

afterEach(() => speakLanguage('en'))

/** Every text of a table by its path; functions are asked with values that fit them. */
function textsOf(table: object, path = ''): [path: string, text: string][] {
  return Object.entries(table).flatMap(([key, value]): [string, string][] => {
    const at = `${path}.${key}`
    if (typeof value === 'string') return [[at, value]]
    if (typeof value === 'function') return [1, 2].map(n => [`${at}(${n})`, value(...argumentsFor(at, n))])
    return textsOf(value, at)
  })
}

const argumentsFor = (path: string, n: number): unknown[] =>
  path.endsWith('.date')
    ? [new Date(0)]
    : /storage.recovered|find.count|find.hit|version$|prefill$/.test(path)
      ? [n, n, false]
      : [n, n]

/** Names, units, and words that both languages have. */
const ALIKE =
  /^\.(app\.name|tab\.replying|branches\.folded|markdown\.code|engine\.code|power\.watts|power\.scopes\.board|settings\.files\.sources|settings\.look\.(languages|themes\.system)|chats\.region|empty\.examples|instruments\.(backend))/

it('German says everything in other words, but for names', () => {
  const [en, de] = [new Map(textsOf(english)), new Map(textsOf(german))]
  expect([...de.keys()]).toEqual([...en.keys()])
  const same = [...en].filter(([path, text]) => de.get(path) === text && !ALIKE.test(path)).map(([path]) => path)
  expect(same).toEqual([])
  for (const [path, text] of de) expect(text.trim(), path).not.toBe('')
})

it('knows one from many', () => {
  expect([german.reply.tokens(1), german.reply.tokens(12_345)]).toEqual(['1 Token', '12.345 Tokens'])
  expect(german.storage.recovered(1, 1)).toContain('1 Nachricht in 1 Chat')
})

it('is the first of the reader’s languages that there is', () => {
  expect(languageOf('system', ['fr-FR', 'de-CH', 'en'])).toBe('de')
  expect(languageOf('system', ['en-GB', 'de'])).toBe('en')
  expect(languageOf('system', ['fr', 'constructor'])).toBe('en')
  expect(languageOf('de', ['en'])).toBe('de')
})

it('is spoken from then on, with its figures', () => {
  speakLanguage('de')
  expect(strings.composer.send).toBe('Senden')
  const plain = (text: string) => text.replaceAll('\u00a0', ' ')
  expect([formatRate(41.8), plain(formatDuration(1_420)), plain(formatBytes(1_536))]).toEqual([
    '41,8',
    '1,42 s',
    '1,50 KiB',
  ])
  speakLanguage('en')
  expect([strings.composer.send, formatRate(41.8)]).toEqual(['Send', '41.8'])
})
