/**
 * Token ids to text, one at a time: what is returned is certain and whole.
 * A decoder of tokenizer.json is compiled to bytes for each token, so that pushing costs the token's own length, and
 * decoding everything at once is the same code. Bytes that are no UTF-8 become U+FFFD as the WHATWG decoder does it
 * (the Rust library replaces a whole run of byte tokens when one of them is wrong; that cannot be streamed).
 * Does not clean up spaces before punctuation, as some decoders for encoder models do.
 */
import * as v from 'valibot'
import { EngineError } from '../errors.ts'
import { BYTE_TO_CHARACTER, metaspaceSchema, prependScheme } from './pipeline.ts'
import { type Component, parsePart, tokenizerUnsupported } from './tokenizer-json.ts'

export interface TokenTextOptions {
  /** Leaves special tokens out of the text. */
  hideSpecial?: boolean
  /** The tokens follow others: a leading space is kept. Default false: the tokenizer's own rule for a text's start. */
  continuation?: boolean
}

export interface TokenStream {
  /** Text that is certain after this token; whole UTF-8 characters only. Throws `token-out-of-range`. */
  push(id: number): string
  /** What remains: an incomplete character becomes U+FFFD. The stream can go on afterwards. */
  flush(): string
  /** Bytes held back for an incomplete character: 0 to 3. */
  readonly pendingBytes: number
}

export interface TokenDecoder {
  createStream(options: TokenTextOptions): TokenStream
}

/** What a token adds to the text. `text` is null when its bytes are not whole characters. */
interface TokenText {
  bytes: Uint8Array
  text: string | null
}

interface DecoderRules {
  replacements: [from: string, to: string][]
  byteFallback: boolean
  byteLevel: boolean
  /** Put before each token: tokenizers without a decoder join tokens by spaces. */
  separator: string
  /** Taken away from the text's start: up to `count` times `character`. */
  strip: { character: string; count: number }
}

const textPattern = v.union([v.strictObject({ String: v.string() }), v.strictObject({ Regex: v.string() })])
const replaceSchema = v.object({ pattern: textPattern, content: v.pipe(v.string(), v.maxLength(64)) })
const count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(64))
const stripSchema = v.object({ content: v.string(), start: count, stop: count })

/** Reads the decoder's parts in order. Throws `tokenizer-invalid`, `tokenizer-unsupported`. */
function parseDecoder(components: readonly Component[] | null): DecoderRules {
  const rules: DecoderRules = {
    replacements: [],
    byteFallback: false,
    byteLevel: false,
    separator: '',
    strip: { character: ' ', count: 0 },
  }
  if (components === null) {
    rules.separator = ' '
    rules.strip.count = 1
    return rules
  }
  let fused = false
  for (const part of components) {
    const perToken = !fused && !rules.byteFallback && !rules.byteLevel
    switch (part.type) {
      case 'Replace': {
        const { pattern, content } = parsePart(replaceSchema, part, 'decoder')
        if (!perToken || !('String' in pattern) || pattern.String === '') throw unsupported(part)
        rules.replacements.push([pattern.String, content])
        break
      }
      case 'Metaspace': {
        const options = parsePart(metaspaceSchema, part, 'decoder')
        if (!perToken) throw unsupported(part)
        rules.replacements.push([options.replacement, ' '])
        if (prependScheme(options) !== 'never') rules.strip = { character: ' ', count: 1 }
        break
      }
      case 'ByteFallback':
        if (!perToken) throw unsupported(part)
        rules.byteFallback = true
        break
      case 'ByteLevel':
        if (!perToken || rules.replacements.length > 0) throw unsupported(part)
        rules.byteLevel = true
        break
      case 'Fuse':
        fused = true
        break
      case 'Strip': {
        const { content, start, stop } = parsePart(stripSchema, part, 'decoder')
        // The end of a stream is not known in advance, and stripping each token would lose spaces between words.
        if (stop > 0 || !fused || content.length !== 1) throw unsupported(part)
        rules.strip = { character: content, count: start }
        break
      }
      default:
        throw unsupported(part)
    }
  }
  return rules
}

const unsupported = (part: Component): EngineError =>
  tokenizerUnsupported(`The tokenizer's decoder "${part.type}" is not supported here.`)

/**
 * `tokens` by id, holes included (they have no text). `hidden` are the special ids that `hideSpecial` leaves out;
 * `literal` are added tokens, whose text is never read as bytes.
 */
export function createTokenDecoder(
  components: readonly Component[] | null,
  tokens: readonly (string | undefined)[],
  hidden: ReadonlySet<number>,
  literal: ReadonlySet<number>,
): TokenDecoder {
  const rules = parseDecoder(components)
  const texts: (TokenText | undefined)[] = new Array(tokens.length).fill(undefined)
  const textOf = (id: number): TokenText => {
    if (!Number.isInteger(id) || id < 0 || id >= tokens.length) throw tokenOutOfRange(id, tokens.length)
    return (texts[id] ??= tokenText(tokens[id], rules, literal.has(id)))
  }
  return {
    createStream: ({ hideSpecial = true, continuation = false }) =>
      new ByteStream(textOf, hideSpecial ? hidden : null, continuation ? 0 : rules.strip.count, rules.strip.character),
  }
}

export const tokenOutOfRange = (id: number, vocabularySize: number): EngineError =>
  new EngineError('token-out-of-range', `There is no token ${id}.`, {
    expected: `a whole number from 0 to ${vocabularySize - 1}`,
    actual: String(id),
    remedy: 'Use token ids of this model.',
  })

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const strictDecoder = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true })

const CHARACTER_TO_BYTE: ReadonlyMap<string, number> = new Map(BYTE_TO_CHARACTER.map((c, byte) => [c, byte]))

function tokenText(token: string | undefined, rules: DecoderRules, isLiteral: boolean): TokenText {
  if (token === undefined) return { bytes: new Uint8Array(0), text: '' }
  if (rules.byteFallback && /^<0x[0-9A-Fa-f]{2}>$/.test(token)) {
    return fromBytes(Uint8Array.of(Number.parseInt(token.slice(3, 5), 16)))
  }
  if (rules.byteLevel && !isLiteral) {
    const bytes = Array.from(token, character => CHARACTER_TO_BYTE.get(character))
    if (bytes.every(byte => byte !== undefined)) return fromBytes(Uint8Array.from(bytes))
  }
  let text = token
  for (const [from, to] of rules.replacements) text = text.replaceAll(from, () => to)
  text = rules.separator + text
  return { bytes: encoder.encode(text), text }
}

function fromBytes(bytes: Uint8Array): TokenText {
  try {
    return { bytes, text: strictDecoder.decode(bytes) }
  } catch {
    return { bytes, text: null }
  }
}

class ByteStream implements TokenStream {
  readonly #textOf: (id: number) => TokenText
  readonly #hidden: ReadonlySet<number> | null
  readonly #stripCharacter: string
  #stripLeft: number
  #pending = new Uint8Array(0)

  constructor(
    textOf: (id: number) => TokenText,
    hidden: ReadonlySet<number> | null,
    stripLeft: number,
    stripCharacter: string,
  ) {
    this.#textOf = textOf
    this.#hidden = hidden
    this.#stripLeft = stripLeft
    this.#stripCharacter = stripCharacter
  }

  get pendingBytes(): number {
    return this.#pending.length
  }

  push(id: number): string {
    const { bytes, text } = this.#textOf(id)
    if (this.#hidden?.has(id)) return ''
    if (text !== null && (this.#pending.length === 0 || bytes.length === 0)) return this.#stripStart(text)
    const all = new Uint8Array(this.#pending.length + bytes.length)
    all.set(this.#pending)
    all.set(bytes, this.#pending.length)
    const whole = all.length - incompleteTail(all)
    this.#pending = all.slice(whole)
    return this.#stripStart(decoder.decode(all.subarray(0, whole)))
  }

  flush(): string {
    const rest = decoder.decode(this.#pending)
    this.#pending = new Uint8Array(0)
    return this.#stripStart(rest)
  }

  #stripStart(text: string): string {
    if (this.#stripLeft === 0 || text === '') return text
    let cut = 0
    while (cut < text.length && cut < this.#stripLeft && text[cut] === this.#stripCharacter) cut += 1
    this.#stripLeft = cut < text.length ? 0 : this.#stripLeft - cut
    return text.slice(cut)
  }
}

/**
 * Bytes at the end that begin a character which is not complete but still can be: 0 to 3.
 * Source: the Unicode Standard, table 3-7, well-formed UTF-8 byte sequences.
 */
function incompleteTail(bytes: Uint8Array): number {
  for (let length = 1; length <= Math.min(3, bytes.length); length++) {
    const at = bytes.length - length
    const lead = bytes[at]
    if ((lead & 0xc0) === 0x80) continue
    const expected =
      lead >= 0xf0 && lead <= 0xf4 ? 4 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xc2 && lead < 0xe0 ? 2 : 1
    if (length >= expected) return 0
    return length === 1 || isSecondByte(lead, bytes[at + 1]) ? length : 0
  }
  return 0
}

function isSecondByte(lead: number, second: number): boolean {
  switch (lead) {
    case 0xe0:
      return second >= 0xa0
    case 0xed:
      return second <= 0x9f
    case 0xf0:
      return second >= 0x90
    case 0xf4:
      return second <= 0x8f
    default:
      return true
  }
}
