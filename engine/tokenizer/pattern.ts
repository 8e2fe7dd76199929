/**
 * Regular expressions that come with a tokenizer, made safe to run on any text. JavaScript cannot interrupt a
 * match, so a pattern is admitted by its structure: the widely used ones by name, others only when their matching
 * time is at most quadratic, and those see the text through a window, never as a whole.
 * Does not judge whether a pattern is sensible, and does not bound the patterns that are known to be linear.
 */
import { SplitPreTokenizer } from '@huggingface/tokenizers'
import { EngineError } from '../errors.ts'

export interface TextPattern {
  /** Non-empty matches in order: start and end offsets in UTF-16 units, alternating. */
  find(text: string): number[]
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const CL100K_TAIL = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'

/** Patterns of GPT-2, cl100k (Llama 3) and Qwen 2: each start position is tried once, runs are consumed whole. */
const LINEAR_PATTERNS: ReadonlySet<string> = new Set([
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${CL100K_TAIL}`,
  `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${CL100K_TAIL}`,
])

const LIMITS = {
  patternLength: 4096,
  groupDepth: 32,
  /** Product of nested exact repetitions. */
  repetitions: 1000,
  /** Unbounded quantifiers of one branch that a later failure can make give back: 1 is quadratic time. */
  backtrackingQuantifiers: 1,
  /** log2 of the ways that alternatives and small quantifiers of one branch can be combined. */
  backtrackingBits: 8,
} as const

/** Text that an admitted but unknown pattern sees at once, in UTF-16 units. */
const WINDOW = 4096
/** How far lookaround may reach over a window's edge. */
const WINDOW_MARGIN = 128

/**
 * Compiles the `pattern` of a tokenizer.json component: { String } or { Regex } (Oniguruma syntax).
 * Throws `tokenizer-invalid` when it does not compile, `tokenizer-unsupported` when it could hang.
 */
export function compilePattern(pattern: { String: string } | { Regex: string }): TextPattern {
  const source = 'String' in pattern ? pattern.String : pattern.Regex
  if (source === '' || source.length > LIMITS.patternLength) {
    throw new EngineError('tokenizer-unsupported', 'A pattern of the tokenizer is empty or too long.', {
      expected: `1 to ${LIMITS.patternLength} characters`,
      actual: `${source.length}`,
      remedy: 'Use a tokenizer.json from a trusted source.',
    })
  }
  if ('String' in pattern) return { find: text => findLiteral(text, source) }
  let regex: RegExp | null
  try {
    regex = new SplitPreTokenizer({ type: 'Split', pattern: { Regex: source }, behavior: 'Isolated', invert: false })
      .pattern
    regex?.test('')
  } catch (cause) {
    throw new EngineError('tokenizer-invalid', `A pattern of the tokenizer does not compile: ${quote(source)}.`, {
      cause,
      remedy: 'Use a tokenizer.json from a trusted source.',
    })
  }
  if (regex === null) throw new EngineError('tokenizer-invalid', 'A pattern of the tokenizer is missing.')
  return compileRegex(source, regex)
}

/** A pattern that this program wrote itself: trusted to be linear. */
export const trustedPattern = (regex: RegExp): TextPattern => ({ find: text => findAll(text, regex) })

function compileRegex(source: string, regex: RegExp): TextPattern {
  if (LINEAR_PATTERNS.has(source)) return trustedPattern(regex)
  new StructureCheck(source, regex.source).run()
  return { find: text => findInWindows(text, regex) }
}

/** As TextPattern.find, of a plain text. */
export function findLiteral(text: string, literal: string): number[] {
  const spans: number[] = []
  for (let at = text.indexOf(literal); at >= 0; at = text.indexOf(literal, at + literal.length)) {
    spans.push(at, at + literal.length)
  }
  return spans
}

function findAll(text: string, regex: RegExp): number[] {
  const spans: number[] = []
  for (const match of text.matchAll(regex)) {
    if (match[0].length > 0) spans.push(match.index, match.index + match[0].length)
  }
  return spans
}

/**
 * All matches, seen through a window that moves on with the last certain match. The same as in one pass, unless a
 * single match is longer than a window or lookaround reaches further than its margin.
 */
function findInWindows(text: string, regex: RegExp): number[] {
  if (text.length <= WINDOW) return findAll(text, regex)
  const spans: number[] = []
  let from = 0
  while (from < text.length) {
    const begin = wholeCharacter(text, Math.max(0, from - WINDOW_MARGIN))
    const end = wholeCharacter(text, Math.min(text.length, from + WINDOW))
    const certain = end === text.length ? end : end - WINDOW_MARGIN
    const view = text.slice(begin, end)
    regex.lastIndex = from - begin
    let next = certain
    let found = false
    for (let match = regex.exec(view); match !== null; match = regex.exec(view)) {
      const matchStart = begin + match.index
      const matchEnd = matchStart + match[0].length
      if (match[0].length === 0) {
        regex.lastIndex += (view.codePointAt(regex.lastIndex) ?? 0) > 0xffff ? 2 : 1
        continue
      }
      if (matchEnd > certain && (found || matchStart > from)) {
        next = Math.min(next, matchStart)
        break
      }
      spans.push(matchStart, matchEnd)
      found = true
      next = Math.max(certain, matchEnd)
      if (matchEnd >= certain) {
        next = matchEnd
        break
      }
    }
    from = Math.max(wholeCharacter(text, next), from + 1)
  }
  return spans
}

/** `at`, moved forward when it lies inside a surrogate pair. */
const wholeCharacter = (text: string, at: number): number =>
  at > 0 &&
  at < text.length &&
  (text.charCodeAt(at) & 0xfc00) === 0xdc00 &&
  (text.charCodeAt(at - 1) & 0xfc00) === 0xd800
    ? at + 1
    : at

const quote = (source: string): string => JSON.stringify(source.length > 80 ? `${source.slice(0, 80)}…` : source)

/** What a part of a pattern can cost when something after it fails. */
interface Cost {
  /** Can be matched in more than one way. */
  variable: boolean
  /** Can fail. */
  mandatory: boolean
  /** Unbounded quantifiers (and log2 of other choices) that a failure inside the part itself makes give back. */
  quantifiers: number
  bits: number
  /** The same for a failure after the part. */
  pendingQuantifiers: number
  pendingBits: number
  /** Largest product of exact repetitions. */
  repetitions: number
}

/**
 * Reads a compiled pattern's source (JavaScript syntax with the u flag, known to be well-formed) and bounds its
 * backtracking from above. Refuses what it cannot bound: variable parts that repeat, such as (a+)+ or (a|ab)*.
 */
class StructureCheck {
  readonly #source: string
  readonly #pattern: string
  #at = 0

  constructor(source: string, pattern: string) {
    this.#source = source
    this.#pattern = pattern
  }

  run(): void {
    const cost = this.#alternatives(0)
    if (
      cost.quantifiers > LIMITS.backtrackingQuantifiers ||
      cost.bits > LIMITS.backtrackingBits ||
      cost.repetitions > LIMITS.repetitions
    ) {
      this.#refuse('backtracks too much')
    }
  }

  #refuse(why: string): never {
    throw new EngineError('tokenizer-unsupported', `A pattern of the tokenizer could hang: ${quote(this.#source)}.`, {
      expected: 'a pattern whose matching time is bounded',
      actual: `it ${why}`,
      remedy: 'Use a tokenizer.json from a trusted source.',
    })
  }

  #alternatives(depth: number): Cost {
    if (depth > LIMITS.groupDepth) this.#refuse('nests too deeply')
    const branches = [this.#branch(depth)]
    while (this.#pattern[this.#at] === '|') {
      this.#at += 1
      branches.push(this.#branch(depth))
    }
    const most = (of: (cost: Cost) => number): number => Math.max(...branches.map(of))
    return {
      variable: branches.length > 1 || branches[0].variable,
      mandatory: branches.every(branch => branch.mandatory),
      quantifiers: most(branch => branch.quantifiers),
      bits: most(branch => branch.bits),
      pendingQuantifiers: most(branch => branch.pendingQuantifiers),
      pendingBits: most(branch => branch.pendingBits) + Math.log2(branches.length),
      repetitions: most(branch => branch.repetitions),
    }
  }

  #branch(depth: number): Cost {
    const cost: Cost = {
      variable: false,
      mandatory: false,
      quantifiers: 0,
      bits: 0,
      pendingQuantifiers: 0,
      pendingBits: 0,
      repetitions: 1,
    }
    while (this.#at < this.#pattern.length && this.#pattern[this.#at] !== '|' && this.#pattern[this.#at] !== ')') {
      const item = this.#quantified(this.#atom(depth))
      if (item.mandatory) {
        cost.quantifiers += cost.pendingQuantifiers
        cost.bits += cost.pendingBits
        cost.pendingQuantifiers = 0
        cost.pendingBits = 0
      }
      cost.variable ||= item.variable
      cost.mandatory ||= item.mandatory
      cost.quantifiers += item.quantifiers
      cost.bits += item.bits
      cost.pendingQuantifiers += item.pendingQuantifiers
      cost.pendingBits += item.pendingBits
      cost.repetitions = Math.max(cost.repetitions, item.repetitions)
    }
    return cost
  }

  #atom(depth: number): Cost {
    const character: Cost = {
      variable: false,
      mandatory: true,
      quantifiers: 0,
      bits: 0,
      pendingQuantifiers: 0,
      pendingBits: 0,
      repetitions: 1,
    }
    switch (this.#pattern[this.#at]) {
      case '[':
        this.#skipClass()
        return character
      case '\\':
        this.#skipEscape()
        return character
      case '(': {
        const prefix =
          /^\((?:\?(?:<[=!]|[:=!]|<[^>]+>))?/.exec(this.#pattern.slice(this.#at, this.#at + 64))?.[0] ?? '('
        this.#at += prefix.length
        const inside = this.#alternatives(depth + 1)
        this.#at += 1
        const isLookaround = /[=!]$/.test(prefix)
        if (!isLookaround) return inside
        // A lookaround matches in one way only, but walks over what it looks at wherever it is tried.
        return {
          ...character,
          quantifiers: inside.quantifiers + Math.min(1, inside.pendingQuantifiers),
          bits: inside.bits,
          repetitions: inside.repetitions,
        }
      }
      default:
        this.#at += (this.#pattern.codePointAt(this.#at) ?? 0) > 0xffff ? 2 : 1
        return character
    }
  }

  #skipClass(): void {
    this.#at += 1
    while (this.#at < this.#pattern.length && this.#pattern[this.#at] !== ']') {
      this.#at += this.#pattern[this.#at] === '\\' ? 2 : 1
    }
    this.#at += 1
  }

  #skipEscape(): void {
    const text = this.#pattern.slice(this.#at, this.#at + 128)
    if (/^\\(?:[1-9]|k)/.test(text)) this.#refuse('refers back to what it matched')
    const escaped = /^\\(?:[pPu]\{[^}]*\}|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|c[A-Za-z]|.)/su.exec(text)
    this.#at += escaped?.[0].length ?? 2
  }

  #quantified(atom: Cost): Cost {
    const quantifier = /^(?:[*+?]|\{(\d+)(,(\d*))?\})/.exec(this.#pattern.slice(this.#at, this.#at + 32))
    if (quantifier === null) return atom
    this.#at += quantifier[0].length
    if (this.#pattern[this.#at] === '?') this.#at += 1
    const [min, max] = quantifierRange(quantifier)
    if (max > 1 && atom.variable) this.#refuse('repeats a part that can match in several ways')
    if (max > 1 && atom.quantifiers > 0) this.#refuse('repeats a lookaround without a bound')
    const finite = Number.isFinite(max) ? max : min
    const unbounded = max - min > 16
    return {
      variable: atom.variable || min !== max,
      mandatory: atom.mandatory && min > 0,
      quantifiers: atom.quantifiers,
      bits: atom.bits,
      pendingQuantifiers: atom.pendingQuantifiers + (unbounded ? 1 : 0),
      pendingBits: atom.pendingBits + (unbounded ? 0 : Math.log2(max - min + 1)),
      repetitions: atom.repetitions * Math.max(1, finite),
    }
  }
}

function quantifierRange(quantifier: RegExpExecArray): [min: number, max: number] {
  switch (quantifier[0]) {
    case '*':
      return [0, Number.POSITIVE_INFINITY]
    case '+':
      return [1, Number.POSITIVE_INFINITY]
    case '?':
      return [0, 1]
  }
  const min = Number(quantifier[1])
  if (quantifier[2] === undefined) return [min, min]
  return [min, quantifier[3] ? Number(quantifier[3]) : Number.POSITIVE_INFINITY]
}
