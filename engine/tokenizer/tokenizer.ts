/**
 * Text to token ids and back, from a Hugging Face tokenizer.json.
 * Adds no tokens of its own (post-processors are ignored): <s> and turn markers are the caller's business.
 */
import { EngineError } from '../errors.ts'
import { AddedTokenFinder, isMarker } from './added-tokens.ts'
import { compileNormalizers, compilePreTokenizers, type SectionPlace } from './pipeline.ts'
import { createTokenDecoder, type TokenStream, type TokenTextOptions, tokenOutOfRange } from './token-stream.ts'
import { type AddedToken, parseTokenizerJson, type TokenizerJson } from './tokenizer-json.ts'
import { createWordModel, type WordModel } from './word-model.ts'

interface EncodeOptions {
  /** true: special-token strings in the text become those tokens. false: they are plain text. */
  parseSpecial: boolean
  /** true: the text follows other text, so no prefix space ("▁") is added in front. */
  continuation: boolean
}

/** A piece of a longer text that says for itself whether special-token strings in it are meant. */
export interface TextSegment {
  text: string
  parseSpecial: boolean
}

interface EncodeSegmentsOptions {
  /** As in EncodeOptions; where `from` cuts ordinary text in two, it is a continuation in any case. */
  continuation: boolean
  /** Only the ids of the joined text from this UTF-16 unit on. */
  from?: number
}

export interface Tokenizer {
  readonly vocabularySize: number
  /** Special-token strings ("<s>", "<|end|>") to ids. */
  readonly specialTokens: ReadonlyMap<string, number>
  /** Ids of a text; O(n log n) at worst. Lone surrogates count as U+FFFD. */
  encode(text: string, options: EncodeOptions): number[]
  /** Encodes segments as one text: ids are those of the joined text, but protected segments hold no special tokens. */
  encodeSegments(segments: readonly TextSegment[], options: EncodeSegmentsOptions): number[]
  /** Text of ids, special tokens shown unless `hideSpecial`. Throws `token-out-of-range`. */
  decode(ids: ArrayLike<number>, options?: TokenTextOptions): string
  /** The token as the vocabulary spells it ("▁the", "<0xE6>"), for display; '' for an id without a token. */
  tokenText(id: number): string
  /** Streaming decode; special tokens are hidden unless `hideSpecial` is false. */
  createStream(options?: TokenTextOptions): TokenStream
}

/**
 * `json` is a parsed tokenizer.json, not trusted; `vocabularySize` the model's V, which every id stays below.
 * Throws `tokenizer-invalid`, `tokenizer-unsupported`.
 */
export function createTokenizer(json: unknown, config: { vocabularySize: number }): Tokenizer {
  try {
    return new JsonTokenizer(parseTokenizerJson(json, config.vocabularySize), config.vocabularySize)
  } catch (error) {
    if (error instanceof EngineError) throw error
    // What the checks did not foresee: a stack exhausted by nesting, a limit of the JavaScript engine.
    throw new EngineError('tokenizer-invalid', 'The tokenizer could not be read.', {
      cause: error,
      remedy: 'Use the tokenizer.json that came with the model.',
    })
  }
}

class JsonTokenizer implements Tokenizer {
  readonly vocabularySize: number
  readonly specialTokens: ReadonlyMap<string, number>
  readonly #json: TokenizerJson
  readonly #normalize
  readonly #preTokenize
  readonly #decoder
  /** Tokens found in the text as written, and those found after normalisation. */
  readonly #rawTokens: AddedTokenFinder
  readonly #normalizedTokens: AddedTokenFinder
  #wordModel: WordModel | null = null

  constructor(json: TokenizerJson, vocabularySize: number) {
    this.vocabularySize = vocabularySize
    this.#json = json
    const markers = json.addedTokens.filter(isMarker)
    const userDefined = json.addedTokens.filter(token => !isMarker(token))
    this.specialTokens = new Map(markers.map(token => [token.content, token.id]))
    this.#normalize = compileNormalizers(json.normalizers)
    this.#preTokenize = compilePreTokenizers(json.preTokenizers)
    this.#rawTokens = new AddedTokenFinder([...markers, ...userDefined.filter(token => !token.normalized)])
    // These match the text after normalisation, as they look after it, and with what it put in front of them.
    const normalized = userDefined.filter(token => token.normalized)
    const contentOf = (token: AddedToken): string =>
      this.#normalize(token.content, { continuation: false, first: true })
    this.#normalizedTokens = new AddedTokenFinder(normalized, contentOf)
    const texts = [...json.tokens]
    for (const token of normalized) texts[token.id] = contentOf(token)
    this.#decoder = createTokenDecoder(
      json.decoders,
      texts,
      new Set(markers.map(token => token.id)),
      new Set(json.addedTokens.map(token => token.id)),
    )
  }

  encode(text: string, { parseSpecial, continuation }: EncodeOptions): number[] {
    return this.encodeSegments([{ text, parseSpecial }], { continuation })
  }

  encodeSegments(segments: readonly TextSegment[], { continuation, from = 0 }: EncodeSegmentsOptions): number[] {
    const text = segments
      .map(segment => segment.text)
      .join('')
      .toWellFormed()
    const isMeant = meantTokens(segments)
    const allows = (token: AddedToken, start: number, end: number): boolean =>
      (end <= from || start >= from) && isMeant(token, start, end)
    const ids: number[] = []
    let done = 0
    const section = (start: number, end: number): void => {
      const begin = Math.max(start, from)
      if (begin >= end) return
      const isCut = begin > start || (start === 0 && continuation)
      this.#encodeSection(text.slice(begin, end), { continuation: isCut, first: begin === 0 }, ids)
    }
    for (const match of this.#rawTokens.find(text, allows)) {
      section(done, match.start)
      if (match.tokenStart >= from) ids.push(match.token.id)
      done = match.end
    }
    section(done, text.length)
    return ids
  }

  /** Text without raw added tokens: normalise, look for normalised ones, split into words, words to ids. */
  #encodeSection(text: string, place: SectionPlace, ids: number[]): void {
    this.#wordModel ??= createWordModel(this.#json.model, new Set(this.specialTokens.keys()))
    const normalized = this.#normalize(text, place)
    const words = (part: string, partPlace: SectionPlace): void => {
      if (part === '') return
      for (const word of this.#preTokenize(part, partPlace)) this.#wordModel?.encode(word, ids)
    }
    let done = 0
    for (const match of this.#normalizedTokens.find(normalized)) {
      words(normalized.slice(done, match.start), partPlace(place, done))
      ids.push(match.token.id)
      done = match.end
    }
    words(normalized.slice(done), partPlace(place, done))
  }

  decode(ids: ArrayLike<number>, options: TokenTextOptions = {}): string {
    const stream = this.createStream({ hideSpecial: false, ...options })
    const parts: string[] = []
    for (let i = 0; i < ids.length; i++) parts.push(stream.push(ids[i]))
    parts.push(stream.flush())
    return parts.join('')
  }

  tokenText(id: number): string {
    if (!Number.isInteger(id) || id < 0 || id >= this.vocabularySize) throw tokenOutOfRange(id, this.vocabularySize)
    return this.#json.tokens[id] ?? ''
  }

  createStream(options: TokenTextOptions = {}): TokenStream {
    return this.#decoder.createStream(options)
  }
}

const partPlace = (place: SectionPlace, at: number): SectionPlace =>
  at === 0 ? place : { continuation: false, first: false }

/** Special tokens are meant only where they lie wholly inside segments that parse them. */
function meantTokens(segments: readonly TextSegment[]): (token: AddedToken, start: number, end: number) => boolean {
  const protectedSpans: [number, number][] = []
  let at = 0
  for (const { text, parseSpecial } of segments) {
    if (!parseSpecial && text !== '') protectedSpans.push([at, at + text.length])
    at += text.length
  }
  let next = 0
  return (token, start, end) => {
    if (!isMarker(token)) return true
    // The search only moves forward, so spans that end before it are done with.
    while (next < protectedSpans.length && protectedSpans[next][1] <= start) next += 1
    return next >= protectedSpans.length || protectedSpans[next][0] >= end
  }
}
