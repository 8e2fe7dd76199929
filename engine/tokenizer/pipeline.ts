/**
 * Normalizers and pre-tokenizers of a tokenizer.json: from text to the words that the model (BPE, Unigram) splits.
 * Written here rather than taken from @huggingface/tokenizers because that port differs from the Rust library in
 * split behaviours, punctuation, digits and Metaspace, and cannot leave out the prefix space of a continuation.
 * Source: huggingface/tokenizers, tokenizers/src/{normalizers,pre_tokenizers}.
 */
import * as v from 'valibot'
import { compilePattern, findLiteral, type TextPattern, trustedPattern } from './pattern.ts'
import { type Component, parsePart, tokenizerUnsupported } from './tokenizer-json.ts'

export interface SectionPlace {
  /** The section follows other text: nothing is put in front of it. */
  continuation: boolean
  /** The section starts the whole text. */
  first: boolean
}

export type Normalize = (text: string, place: SectionPlace) => string
export type PreTokenize = (text: string, place: SectionPlace) => string[]

const patternSchema = v.union([v.strictObject({ String: v.string() }), v.strictObject({ Regex: v.string() })])
const behaviorSchema = v.picklist(['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'])
const flag = (otherwise: boolean) => v.nullish(v.boolean(), otherwise)
const oneCharacter = v.custom<string>(
  value => typeof value === 'string' && [...value].length === 1,
  'expected one character',
)

const replaceSchema = v.object({ pattern: patternSchema, content: v.pipe(v.string(), v.maxLength(64)) })
const prependSchema = v.object({ prepend: v.pipe(v.string(), v.maxLength(64)) })
const stripSchema = v.object({ strip_left: flag(true), strip_right: flag(true) })
const splitSchema = v.object({ pattern: patternSchema, behavior: behaviorSchema, invert: flag(false) })
const punctuationSchema = v.object({ behavior: v.nullish(behaviorSchema, 'Isolated') })
const digitsSchema = v.object({ individual_digits: flag(false) })
const byteLevelSchema = v.object({ add_prefix_space: flag(true), use_regex: flag(true) })
const fixedLengthSchema = v.object({ length: v.pipe(v.number(), v.integer(), v.minValue(1)) })
export const metaspaceSchema = v.object({
  replacement: v.nullish(oneCharacter, '▁'),
  prepend_scheme: v.nullish(v.picklist(['always', 'first', 'never'])),
  /** Before prepend_scheme existed. */
  add_prefix_space: v.nullish(v.boolean()),
  split: flag(true),
})

type SplitBehavior = v.InferOutput<typeof behaviorSchema>

/** Throws `tokenizer-invalid`, `tokenizer-unsupported`. */
export function compileNormalizers(components: readonly Component[]): Normalize {
  const steps = components.map(compileNormalizer)
  return (text, place) => steps.reduce((current, step) => step(current, place), text)
}

function compileNormalizer(component: Component): Normalize {
  switch (component.type) {
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD': {
      const form = component.type
      return text => text.normalize(form)
    }
    case 'Lowercase':
      return text => text.toLowerCase()
    case 'StripAccents':
      return text => text.replace(/\p{M}/gu, '')
    case 'Strip': {
      const { strip_left, strip_right } = parsePart(stripSchema, component, 'normalizer')
      return text => {
        const left = strip_left ? text.trimStart() : text
        return strip_right ? left.trimEnd() : left
      }
    }
    case 'Prepend': {
      const { prepend } = parsePart(prependSchema, component, 'normalizer')
      return (text, place) => (place.continuation || text === '' ? text : prepend + text)
    }
    case 'Replace': {
      const { pattern, content } = parsePart(replaceSchema, component, 'normalizer')
      if ('String' in pattern && pattern.String !== '') {
        const literal = pattern.String
        return text => text.replaceAll(literal, () => content)
      }
      const compiled = compilePattern(pattern)
      return text => replaceSpans(text, compiled.find(text), content)
    }
    default:
      throw tokenizerUnsupported(`The tokenizer's normalizer "${component.type}" is not supported.`)
  }
}

function replaceSpans(text: string, spans: number[], content: string): string {
  const parts: string[] = []
  let done = 0
  for (let i = 0; i < spans.length; i += 2) {
    parts.push(text.slice(done, spans[i]), content)
    done = spans[i + 1]
  }
  return parts.join('') + text.slice(done)
}

/** Throws `tokenizer-invalid`, `tokenizer-unsupported`. Without components the text stays one word. */
export function compilePreTokenizers(components: readonly Component[]): PreTokenize {
  const steps = components.map(compilePreTokenizer)
  return (text, place) => {
    let words = [text]
    for (const step of steps) {
      const next: string[] = []
      for (const [index, word] of words.entries()) {
        const at = index === 0 ? place : { continuation: false, first: false }
        for (const part of step(word, at)) if (part !== '') next.push(part)
      }
      words = next
    }
    return words
  }
}

function compilePreTokenizer(component: Component): PreTokenize {
  switch (component.type) {
    case 'Split': {
      const { pattern, behavior, invert } = parsePart(splitSchema, component, 'pre_tokenizer')
      return splitter(compilePattern(pattern), behavior, invert)
    }
    case 'Punctuation': {
      const { behavior } = parsePart(punctuationSchema, component, 'pre_tokenizer')
      return splitter(trustedPattern(/[\p{P}!-/:-@[-`{-~]/gu), behavior)
    }
    case 'Digits': {
      const { individual_digits } = parsePart(digitsSchema, component, 'pre_tokenizer')
      return splitter(trustedPattern(/\p{N}/gu), individual_digits ? 'Isolated' : 'Contiguous')
    }
    case 'Whitespace':
      return splitter(
        trustedPattern(/[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{White_Space}]+/gu),
        'Removed',
        true,
      )
    case 'WhitespaceSplit':
      return splitter(trustedPattern(/\p{White_Space}/gu), 'Removed')
    case 'Metaspace':
      return metaspace(parsePart(metaspaceSchema, component, 'pre_tokenizer'))
    case 'ByteLevel':
      return byteLevel(parsePart(byteLevelSchema, component, 'pre_tokenizer'))
    case 'FixedLength': {
      const { length } = parsePart(fixedLengthSchema, component, 'pre_tokenizer')
      return text => {
        const characters = Array.from(text)
        const words: string[] = []
        for (let i = 0; i < characters.length; i += length) words.push(characters.slice(i, i + length).join(''))
        return words
      }
    }
    default:
      throw tokenizerUnsupported(`The tokenizer's pre-tokenizer "${component.type}" is not supported.`)
  }
}

function metaspace(options: v.InferOutput<typeof metaspaceSchema>): PreTokenize {
  const { replacement, split } = options
  const scheme = prependScheme(options)
  const bySpace = splitter({ find: text => findLiteral(text, replacement) }, 'MergedWithNext')
  return (text, place) => {
    let replaced = text.replaceAll(' ', replacement)
    const prepends = scheme === 'always' || (scheme === 'first' && place.first)
    if (prepends && !place.continuation && !replaced.startsWith(replacement)) replaced = replacement + replaced
    return split ? bySpace(replaced, place) : [replaced]
  }
}

export const prependScheme = (options: v.InferOutput<typeof metaspaceSchema>): 'always' | 'first' | 'never' =>
  options.prepend_scheme ?? (options.add_prefix_space === false ? 'never' : 'always')

const GPT2_WORDS =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu

function byteLevel(options: v.InferOutput<typeof byteLevelSchema>): PreTokenize {
  const byWord = splitter(trustedPattern(GPT2_WORDS), 'Isolated')
  const encoder = new TextEncoder()
  return (text, place) => {
    const spaced = options.add_prefix_space && !place.continuation && !text.startsWith(' ') ? ` ${text}` : text
    const words = options.use_regex ? byWord(spaced, place) : [spaced]
    return words.map(word => {
      let mapped = ''
      for (const byte of encoder.encode(word)) mapped += BYTE_TO_CHARACTER[byte]
      return mapped
    })
  }
}

/**
 * How byte-level tokenizers write bytes as visible characters: printable Latin-1 stands for itself, the other
 * bytes follow from U+0100 on. Source: openai/gpt-2, encoder.py, bytes_to_unicode.
 */
export const BYTE_TO_CHARACTER: readonly string[] = (() => {
  const table: string[] = []
  let next = 0x100
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
    table.push(String.fromCharCode(printable ? byte : next++))
  }
  return table
})()

/** Cuts a text at the matches of a pattern; with `invert` at what lies between them. */
function splitter(pattern: TextPattern, behavior: SplitBehavior, invert = false): PreTokenize {
  return text => {
    const ends: number[] = []
    const isMatch: boolean[] = []
    let done = 0
    const spans = pattern.find(text)
    for (let i = 0; i < spans.length; i += 2) {
      if (spans[i] > done) {
        ends.push(spans[i])
        isMatch.push(invert)
      }
      ends.push(spans[i + 1])
      isMatch.push(!invert)
      done = spans[i + 1]
    }
    if (done < text.length) {
      ends.push(text.length)
      isMatch.push(invert)
    }
    return assemble(text, ends, isMatch, behavior)
  }
}

function assemble(text: string, ends: number[], isMatch: boolean[], behavior: SplitBehavior): string[] {
  const words: string[] = []
  let start = 0
  for (let i = 0; i < ends.length; i++) {
    if (i + 1 < ends.length && joinsNext(isMatch, i, behavior)) continue
    if (behavior !== 'Removed' || !isMatch[i]) words.push(text.slice(start, ends[i]))
    start = ends[i]
  }
  return words
}

/** Whether piece i and the one after it stay together. */
function joinsNext(isMatch: boolean[], i: number, behavior: SplitBehavior): boolean {
  switch (behavior) {
    case 'Contiguous':
      return isMatch[i] === isMatch[i + 1]
    case 'MergedWithPrevious':
      return isMatch[i + 1] && !isMatch[i]
    case 'MergedWithNext':
      return isMatch[i] && !isMatch[i + 1]
    default:
      return false
  }
}
