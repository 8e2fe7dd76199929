/** Hostile tokenizers, as tokenizer.json and as SentencePiece models: refused with a typed error, or harmless. */
import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import type { EngineErrorCode } from '../../engine/errors.ts'
import { sentencePieceToTokenizerJson } from '../../engine/tokenizer/sentencepiece.ts'
import { createTokenizer } from '../../engine/tokenizer/tokenizer.ts'
import { allocatedBytes, expectRefusal, MIB } from './expect-refusal.ts'

const V = 16
const VOCABULARY = { '<unk>': 0, a: 1, b: 2, ab: 3 }
const MODEL = { type: 'BPE', unk_token: '<unk>', vocab: VOCABULARY, merges: ['a b'] }
const read = async (json: unknown) => createTokenizer(json, { vocabularySize: V })
const split = (Regex: string) => ({
  model: MODEL,
  pre_tokenizer: { type: 'Split', pattern: { Regex }, behavior: 'Isolated' },
})
function nested(depth: number): object {
  let part: object = { type: 'NFC' }
  for (let i = 0; i < depth; i++) part = { type: 'Sequence', normalizers: [part] }
  return part
}

describe('tokenizer.json', () => {
  it.each<[string, unknown, EngineErrorCode]>([
    ['null', null, 'tokenizer-invalid'],
    ['a list', [], 'tokenizer-invalid'],
    ['no model', {}, 'tokenizer-invalid'],
    ['an id outside the vocabulary', { model: { ...MODEL, vocab: { ...VOCABULARY, c: V } } }, 'tokenizer-invalid'],
    ['an id of 2^53', { model: { ...MODEL, vocab: { ...VOCABULARY, c: 2 ** 53 } } }, 'tokenizer-invalid'],
    ['two tokens of one id', { model: { ...MODEL, vocab: { ...VOCABULARY, c: 1 } } }, 'tokenizer-invalid'],
    ['a merge of strangers', { model: { ...MODEL, merges: ['x y'] } }, 'tokenizer-invalid'],
    ['an endless token', { model: { ...MODEL, vocab: { ...VOCABULARY, ['c'.repeat(MIB)]: 4 } } }, 'tokenizer-invalid'],
    ['half a character', { model: { ...MODEL, vocab: { ...VOCABULARY, '\ud800': 4 } } }, 'tokenizer-invalid'],
    ['an empty added token', { model: MODEL, added_tokens: [{ id: 4, content: '' }] }, 'tokenizer-invalid'],
    ['normalizers nested 10,000 deep', { model: MODEL, normalizer: nested(10_000) }, 'tokenizer-invalid'],
    ['random encoding', { model: { ...MODEL, dropout: 0.5 } }, 'tokenizer-unsupported'],
    ['a pattern that backtracks without end', split('(a+)+$'), 'tokenizer-unsupported'],
    ['a pattern that overlaps itself', split('(a|a)*b'), 'tokenizer-unsupported'],
    ['a pattern of three runs', split('\\s*\\s*\\s*x'), 'tokenizer-unsupported'],
    ['a pattern of a megabyte', split('a'.repeat(MIB)), 'tokenizer-unsupported'],
    ['a pattern that is none', split('('), 'tokenizer-invalid'],
    [
      'Unigram scores that are not numbers',
      { model: { type: 'Unigram', unk_id: 0, vocab: [['a', null]] } },
      'tokenizer-invalid',
    ],
  ])('%s', async (_, json, code) => {
    await expectRefusal(() => read(json), code)
  })

  it('names of JavaScript are tokens like others', async () => {
    const vocab = { ...VOCABULARY, constructor: 4, ['__proto__']: 5, toString: 6 }
    const tokenizer = await read({ model: { ...MODEL, vocab: JSON.parse(JSON.stringify(vocab)) } })
    expect(tokenizer.tokenText(4)).toBe('constructor')
    expect(tokenizer.tokenText(5)).toBe('__proto__')
    expect(tokenizer.encode('toString', { parseSpecial: true, continuation: false })).not.toContain(6)
  })

  it('a normalizer cannot make a text larger than its pattern allows', async () => {
    const json = { model: MODEL, normalizer: { type: 'Replace', pattern: { String: 'a' }, content: 'b'.repeat(65) } }
    await expectRefusal(() => read(json), 'tokenizer-invalid')
  })
})

describe('tokenizer.model', async () => {
  const valid = new Uint8Array(await readFile(new URL('../golden/data/sentencepiece/llama-bpe.model', import.meta.url)))
  const parse = async (bytes: Uint8Array) => sentencePieceToTokenizerJson(bytes)

  it('cut off anywhere is refused', async () => {
    for (let length = 0; length < 400; length++) {
      // Where a field ends, what is left is a smaller model, which lacks what the rest had.
      const error = await parse(valid.subarray(0, length)).then(
        () => null,
        error => error,
      )
      if (error !== null) expect(error).toMatchObject({ code: 'tokenizer-invalid' })
      else expect(length).toBeGreaterThan(8)
    }
    await expectRefusal(() => parse(new Uint8Array(0)), 'tokenizer-invalid')
    await expectRefusal(() => parse(valid.subarray(0, 5)), 'tokenizer-invalid')
  })

  it.each<[string, number[]]>([
    ['a piece of 2^60 bytes', [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]],
    ['a number without an end', [0x0a, ...new Array(12).fill(0xff)]],
    ['a group', [0x0b, 0x00]],
    ['a field without a number', [0x02, 0x00]],
    ['an empty piece', [0x0a, 0x00]],
    ['a piece that is not UTF-8', [0x0a, 0x04, 0x0a, 0x02, 0xff, 0xfe]],
    ['a score of NaN', [0x0a, 0x08, 0x0a, 0x01, 0x61, 0x15, 0x00, 0x00, 0xc0, 0x7f]],
    ['text', [...new TextEncoder().encode('{"model": {}}')]],
  ])('%s', async (_, bytes) => {
    const allocated = await allocatedBytes(() =>
      expectRefusal(() => parse(Uint8Array.from(bytes)), 'tokenizer-invalid'),
    )
    expect(allocated).toBeLessThan(8 * MIB)
  })

  it('of two million pieces is refused', async () => {
    const piece = [0x0a, 0x03, 0x0a, 0x01, 0x61]
    await expectRefusal(() => parse(Uint8Array.from(new Array(2_000_000).fill(piece).flat())), 'tokenizer-invalid')
  })
})
