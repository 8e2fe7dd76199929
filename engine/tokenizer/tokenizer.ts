/**
 * Text to token ids and back, from a Hugging Face tokenizer.json.
 */
import { EngineError } from '../errors.ts'
import type { TokenStream, TokenTextOptions } from './token-stream.ts'

export interface EncodeOptions {
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

export interface Tokenizer {
  readonly vocabularySize: number
  /** Special-token strings ("<s>", "<|end|>") to ids. */
  readonly specialTokens: ReadonlyMap<string, number>
  encode(text: string, options: EncodeOptions): number[]
  /** Encodes segments as one text: ids are those of the joined text, but protected segments hold no special tokens. */
  encodeSegments(segments: readonly TextSegment[], options: { continuation: boolean }): number[]
  /** Text of ids, special tokens shown unless `hideSpecial`. Throws `token-out-of-range`. */
  decode(ids: ArrayLike<number>, options?: TokenTextOptions): string
  /** The token as the vocabulary spells it ("▁the", "<0xE6>"), for display. */
  tokenText(id: number): string
  /** Streaming decode; special tokens are hidden unless `hideSpecial` is false. */
  createStream(options?: TokenTextOptions): TokenStream
}

/** Throws `tokenizer-invalid`, `tokenizer-unsupported`. */
export function createTokenizer(_json: unknown, _config: { vocabularySize: number }): Tokenizer {
  throw new EngineError('internal', 'not yet written')
}
