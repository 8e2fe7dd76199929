/**
 * Chat templates: a conversation as the text the model was trained on.
 * Special-token strings inside messages stay text: they are hidden from the template behind private characters, and
 * the rendering says of each part whether special tokens in it are meant. The text itself is restored exactly.
 * Does not know tools, documents or images; templates that ask for them see none.
 */
import { parse, tokenize } from '@huggingface/jinja'
import { EngineError } from '../errors.ts'
import { AddedTokenFinder } from './added-tokens.ts'
import {
  BudgetInterpreter,
  limitExceeded,
  type TemplateBudget,
  TemplateRefusal,
  WRITTEN_OUT,
} from './template-interpreter.ts'
import type { TextSegment, Tokenizer } from './tokenizer.ts'

export interface ChatMessage {
  role: string
  content: string
}

export interface RenderOptions {
  /** Opens the assistant's turn at the end. */
  addGenerationPrompt: boolean
  /** The last message is an unfinished reply: the text ends with its content, nothing closes the turn. */
  continueFinalMessage?: boolean
  /** '' where the model has none. */
  bosToken: string
  eosToken: string
  /** `tokenizer.specialTokens`: such strings inside messages stay text. */
  specialTokens: ReadonlyMap<string, number>
}

/** A rendered conversation. Joined, the segments are `text`. */
export interface RenderedText {
  readonly text: string
  readonly segments: readonly TextSegment[]
}

export interface ChatTemplate {
  readonly source: string
  /** Throws `template-invalid` (also when the template itself refuses the messages), `template-limit-exceeded`. */
  render(messages: readonly ChatMessage[], options: RenderOptions): RenderedText
}

/** For base models without a template: the messages' plain text, a reply directly after its question. */
export const PLAIN_CHAT_TEMPLATE =
  "{{ bos_token }}{% for message in messages %}{% if not loop.first and message['role'] != 'assistant' %}{{ '\\n\\n' }}{% endif %}{{ message['content'] }}{% endfor %}"

const MAX_SOURCE_LENGTH = 1 << 18
/** Longer runs of white space make the template parser's time grow with their square. */
const LONG_WHITESPACE = /\s{1024}/

const budgetFor = (inputLength: number, messageCount: number): TemplateBudget => ({
  steps: 1_000_000 + 20_000 * messageCount,
  // A message written out as a value is longer than its text.
  textLength: 1_000_000 + 4 * inputLength + 100 * messageCount,
  textVolume: 64_000_000 + 2000 * inputLength,
})

/** Throws `template-invalid`, `template-limit-exceeded`. `now` serves strftime_now. */
export function compileChatTemplate(
  source: string,
  { now = () => new Date() }: { now?: () => Date } = {},
): ChatTemplate {
  if (source.length > MAX_SOURCE_LENGTH) {
    throw limitExceeded('is too long', `${MAX_SOURCE_LENGTH} characters`, 'Use a model file with a shorter template.')
  }
  if (LONG_WHITESPACE.test(source)) throw limitExceeded('has too long a run of white space', '1023 characters')
  const program = whileTemplateRuns(CANNOT_BE_READ, () => {
    const parsed = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }))
    checkLoopControls(parsed.body, false)
    checkFilterNames(parsed)
    parsed.body = withWrittenOut(parsed.body)
    return parsed
  })
  return {
    source,
    render(messages, options) {
      const disguise = new Disguise(source, messages, options)
      const inputLength = source.length + messages.reduce((sum, message) => sum + message.content.length, 0)
      const output = whileTemplateRuns('failed', () => {
        const interpreter = new BudgetInterpreter(
          {
            messages: disguise.messages,
            add_generation_prompt: options.addGenerationPrompt,
            bos_token: options.bosToken,
            eos_token: options.eosToken,
            tools: null,
            documents: null,
          },
          budgetFor(inputLength, messages.length),
          now,
        )
        return String(interpreter.run(program).value)
      })
      return disguise.reveal(output)
    },
  }
}

/**
 * Ids of a rendering from character `from` (UTF-16 units of `rendered.text`) on, as they would be in one piece, except
 * that no token reaches back over `from`. `continuation`: other tokens come before the rendering's first character.
 */
export function encodeRendered(
  tokenizer: Tokenizer,
  rendered: RenderedText,
  { from = 0, continuation = false }: { from?: number; continuation?: boolean } = {},
): number[] {
  return tokenizer.encodeSegments(rendered.segments, { continuation, from })
}

const CANNOT_BE_READ = 'cannot be read'

/** What is read of a syntax tree's statements; the library does not export its node types. */
interface StatementNode {
  readonly type: string
  readonly body?: readonly StatementNode[]
  readonly alternate?: readonly StatementNode[]
  readonly defaultBlock?: readonly StatementNode[]
}

/** The library finds out only when it runs, and then has no words for it. */
function checkLoopControls(statements: readonly StatementNode[], isInLoop: boolean): void {
  for (const { type, body = [], alternate = [], defaultBlock = [] } of statements) {
    if (!isInLoop && (type === 'Break' || type === 'Continue')) {
      throw new Error(`"${type.toLowerCase()}" stands outside of a loop`)
    }
    // A macro is no part of the loop around it.
    checkLoopControls(body, type === 'For' || (isInLoop && type !== 'Macro'))
    checkLoopControls([...alternate, ...defaultBlock], isInLoop)
  }
}

/**
 * The filters of Jinja2, whose compiler refuses any other name. One of these that the library lacks is told only where
 * it is reached: it may stand in a branch for tools or images, and the model works without it.
 */
const JINJA2_FILTERS: ReadonlySet<string> = new Set(
  (
    'abs attr batch capitalize center count d default dictsort e escape filesizeformat first float forceescape format ' +
    'groupby indent int items join last length list lower map max min pprint random reject rejectattr replace reverse ' +
    'round safe select selectattr slice sort string striptags sum title tojson trim truncate unique upper urlencode ' +
    'urlize wordcount wordwrap xmlattr'
  ).split(' '),
)

/** Wherever in the template it stands, as Jinja2 does: else a damaged template is told at the first message only. */
function checkFilterNames(program: unknown): void {
  const left = [program]
  while (left.length > 0) {
    const node = left.pop()
    if (typeof node !== 'object' || node === null) continue
    if (node instanceof Map) left.push(...node.keys(), ...node.values())
    else left.push(...Object.values(node))
    const name = 'filter' in node ? filterName(node.filter) : undefined
    if (name !== undefined && !JINJA2_FILTERS.has(name)) throw new Error(`there is no filter "${name}"`)
  }
}

function filterName(filter: unknown): string | undefined {
  if (typeof filter !== 'object' || filter === null) return undefined
  if ('callee' in filter) return filterName(filter.callee)
  return 'value' in filter && typeof filter.value === 'string' ? filter.value : undefined
}

const STATEMENTS = new Set(
  'Program If For Set Macro CallStatement FilterStatement Break Continue Comment StringLiteral'.split(' '),
)

/** The library writes values as JavaScript has them: `true`, nothing for `none`. They are marked, and written as in Python. */
function withWrittenOut<Statement extends StatementNode>(statements: readonly Statement[]): Statement[] {
  return statements.map(node => {
    if (!STATEMENTS.has(node.type)) return { type: WRITTEN_OUT, operand: node } as unknown as Statement
    for (const part of ['body', 'alternate', 'defaultBlock'] as const) {
      const inner = node[part]
      if (Array.isArray(inner)) Object.assign(node, { [part]: withWrittenOut(inner) })
    }
    return node
  })
}

/** Runs the library's code: whatever it throws becomes one of our errors. */
function whileTemplateRuns<Result>(what: string, run: () => Result): Result {
  try {
    return run()
  } catch (error) {
    if (error instanceof EngineError) throw error
    if (error instanceof TemplateRefusal) {
      throw new EngineError(
        'template-invalid',
        `The model's chat template refuses this conversation: ${error.message}`,
        {
          actual: error.message,
          remedy: 'Change the conversation as the message says, for example its order of roles.',
        },
      )
    }
    if (error instanceof RangeError) throw limitExceeded('recurses or grows without end', 'what memory allows')
    // The library's parser reads past its last token when a template ends inside a block.
    const endsEarly = error instanceof TypeError && what === CANNOT_BE_READ
    const message = endsEarly ? 'it ends inside a block' : error instanceof Error ? error.message : String(error)
    throw new EngineError('template-invalid', `The model's chat template ${what}: ${message}`, {
      actual: message,
      remedy: 'Use a model file with a working template, or one without a template for plain completion.',
      cause: error,
    })
  }
}

const PRIVATE_CHARACTERS = /[\uE000-\uF8FF]/g
const FIRST_PRIVATE = 0xe000
const LAST_PRIVATE = 0xf8ff

/** Messages as the template sees them: special-token strings stand behind one private character each. */
class Disguise {
  readonly messages: ChatMessage[]
  readonly #finder: AddedTokenFinder
  readonly #taken = new Set<string>()
  readonly #originals = new Map<string, string>()
  readonly #disguises = new Map<string, string>()
  readonly #end: string | null = null

  constructor(source: string, messages: readonly ChatMessage[], options: RenderOptions) {
    this.#finder = finderOf(options)
    const texts = [source, options.bosToken, options.eosToken, ...messages.flatMap(m => [m.role, m.content])]
    for (const text of texts) for (const [character] of text.matchAll(PRIVATE_CHARACTERS)) this.#taken.add(character)
    this.messages = messages.map(({ role, content }) => ({ role: this.#hide(role), content: this.#hide(content) }))
    if (!options.continueFinalMessage) return
    const last = this.messages.at(-1)
    if (last === undefined) throw new EngineError('invalid-argument', 'There is no last message to go on with.')
    this.#end = this.#freeCharacter()
    last.content += this.#end
  }

  /** The rendering with everything restored. */
  reveal(output: string): RenderedText {
    const segments: TextSegment[] = []
    let plain = ''
    const close = (): void => {
      if (plain !== '') segments.push({ text: plain, parseSpecial: true })
      plain = ''
    }
    for (const part of this.#cut(output).split(/([\uE000-\uF8FF])/)) {
      const original = this.#originals.get(part)
      if (original === undefined) {
        plain += part
        continue
      }
      close()
      segments.push({ text: original, parseSpecial: false })
    }
    close()
    return { text: segments.map(segment => segment.text).join(''), segments }
  }

  /** Ends the text with the unfinished reply. */
  #cut(output: string): string {
    if (this.#end === null) return output
    const at = output.lastIndexOf(this.#end)
    if (at >= 0) return output.slice(0, at).replaceAll(this.#end, '')
    throw new EngineError('template-invalid', "The model's chat template leaves out the last message.", {
      remedy: 'Ask for a new reply instead of going on with this one.',
    })
  }

  #hide(text: string): string {
    let hidden = ''
    let done = 0
    for (const { start, end } of this.#finder.find(text)) {
      hidden += text.slice(done, start) + this.#disguise(text.slice(start, end))
      done = end
    }
    const rest = text.slice(done)
    const beginning = this.#finder.beginningAtEnd(rest)
    if (beginning < 0) return hidden + rest
    // The template's next characters must not complete a special token that the message begins.
    const end = rest.trimEnd().length
    return hidden + rest.slice(0, beginning) + this.#disguise(rest.slice(beginning, end)) + rest.slice(end)
  }

  #disguise(original: string): string {
    const known = this.#disguises.get(original)
    if (known !== undefined) return known
    const character = this.#freeCharacter()
    this.#disguises.set(original, character)
    this.#originals.set(character, original)
    return character
  }

  #freeCharacter(): string {
    for (let code = FIRST_PRIVATE + this.#originals.size; code <= LAST_PRIVATE; code++) {
      const character = String.fromCharCode(code)
      if (this.#taken.has(character)) continue
      this.#taken.add(character)
      return character
    }
    throw limitExceeded('meets too many special tokens in messages', `${LAST_PRIVATE - FIRST_PRIVATE + 1} of them`)
  }
}

const finders = new WeakMap<ReadonlyMap<string, number>, AddedTokenFinder>()

function finderOf({ specialTokens }: RenderOptions): AddedTokenFinder {
  const known = finders.get(specialTokens)
  if (known !== undefined) return known
  const finder = new AddedTokenFinder(
    [...specialTokens].map(([content, id]) => ({
      id,
      content,
      singleWord: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
  )
  finders.set(specialTokens, finder)
  return finder
}
