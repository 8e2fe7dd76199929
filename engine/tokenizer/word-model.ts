/**
 * From words to ids: the BPE and Unigram models of @huggingface/tokenizers, with byte fallback and unknown tokens.
 * A word of any length is encoded in time n log n, and long words in parts where that changes nothing.
 * Special tokens are kept out of the models: no plain text becomes one, whatever the merges say.
 */
import { BPE, Unigram } from '@huggingface/tokenizers'
import type { BpeModel, UnigramModel } from './tokenizer-json.ts'

export interface WordModel {
  /** Appends the ids of one word. */
  encode(word: string, ids: number[]): void
}

/** Words longer than this are cut where no merge can cross, so that their parts are found in the cache. */
const LONG_WORD = 64
const CACHE_WORDS = 1 << 14
const CACHED_LENGTH = 128

/** `hidden`: tokens (special ones) that plain text must never become. */
export function createWordModel(model: BpeModel | UnigramModel, hidden: ReadonlySet<string>): WordModel {
  const encodeWord = model.type === 'BPE' ? bpeEncoder(model, hidden) : unigramEncoder(model, hidden)
  const cache = new Map<string, number[]>()
  return {
    encode(word, ids) {
      const cached = cache.get(word)
      if (cached !== undefined) {
        for (const id of cached) ids.push(id)
        return
      }
      const first = ids.length
      encodeWord(word, ids)
      if (word.length > CACHED_LENGTH) return
      if (cache.size >= CACHE_WORDS) cache.clear()
      cache.set(word, ids.slice(first))
    },
  }
}

type EncodeWord = (word: string, ids: number[]) => void

function bpeEncoder(model: BpeModel, hidden: ReadonlySet<string>): EncodeWord {
  const visible = new Map(model.vocabulary)
  for (const token of hidden) if (token !== model.unknownToken) visible.delete(token)
  const merges = model.merges.filter(([left, right]) => {
    const merged = left + right
    return visible.has(merged) && visible.has(left) && visible.has(right) && merged !== model.unknownToken
  })
  const bpe = new BPE({
    type: 'BPE',
    vocab: Object.fromEntries(visible),
    merges,
    ...(model.unknownToken === null ? {} : { unk_token: model.unknownToken }),
    byte_fallback: model.byteFallback,
    ignore_merges: model.ignoreMerges,
  } as ConstructorParameters<typeof BPE>[0])
  const unknownId = model.unknownToken === null ? -1 : (visible.get(model.unknownToken) ?? -1)
  const cutter = new SafeCutter(merges)
  return (word, ids) => {
    const whole = model.ignoreMerges ? visible.get(word) : undefined
    if (whole !== undefined) {
      ids.push(whole)
      return
    }
    const parts = word.length > LONG_WORD ? cutter.cut(word) : [word]
    let previousUnknown = false
    for (const part of parts) {
      for (const token of bpe.encode([part])) {
        const id = visible.get(token) ?? unknownId
        const isUnknown = id === unknownId
        if (id >= 0 && !(isUnknown && previousUnknown && model.fuseUnknown)) ids.push(id)
        previousUnknown = isUnknown
      }
    }
  }
}

/**
 * Cuts a word between characters that never stand side by side inside a merged token. No merge crosses such a
 * place, so the parts' ids joined are the word's ids exactly.
 */
class SafeCutter {
  readonly #merges: readonly [string, string][]
  #neighbours: Set<number> | null = null

  constructor(merges: readonly [string, string][]) {
    this.#merges = merges
  }

  cut(word: string): string[] {
    // Only rare texts have long words: the table is made for the first of them.
    this.#neighbours ??= neighbours(this.#merges)
    const parts: string[] = []
    let start = 0
    let previous = -1
    for (let at = 0; at < word.length; ) {
      const character = word.codePointAt(at) ?? 0
      if (previous >= 0 && !this.#neighbours.has(pairKey(previous, character))) {
        parts.push(word.slice(start, at))
        start = at
      }
      previous = character
      at += character > 0xffff ? 2 : 1
    }
    parts.push(word.slice(start))
    return parts
  }
}

/** Pairs of characters that a merge brings together: the last of its left token, the first of its right one. */
function neighbours(merges: readonly [string, string][]): Set<number> {
  const pairs = new Set<number>()
  for (const [left, right] of merges) {
    const lastUnit = left.charCodeAt(left.length - 1)
    const last = (lastUnit & 0xfc00) === 0xdc00 ? (left.codePointAt(left.length - 2) ?? lastUnit) : lastUnit
    pairs.add(pairKey(last, right.codePointAt(0) ?? 0))
  }
  return pairs
}

const pairKey = (left: number, right: number): number => left * 0x110000 + right

function unigramEncoder(model: UnigramModel, hidden: ReadonlySet<string>): EncodeWord {
  const byteIds = model.byteFallback ? byteTokenIds(model) : null
  const unmatchable = new Set([model.unknownId, ...(byteIds ?? [])])
  const idOf = new Map<string, number>()
  // A piece that text must not match keeps its id under a spelling that no text has: a noncharacter.
  const vocab = model.pieces.map(([piece, score], id): [string, number] => {
    const isMatchable = !unmatchable.has(id) && !hidden.has(piece) && !idOf.has(piece)
    if (isMatchable) idOf.set(piece, id)
    return [isMatchable ? piece : `\u{10ffff}${id}`, score]
  })
  const unigram = new Unigram({ type: 'Unigram', vocab, unk_id: model.unknownId }, '')
  const encoder = new TextEncoder()
  return (word, ids) => {
    let previousUnknown = false
    for (const piece of unigram.tokenize(word)) {
      const id = idOf.get(piece)
      if (id !== undefined) ids.push(id)
      else if (byteIds !== null) for (const byte of encoder.encode(piece)) ids.push(byteIds[byte])
      else if (!previousUnknown) ids.push(model.unknownId)
      previousUnknown = id === undefined
    }
  }
}

/** Ids of <0x00> to <0xFF>, or null when one is missing: then there is no byte fallback. */
function byteTokenIds(model: UnigramModel): number[] | null {
  const ids: number[] = new Array(256).fill(-1)
  for (const [id, [piece]] of model.pieces.entries()) {
    if (/^<0x[0-9A-F]{2}>$/.test(piece)) ids[Number.parseInt(piece.slice(3, 5), 16)] = id
  }
  return ids.includes(-1) ? null : ids
}
