import { BPE } from '@huggingface/tokenizers'
import { beforeAll, describe, expect, it } from 'vitest'
import { createRandom } from '../../engine/seeded-random.ts'
import { createTokenizer, type Tokenizer } from '../../engine/tokenizer/tokenizer.ts'
import {
  byteLevelTokenizer,
  llamaTokenizer,
  specialToken,
  type TinyTokenizer,
  vocabularySizeOf,
} from '../tiny-tokenizer.ts'

const build = (json: TinyTokenizer): Tokenizer => createTokenizer(json, { vocabularySize: vocabularySizeOf(json) })
const plain = { parseSpecial: false, continuation: false }
const tokensOf = (tokenizer: Tokenizer, text: string, options = plain): string[] =>
  tokenizer.encode(text, options).map(id => tokenizer.tokenText(id))

describe('a Llama-style tokenizer', () => {
  let tokenizer: Tokenizer
  beforeAll(() => {
    tokenizer = build(llamaTokenizer())
  })

  it('puts a space mark in front of a text, not of a continuation', () => {
    expect(tokensOf(tokenizer, 'hello')).toEqual(['▁hello'])
    expect(tokensOf(tokenizer, 'hello', { ...plain, continuation: true })).toEqual(['hello'])
    expect(tokensOf(tokenizer, ' hello', { ...plain, continuation: true })).toEqual(['▁hello'])
    expect(tokensOf(tokenizer, '')).toEqual([])
  })

  it('reads special tokens only when asked to', () => {
    expect(tokensOf(tokenizer, '<s>hello<|end|>', { parseSpecial: true, continuation: false })).toEqual([
      '<s>',
      '▁hello',
      '<|end|>',
    ])
    const asText = tokenizer.encode('<s>hello<|end|></s>', plain)
    for (const id of tokenizer.specialTokens.values()) expect(asText).not.toContain(id)
    expect(tokenizer.decode(asText)).toBe('<s>hello<|end|></s>')
  })

  it('cannot be talked into a special token by its own merges', () => {
    // The vocabulary has the merges <, s and <s, > whose union is the special token.
    expect(tokensOf(tokenizer, '<s>', { ...plain, continuation: true })).toEqual(['<s', '>'])
  })

  it('writes what it lacks as bytes and reads them back', () => {
    expect(tokensOf(tokenizer, 'é', { ...plain, continuation: true })).toEqual(['<0xC3>', '<0xA9>'])
    const text = 'hello 日本 🙂 \u0000 \u{10ffff}'
    expect(tokenizer.decode(tokenizer.encode(text, plain))).toBe(text)
  })

  it('takes lone surrogates for the replacement character', () => {
    const ids = tokenizer.encode('a\ud800b', { ...plain, continuation: true })
    expect(tokenizer.decode(ids, { continuation: true })).toBe('a\ufffdb')
  })

  it('strips the space of a text start, not of a continuation', () => {
    const ids = tokenizer.encode('hello', plain)
    expect(tokenizer.decode(ids)).toBe('hello')
    expect(tokenizer.decode(ids, { continuation: true })).toBe(' hello')
  })

  it('shows or hides special tokens', () => {
    const ids = tokenizer.encode('<s>hello<|end|>', { parseSpecial: true, continuation: false })
    expect(tokenizer.decode(ids)).toBe('<s> hello<|end|>')
    expect(tokenizer.decode(ids, { hideSpecial: true })).toBe('hello')
  })

  it('has no text for ids without a token and refuses ids outside', () => {
    const sparse = createTokenizer(llamaTokenizer(), { vocabularySize: 1000 })
    expect(sparse.tokenText(999)).toBe('')
    expect(sparse.decode([999])).toBe('')
    expect(() => sparse.decode([1000])).toThrow(expect.objectContaining({ code: 'token-out-of-range' }))
    expect(() => sparse.tokenText(-1)).toThrow(expect.objectContaining({ code: 'token-out-of-range' }))
  })

  it('encodes segments as one text, with special tokens only where they are meant', () => {
    const segments = [
      { text: '<s>he', parseSpecial: true },
      { text: 'llo <|end|>', parseSpecial: false },
      { text: '<|end|>', parseSpecial: true },
    ]
    const ids = tokenizer.encodeSegments(segments, { continuation: false })
    expect(ids.map(id => tokenizer.tokenText(id)).join(' ')).toBe('<s> ▁hello ▁ < | e n d | > <|end|>')
  })

  it('does not find a special token across a segment that protects half of it', () => {
    const segments = [
      { text: '<|e', parseSpecial: false },
      { text: 'nd|>', parseSpecial: true },
    ]
    expect(tokenizer.encodeSegments(segments, { continuation: true })).not.toContain(3)
  })

  it('encodes the rest of a text from any offset', () => {
    const text = '<s>hello <|end|>hello'
    const segments = [{ text, parseSpecial: true }]
    const from = (offset: number): string =>
      tokenizer
        .encodeSegments(segments, { continuation: false, from: offset })
        .map(id => tokenizer.tokenText(id))
        .join(' ')
    expect(from(3)).toBe('▁hello ▁ <|end|> ▁hello')
    expect(from(5)).toBe('ll o ▁ <|end|> ▁hello')
    expect(from(9)).toBe('<|end|> ▁hello')
    // Inside a special token: what is left of it is text.
    expect(from(11)).toBe('e n d | > hello')
    expect(from(text.length)).toBe('')
  })
})

describe('added tokens', () => {
  const withTokens = (...more: Record<string, unknown>[]): Tokenizer => {
    const json = llamaTokenizer()
    const base = vocabularySizeOf(json)
    for (const [i, token] of more.entries()) json.added_tokens.push(specialToken(base + i, '', token))
    return build(json)
  }
  const special = { parseSpecial: true, continuation: true }

  it('prefers the leftmost and then the longest', () => {
    const tokenizer = withTokens({ content: '<a>' }, { content: '<a><b>' }, { content: '<b>' })
    expect(tokensOf(tokenizer, '<a><b><b><a>', special)).toEqual(['<a><b>', '<b>', '<a>'])
  })

  it('swallows white space where the token says so', () => {
    const tokenizer = withTokens({ content: '<l>', lstrip: true }, { content: '<r>', rstrip: true })
    expect(tokensOf(tokenizer, 'a \n<l>a', special)).toEqual(['a', '<l>', '▁', 'a'])
    expect(tokensOf(tokenizer, 'a<r> \na', special)).toEqual(['a', '<r>', '▁', 'a'])
  })

  it('finds whole words only where the token says so', () => {
    const tokenizer = withTokens({ content: 'foo', single_word: true })
    expect(tokensOf(tokenizer, 'foo', special)).toEqual(['foo'])
    expect(tokensOf(tokenizer, 'foob', special)).toEqual(['f', 'o', 'o', 'b'])
    expect(tokensOf(tokenizer, '.foo', special)).toEqual(['.', 'foo'])
  })

  it('finds user-defined tokens in plain text as well', () => {
    const tokenizer = withTokens({ content: 'foo', special: false })
    expect(tokensOf(tokenizer, 'afoo', { ...plain, continuation: true })).toEqual(['a', 'foo'])
    expect(tokenizer.specialTokens.has('foo')).toBe(false)
  })

  it('takes unflagged turn markers for special tokens', () => {
    const tokenizer = withTokens({ content: '<｜User｜>', special: false })
    expect(tokenizer.specialTokens.has('<｜User｜>')).toBe(true)
    expect(tokensOf(tokenizer, '<｜User｜>', { ...plain, continuation: true })).not.toContain('<｜User｜>')
  })

  it('leaves out tokens past the end of the embedding', () => {
    const json = llamaTokenizer()
    const size = vocabularySizeOf(json)
    json.added_tokens.push(specialToken(size, '<pad>'))
    const tokenizer = createTokenizer(json, { vocabularySize: size })
    expect(tokenizer.specialTokens.has('<pad>')).toBe(false)
    expect(Math.max(...tokenizer.encode('<pad>', special))).toBeLessThan(size)
  })
})

describe('a byte-level tokenizer', () => {
  it('splits as GPT-2 does and decodes any text', () => {
    const tokenizer = build(byteLevelTokenizer())
    expect(tokensOf(tokenizer, "the the  the's é🙂")).toEqual([
      't',
      'he',
      'Ġthe',
      'Ġ',
      'Ġthe',
      "'",
      's',
      'Ġ',
      'Ã©',
      'ðŁ',
      'Ļ',
      'Ĥ',
    ])
    const text = 'a\n\n\tb  c…é🙂日本\u0085\ufeff'
    expect(tokenizer.decode(tokenizer.encode(text, plain))).toBe(text)
  })
})

describe('pre-tokenizers', () => {
  /** Words, made visible by a merge-less vocabulary: a word's first character is marked by a merge with "^". */
  const words = (preTokenizer: unknown, text: string): string[] => {
    const json = llamaTokenizer()
    json.normalizer = null
    json.pre_tokenizer = preTokenizer
    const characters = [...new Set([...text, '▁'])]
    // Every pair of characters merges, so that a word of up to two characters is one token.
    const merges = characters.flatMap(a => characters.map((b): [string, string] => [a, b]))
    const tokens = new Set(['<unk>', ...characters, ...merges.map(([a, b]) => a + b)])
    json.added_tokens = []
    json.model = {
      ...json.model,
      byte_fallback: false,
      merges,
      vocab: Object.fromEntries([...tokens].map((t, i) => [t, i])),
    }
    return tokensOf(build(json), text)
  }
  const split = (behavior: string, invert = false) => ({ type: 'Split', pattern: { Regex: '-' }, behavior, invert })

  it.each([
    ['Removed', ['a', 'b', 'c']],
    ['Isolated', ['a', '-', 'b', '-', '-', 'c']],
    ['Contiguous', ['a', '-', 'b', '--', 'c']],
    ['MergedWithPrevious', ['a-', 'b-', '-', 'c']],
    ['MergedWithNext', ['a', '-b', '-', '-c']],
  ])('splits %s', (behavior, expected) => {
    expect(words(split(behavior), 'a-b--c')).toEqual(expected)
  })

  it('keeps the matches when inverted and removed', () => {
    expect(words(split('Removed', true), 'a-b--c')).toEqual(['-', '-', '-'])
  })

  it('isolates each punctuation mark and each digit', () => {
    expect(words({ type: 'Punctuation', behavior: 'Isolated' }, 'a..b')).toEqual(['a', '.', '.', 'b'])
    expect(words({ type: 'Digits', individual_digits: true }, 'a12½')).toEqual(['a', '1', '2', '½'])
    expect(words({ type: 'Digits', individual_digits: false }, 'a12')).toEqual(['a', '12'])
  })

  it('splits at spaces as Metaspace does', () => {
    const metaspace = (scheme: string) => ({ type: 'Metaspace', replacement: '▁', prepend_scheme: scheme, split: true })
    expect(words(metaspace('never'), 'a  b')).toEqual(['a', '▁', '▁b'])
    expect(words(metaspace('always'), 'a b')).toEqual(['▁a', '▁b'])
    expect(words(metaspace('first'), 'a b')).toEqual(['▁a', '▁b'])
  })

  it('puts the space mark only in front of the first section with the scheme "first"', () => {
    const json = llamaTokenizer()
    json.normalizer = null
    json.pre_tokenizer = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false }
    expect(tokensOf(build(json), 'hello<s>hello', { parseSpecial: true, continuation: false })).toEqual([
      '▁hello',
      '<s>',
      'hello',
    ])
  })
})

describe('long texts', () => {
  it('gives the same ids as the whole word in one piece', () => {
    const json = llamaTokenizer()
    const tokenizer = build(json)
    const model = new BPE(json.model as unknown as ConstructorParameters<typeof BPE>[0])
    const ids = json.model.vocab as Record<string, number>
    const random = createRandom(11)
    const alphabet = [...'hello▁▁▁ab.é🙂']
    for (let round = 0; round < 50; round++) {
      const length = 70 + Math.floor(random() * 400)
      const word = Array.from({ length }, () => alphabet[Math.floor(random() * alphabet.length)]).join('')
      const whole = model.encode([word]).map(token => ids[token])
      expect(tokenizer.encode(word, { ...plain, continuation: true })).toEqual(whole)
    }
  })

  it('encodes 300,000 equal letters and a megabyte of text', () => {
    const tokenizer = build(llamaTokenizer())
    expect(tokenizer.encode('l'.repeat(300_000), { ...plain, continuation: true })).toHaveLength(150_000)
    const text = 'hello, hello! '.repeat(75_000)
    expect(tokenizer.decode(tokenizer.encode(text, plain))).toBe(text)
  })
})
