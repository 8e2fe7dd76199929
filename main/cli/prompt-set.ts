/**
 * A file of prompts with rules, such as models/eval100.json: its schema, and what a reply must be to pass. The file may
 * be anybody's: unknown rules are refused, and a pattern that backtracks without end is stopped.
 */
import { createContext, Script } from 'node:vm'
import * as v from 'valibot'
import { TernError } from '../../contract/errors.ts'

const MAX_PROMPTS = 10_000
const MAX_TURNS = 32
const MAX_TURN_CHARACTERS = 20_000
const MAX_PATTERN_CHARACTERS = 2_000
const MAX_REPLY_WORDS = 1_000_000
/** Milliseconds that one pattern may take on one reply. */
const MAX_MATCH_MS = 500
/** A text that says the same `PHRASE_WORDS` words more often than this goes round in circles. */
const MAX_PHRASE_OCCURRENCES = 3
const PHRASE_WORDS = 4

/** JavaScript's syntax; "." takes line breaks too. */
const patternFlags = 's'

const turnSchema = v.pipe(v.string(), v.nonEmpty('expected some text'), v.maxLength(MAX_TURN_CHARACTERS))
const patternSchema = v.nullable(
  v.pipe(
    v.string(),
    v.nonEmpty('expected a pattern or null'),
    v.maxLength(MAX_PATTERN_CHARACTERS),
    v.check(isPattern, 'not a regular expression'),
  ),
)
const wordCountSchema = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_REPLY_WORDS))

const promptSchema = v.strictObject({
  category: v.pipe(v.string(), v.regex(/^[\w -]{1,32}$/, 'expected 1 to 32 letters, digits, spaces, _ or -')),
  /** What the user says, in order; the rules are for the reply to the last one. */
  turns: v.pipe(v.array(turnSchema), v.nonEmpty('expected a turn'), v.maxLength(MAX_TURNS)),
  /** The reply in lower case matches it. */
  must: patternSchema,
  /** The reply in lower case does not match it. */
  mustNot: patternSchema,
  /** Fewest and most words of the reply. */
  words: v.pipe(
    v.strictTuple([wordCountSchema, wordCountSchema]),
    v.check(([fewest, most]) => fewest <= most, 'expected the smaller number first'),
  ),
})
export type Prompt = v.InferOutput<typeof promptSchema>

const promptFileSchema = v.strictObject({
  about: v.string(),
  prompts: v.pipe(v.array(promptSchema), v.nonEmpty('expected a prompt'), v.maxLength(MAX_PROMPTS)),
})

/** The rules that a reply can break. */
export type BrokenRule = 'must' | 'mustNot' | 'words' | 'repetition'

/** `path` is for messages. Throws `format-invalid`. */
export function parsePrompts(json: string, path: string): Prompt[] {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (cause) {
    throw invalid(path, (cause as Error).message)
  }
  const parsed = v.safeParse(promptFileSchema, value)
  if (parsed.success) return parsed.output.prompts
  const [issue] = parsed.issues
  throw invalid(path, `${v.getDotPath(issue) ?? 'root'}: ${issue.message}`)
}

/** The first rule that the reply breaks; null: it passes. Throws `limit-exceeded` for a pattern that takes too long. */
export function brokenRule({ must, mustNot, words: [fewest, most] }: Prompt, reply: string): BrokenRule | null {
  const text = reply.toLowerCase()
  const words = text.split(/\s+/).filter(word => word !== '')
  if (must !== null && !matches(must, text)) return 'must'
  if (mustNot !== null && matches(mustNot, text)) return 'mustNot'
  if (words.length < fewest || words.length > most) return 'words'
  return repeatsItself(words) ? 'repetition' : null
}

function repeatsItself(words: readonly string[]): boolean {
  const occurrences = new Map<string, number>()
  for (let start = 0; start + PHRASE_WORDS <= words.length; start++) {
    const phrase = words.slice(start, start + PHRASE_WORDS).join(' ')
    const count = (occurrences.get(phrase) ?? 0) + 1
    if (count > MAX_PHRASE_OCCURRENCES) return true
    occurrences.set(phrase, count)
  }
  return false
}

const sandbox: { expression: RegExp | null; text: string } = { expression: null, text: '' }
const matching = new Script('expression.test(text)')
const context = createContext(sandbox)

/** A regular expression cannot be stopped from outside, but a script in a context of its own can. */
function matches(pattern: string, text: string): boolean {
  sandbox.expression = new RegExp(pattern, patternFlags)
  sandbox.text = text
  try {
    return matching.runInContext(context, { timeout: MAX_MATCH_MS }) === true
  } catch (cause) {
    throw new TernError({
      code: 'limit-exceeded',
      message: `The pattern ${JSON.stringify(pattern)} cannot be matched against a reply.`,
      expected: `an answer within ${MAX_MATCH_MS} ms`,
      actual: (cause as Error).message,
      remedy: 'Write it without repetitions inside of repetitions.',
    })
  }
}

function isPattern(pattern: string): boolean {
  try {
    new RegExp(pattern, patternFlags)
    return true
  } catch {
    return false
  }
}

const invalid = (path: string, actual: string): TernError =>
  new TernError({
    code: 'format-invalid',
    message: `${path} is no file of prompts.`,
    expected:
      '{"about": TEXT, "prompts": [{"category", "turns", "must", "mustNot", "words"}, …]}, as models/eval100.json',
    actual,
    remedy: 'Mend the place that is named, or give another file.',
  })
