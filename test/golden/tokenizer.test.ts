/**
 * Tokenizers against the programs that define them: the embedded model's against the tokenizers library, and converted
 * SentencePiece models against SentencePiece itself.
 */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { sentencePieceToTokenizerJson } from '../../engine/tokenizer/sentencepiece.ts'
import { createTokenizer, type Tokenizer } from '../../engine/tokenizer/tokenizer.ts'
import { openEmbeddedModel } from './golden-data.ts'

const casesSchema = v.pipe(
  v.array(v.object({ text: v.string(), ids: v.array(v.number()), decoded: v.string() })),
  v.minLength(20),
)

const tokenizerFileSchema = v.object({
  tokenizer: v.looseObject({ model: v.looseObject({ vocab: v.record(v.string(), v.number()) }) }),
  cases: v.pipe(
    v.array(v.object({ text: v.string(), ids: v.array(v.number()), decoded: v.string(), hidden: v.string() })),
    v.minLength(20),
  ),
})

const dataPath = (name: string): string => fileURLToPath(new URL(`./data/${name}`, import.meta.url))
const readCases = async (name: string) => v.parse(casesSchema, JSON.parse(await readFile(dataPath(name), 'utf8')))

const streamed = (tokenizer: Tokenizer, ids: number[]): string => {
  const stream = tokenizer.createStream({ hideSpecial: false })
  return ids.map(id => stream.push(id)).join('') + stream.flush()
}

it('the embedded tokenizer gives the ids and texts of the tokenizers library', async () => {
  const file = await openEmbeddedModel()
  const tokenizer = createTokenizer(JSON.parse(file.tokenizerJson!), file.config)
  await file.close()
  for (const { text, ids, decoded } of await readCases('tern-98m-v2/tokenizer-golden.json')) {
    expect(tokenizer.encode(text, { parseSpecial: true, continuation: false }), text).toEqual(ids)
    expect(tokenizer.decode(ids)).toBe(decoded)
    expect(streamed(tokenizer, ids)).toBe(decoded)
  }
})

describe.each(['llama-bpe', 'bpe-without-extra-spaces', 'bpe-without-bytes', 'unigram'])(
  'the SentencePiece model %s',
  name => {
    it('gives the ids and texts of SentencePiece', async () => {
      const json = sentencePieceToTokenizerJson(await readFile(dataPath(`sentencepiece/${name}.model`)))
      const tokenizer = createTokenizer(json, { vocabularySize: 1200 })
      for (const { text, ids, decoded } of await readCases(`sentencepiece/${name}.json`)) {
        expect(tokenizer.encode(text, { parseSpecial: false, continuation: false }), JSON.stringify(text)).toEqual(ids)
        // SentencePiece shows unknown text as " ⁇ ", tokenizers as the token's name.
        if (!ids.includes(0)) expect(tokenizer.decode(ids)).toBe(decoded)
        expect(streamed(tokenizer, ids)).toBe(tokenizer.decode(ids))
      }
    })
  },
)

describe.each([
  'gpt-2',
  'llama-2',
  'llama-3',
  'gpt-4o',
  'deepseek',
  'digits-and-punctuation',
  'metaspace',
  'metaspace-first',
  'split-behaviors',
  'whitespace',
])('the tokenizer %s', name => {
  it('gives the ids and texts of the tokenizers library', async () => {
    const file = v.parse(tokenizerFileSchema, JSON.parse(await readFile(dataPath(`tokenizers/${name}.json`), 'utf8')))
    const addedTokens = 4
    const vocabularySize = Object.keys(file.tokenizer.model.vocab).length + addedTokens
    const tokenizer = createTokenizer(file.tokenizer, { vocabularySize })
    for (const { text, ids, decoded, hidden } of file.cases) {
      expect(tokenizer.encode(text, { parseSpecial: true, continuation: false }), JSON.stringify(text)).toEqual(ids)
      expect(tokenizer.decode(ids)).toBe(decoded)
      expect(tokenizer.decode(ids, { hideSpecial: true })).toBe(hidden)
      expect(streamed(tokenizer, ids)).toBe(decoded)
    }
  })
})
