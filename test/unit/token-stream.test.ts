import { describe, expect, it } from 'vitest'
import { createRandom } from '../../engine/seeded-random.ts'
import type { TokenTextOptions } from '../../engine/tokenizer/token-stream.ts'
import { createTokenizer, type Tokenizer } from '../../engine/tokenizer/tokenizer.ts'
import { byteLevelTokenizer, llamaTokenizer, vocabularySizeOf } from '../tiny-tokenizer.ts'

const TOKENIZERS: [string, Tokenizer][] = [llamaTokenizer(), byteLevelTokenizer()].map((json, i) => [
  ['Llama-style', 'byte-level'][i],
  createTokenizer(json, { vocabularySize: vocabularySizeOf(json) }),
])

const streamed = (tokenizer: Tokenizer, ids: number[], options: TokenTextOptions): string[] => {
  const stream = tokenizer.createStream(options)
  return [...ids.map(id => stream.push(id)), stream.flush()]
}

describe.each(TOKENIZERS)('a stream of a %s tokenizer', (_, tokenizer) => {
  it('adds up to the whole text for any ids', () => {
    const random = createRandom(3)
    for (let round = 0; round < 500; round++) {
      const ids = Array.from({ length: Math.floor(random() * 30) }, () =>
        Math.floor(random() * tokenizer.vocabularySize),
      )
      for (const options of [
        {},
        { hideSpecial: false },
        { continuation: true },
        { hideSpecial: false, continuation: true },
      ]) {
        expect(streamed(tokenizer, ids, options).join('')).toBe(
          tokenizer.decode(ids, { hideSpecial: true, ...options }),
        )
      }
    }
  })

  it('never replaces a character that later tokens complete', () => {
    const text = 'é 日本語 🙂👍🏽 ✓ \u{10ffff}\ufffd'
    const ids = tokenizer.encode(text, { parseSpecial: false, continuation: true })
    const pieces = streamed(tokenizer, ids, { continuation: true })
    expect(pieces.join('')).toBe(text)
    for (const piece of pieces) expect(piece.isWellFormed()).toBe(true)
    expect(pieces.join('').split('\ufffd')).toHaveLength(2)
  })
})

describe('a stream', () => {
  const [, tokenizer] = TOKENIZERS[0]
  const id = (token: string): number => {
    const found = Array.from({ length: tokenizer.vocabularySize }, (_, i) => i).find(
      i => tokenizer.tokenText(i) === token,
    )
    if (found === undefined) throw new Error(`no token ${token}`)
    return found
  }

  it('holds back the bytes of an incomplete character and says how many', () => {
    const stream = tokenizer.createStream({ continuation: true })
    const seen = ['<0xF0>', '<0x9F>', '<0x99>', '<0x82>', 'a'].map(token => [
      stream.push(id(token)),
      stream.pendingBytes,
    ])
    expect(seen).toEqual([
      ['', 1],
      ['', 2],
      ['', 3],
      ['🙂', 0],
      ['a', 0],
    ])
  })

  it('replaces what can no longer become a character, and only that', () => {
    const text = (...tokens: string[]): string[] => streamed(tokenizer, tokens.map(id), { continuation: true })
    expect(text('<0xE6>', 'a')).toEqual(['', '\ufffda', ''])
    expect(text('<0xE6>', '<0xE6>', '<0x97>', '<0xA5>')).toEqual(['', '\ufffd', '', '日', ''])
    expect(text('<0x80>', '<0xFF>', '<0xC0>')).toEqual(['\ufffd', '\ufffd', '\ufffd', ''])
    // E0 80, ED A0 (a surrogate), F4 90 (past the last character): the second byte is already wrong.
    expect(text('<0xE0>', '<0x80>')).toEqual(['', '\ufffd\ufffd', ''])
    expect(text('<0xED>', '<0xA0>')).toEqual(['', '\ufffd\ufffd', ''])
    expect(text('<0xF4>', '<0x90>')).toEqual(['', '\ufffd\ufffd', ''])
    expect(text('<0xE6>', '<0x97>')).toEqual(['', '', '\ufffd'])
  })

  it('lets hidden tokens stand between the bytes of a character', () => {
    const tokens = ['<0xC3>', '<|end|>', '<0xA9>'].map(id)
    expect(streamed(tokenizer, tokens, { continuation: true })).toEqual(['', '', 'é', ''])
  })

  it('strips one space of a text start, whatever token brings it', () => {
    expect(streamed(tokenizer, ['▁▁', '▁hello'].map(id), {})).toEqual([' ', ' hello', ''])
    expect(streamed(tokenizer, ['<0x20>', 'a'].map(id), {})).toEqual(['', 'a', ''])
    expect(streamed(tokenizer, ['<s>', '▁hello'].map(id), {})).toEqual(['', 'hello', ''])
    expect(streamed(tokenizer, ['▁hello'].map(id), { continuation: true })).toEqual([' hello', ''])
  })

  it('goes on after a flush', () => {
    const stream = tokenizer.createStream({ continuation: true })
    stream.push(id('<0xE6>'))
    expect(stream.flush()).toBe('\ufffd')
    expect(stream.push(id('a'))).toBe('a')
  })
})
