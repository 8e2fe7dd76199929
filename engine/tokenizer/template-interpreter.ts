/**
 * The Jinja interpreter with a budget. Chat templates come from files of strangers: a loop must not hang, a string
 * must not grow without end, and nothing of the host is in reach (values are Jinja's own; there are no prototypes).
 * Every evaluation counts a step; every text and container has a size limit; what one call could blow up (replace,
 * join, indent, split, range) is sized before it runs.
 * Does not bound parsing, which is linear; the caller bounds the source.
 */
import { Environment, Interpreter } from '@huggingface/jinja'
import { EngineError } from '../errors.ts'
import { compareTexts, formatText, remainder, TEXT_METHODS, textOfValue } from './template-operators.ts'

export interface TemplateBudget {
  /** Evaluated nodes. */
  steps: number
  /** UTF-16 units of one text, or of one container written out. */
  textLength: number
  /** UTF-16 units of all texts made or searched. */
  textVolume: number
}

/** A template's own raise_exception: it refuses the conversation. */
export class TemplateRefusal extends Error {}

/** A node of our own around an expression whose value is written into the text: `{{ expression }}`. */
export const WRITTEN_OUT = 'WrittenOut'

const MAX_DEPTH = 400
const MAX_RANGE = 100_000
const MAX_PARTS = 200_000
/** A search for longer strings than this may take time proportional to both lengths. */
const SHORT_NEEDLE = 32

type Statement = Parameters<Interpreter['evaluate']>[0]
type Value = ReturnType<Interpreter['evaluate']>

/** What is read of a syntax tree's node; the library does not export its node types. */
interface Node {
  type: string
  object?: Statement
  operand?: Statement
  assignee?: Statement & { object?: Statement }
  filter?: { type: string; value?: string; callee?: { value?: string }; args?: ArgumentNode[] }
  body?: Statement[]
  left?: Statement
  right?: Statement
  operator?: { value: string }
  computed?: boolean
  property?: { value?: string }
}
interface ArgumentNode {
  type: string
  key?: { value: string }
  value?: Statement
}

/** A value in the place of the expression that gave it. */
class Held {
  readonly type = 'Held'
  readonly value: Value

  constructor(value: Value) {
    this.value = value
  }
}
const held = (value: Value): Statement => new Held(value)

export class BudgetInterpreter extends Interpreter {
  readonly #limits: TemplateBudget
  readonly #left: TemplateBudget
  readonly #sizes = new WeakMap<Value, number>()
  #depth = 0

  constructor(variables: Record<string, unknown>, budget: TemplateBudget, now: () => Date) {
    const environment = new Environment()
    super(environment)
    this.#limits = budget
    this.#left = { ...budget }
    const globals: Record<string, unknown> = {
      true: true,
      false: false,
      none: null,
      True: true,
      False: false,
      None: null,
      range: boundedRange,
      strftime_now: (format: unknown) => strftime(now(), String(format)),
      raise_exception: (message: unknown) => {
        throw new TemplateRefusal(message == null || message === '' ? 'it does not say why.' : String(message))
      },
    }
    for (const [name, value] of Object.entries({ ...globals, ...variables })) environment.set(name, value)
  }

  override evaluate(statement: Statement, scope: Environment): Value {
    if (statement === undefined) return super.evaluate(statement, scope)
    if (statement instanceof Held) return statement.value
    this.#spendSteps(1)
    if (this.#depth >= MAX_DEPTH) throw limitExceeded('nests or recurses too deeply', `${MAX_DEPTH} levels`)
    this.#depth += 1
    try {
      // The library gives nothing at all for the first or last element of an empty list.
      const value = this.#guarded(statement, scope) ?? super.evaluate(undefined, scope)
      const size = this.#size(value)
      if (value.type === 'StringValue') this.#spendVolume(size)
      return value
    } finally {
      this.#depth -= 1
    }
  }

  /** Evaluates what a node works on first, so that the work can be sized before it is done. */
  #guarded(statement: NonNullable<Statement>, scope: Environment): Value {
    const node = statement as Node
    switch (node.type) {
      case 'MemberExpression': {
        const object = this.evaluate(node.object, scope)
        const own = object.type === 'StringValue' ? this.#ownMethod(object, node) : null
        if (own !== null) return own
        const value = super.evaluate({ ...node, object: held(object) } as Statement, scope)
        return value.type === 'FunctionValue' && object.type === 'StringValue'
          ? this.#guardMethod(object, value)
          : value
      }
      case 'BinaryExpression':
        if (node.operator?.value === 'in' || node.operator?.value === 'not in') return this.#membership(node, scope)
        if (/^(?:[~*%<>]|[<>=!]=|\/\/?)$/.test(node.operator?.value ?? '')) return this.#operation(node, scope)
        break
      case WRITTEN_OUT: {
        const value = this.evaluate(node.operand, scope)
        return value.type === 'StringValue' ? value : this.#text(textOfValue(value), scope)
      }
      case 'FilterExpression':
        return this.#filter(this.evaluate(node.operand, scope), node, scope)
      case 'FilterStatement':
        return this.#filter(this.evaluate({ type: 'Program', body: node.body } as Statement, scope), node, scope)
      case 'Set': {
        const value = super.evaluate(statement, scope)
        // A namespace is the one container that changes: measured again, or it could hold more than it may.
        if (node.assignee?.type === 'MemberExpression') this.evaluate(node.assignee.object, scope)
        return value
      }
    }
    return super.evaluate(statement, scope)
  }

  #membership(node: Node, scope: Environment): Value {
    const left = this.evaluate(node.left, scope)
    const right = this.evaluate(node.right, scope)
    if (left.type === 'StringValue' && right.type === 'StringValue') this.#spendSearch(textOf(right), textOf(left))
    return super.evaluate({ ...node, left: held(left), right: held(right) } as Statement, scope)
  }

  /** Operators where texts have a part in them, and where numbers are divided: the library does these as JavaScript does. */
  #operation(node: Node, scope: Environment): Value {
    const left = this.evaluate(node.left, scope)
    const right = this.evaluate(node.right, scope)
    const operator = node.operator?.value ?? ''
    if (operator === '~') {
      const texts = [textOfValue(left), textOfValue(right)] as const
      this.#checkText(texts[0].length + texts[1].length)
      return this.#text(texts.join(''), scope)
    }
    if (operator === '*') {
      const repeated = this.#repeated(left, right, scope) ?? this.#repeated(right, left, scope)
      if (repeated !== null) return repeated
    }
    if (operator === '%' && left.type === 'StringValue') {
      this.#checkText(this.#size(left) + this.#size(right))
      return this.#text(formatText(textOf(left), right), scope)
    }
    if (/[/%]/.test(operator) && isNumber(right)) {
      if (operator === '%' && left.type === 'IntegerValue' && right.type === 'IntegerValue') {
        return new Environment().set('', remainder(Number(left.value), Number(right.value)))
      }
      if (Number(right.value) === 0) throw new Error('division by zero')
    }
    if (/[<>]/.test(operator) && left.type === 'StringValue' && right.type === 'StringValue') {
      return new Environment().set('', compareTexts(operator, textOf(left), textOf(right)))
    }
    if (/^[=!]=$/.test(operator) && Array.isArray(left.value) && Array.isArray(right.value)) {
      this.#spendVolume(this.#size(left) + this.#size(right))
      return new Environment().set('', (textOfValue(left) === textOfValue(right)) === (operator === '=='))
    }
    return super.evaluate({ ...node, left: held(left), right: held(right) } as Statement, scope)
  }

  #repeated(value: Value, count: Value, scope: Environment): Value | null {
    if (count.type !== 'IntegerValue') return null
    const times = Math.max(0, Number(count.value))
    if (value.type === 'StringValue') {
      this.#checkText(textOf(value).length * times)
      return this.#text(textOf(value).repeat(times), scope)
    }
    if (value.type !== 'ArrayValue') return null
    this.#checkText(this.#size(value) * times)
    const members = (value.value as Value[]).map(held)
    return super.evaluate(
      { type: 'ArrayLiteral', value: new Array(times).fill(members).flat() } as unknown as Statement,
      scope,
    )
  }

  /** A method of texts that the library lacks, made of one that it has. */
  #ownMethod(subject: Value, { computed, property }: Node): Value | null {
    const name = computed ? undefined : property?.value
    const method = name !== undefined && Object.hasOwn(TEXT_METHODS, name) ? TEXT_METHODS[name] : undefined
    const base = subject.builtins.get('replace')
    if (method === undefined || base === undefined) return null
    const call = (args: Value[]): Value => {
      const text = textOf(subject)
      const [first] = args
      this.#spendVolume(text.length)
      if (first?.type === 'StringValue') this.#spendSearch(text, textOf(first))
      this.#checkSplit(text, name === 'splitlines' ? '\n' : first?.type === 'StringValue' ? textOf(first) : ' ')
      return new Environment().set(
        '',
        method(
          text,
          args.filter(({ type }) => type !== 'KeywordArgumentsValue'),
        ),
      )
    }
    return Object.assign(Object.create(Object.getPrototypeOf(base)), base, { value: call })
  }

  #text(value: string, scope: Environment): Value {
    return super.evaluate({ type: 'StringLiteral', value } as unknown as Statement, scope)
  }

  /** String methods take their subject with them, so they are sized when called. */
  #guardMethod(subject: Value, method: Value): Value {
    type Call = (args: Value[], scope: Environment) => Value
    const call = method.value as Call
    const isReplace = subject.builtins.get('replace') === method
    const isSplit = subject.builtins.get('split') === method
    const guarded: Call = (args, scope) => {
      const text = textOf(subject)
      const [first, second] = args
      const from = first?.type === 'StringValue' ? textOf(first) : null
      this.#spendVolume(text.length)
      if (from !== null) this.#spendSearch(text, from)
      if (isReplace && from !== null && second?.type === 'StringValue') this.#checkReplace(text, from, textOf(second))
      if (isSplit) this.#checkSplit(text, from)
      return call(args, scope)
    }
    return Object.assign(Object.create(Object.getPrototypeOf(method)), method, { value: guarded })
  }

  #filter(operand: Value, node: Node, scope: Environment): Value {
    const filter = withFullName(node.filter)
    const name = filter?.type === 'CallExpression' ? filter.callee?.value : filter?.value
    this.#spendVolume(operand.type === 'StringValue' ? textOf(operand).length : 0)
    if (name === 'safe') return operand
    if (name === 'list' && operand.type === 'StringValue') {
      this.#checkSplit(textOf(operand), null)
      return new Environment().set('', [...textOf(operand)])
    }
    if (name === 'format' && operand.type === 'StringValue') {
      const values = (filter?.args ?? []).map(argument => this.evaluate(argument as Statement, scope))
      this.#checkText(values.reduce((sum, value) => sum + this.#size(value), textOf(operand).length))
      return this.#text(formatText(textOf(operand), { type: 'TupleValue', value: values }), scope)
    }
    const sized = name === 'join' || name === 'indent' || name === 'replace' || name === 'tojson'
    if (!sized || filter?.type !== 'CallExpression') {
      return super.evaluate({ type: 'FilterExpression', operand: held(operand), filter } as Statement, scope)
    }
    const values: Value[] = []
    const args = (filter.args ?? []).map(argument => {
      if (argument.type === 'SpreadExpression' || argument.type === 'KeywordSpreadExpression') {
        throw new Error(`The filter "${name}" takes no unpacked arguments here`)
      }
      const isKeyword = argument.type === 'KeywordArgumentExpression'
      const value = this.evaluate(isKeyword ? argument.value : (argument as Statement), scope)
      values.push(value)
      return isKeyword ? { ...argument, value: held(value) } : held(value)
    })
    this.#checkFilter(name, operand, values)
    const heldFilter = { ...filter, args }
    return super.evaluate({ type: 'FilterExpression', operand: held(operand), filter: heldFilter } as Statement, scope)
  }

  #checkFilter(name: string, operand: Value, values: Value[]): void {
    const size = this.#size(operand)
    const [first, second] = values
    if (name === 'replace' && first?.type === 'StringValue' && second?.type === 'StringValue') {
      this.#spendSearch(textOf(operand), textOf(first))
      this.#checkReplace(textOf(operand), textOf(first), textOf(second))
    }
    // Each element, line or node of the operand is at least one unit of its size.
    let each = 0
    for (const value of values) {
      if (value.type === 'IntegerValue') each += Math.abs(Number(value.value))
      else if (name !== 'replace') each += this.#size(value)
    }
    if (name === 'join') this.#checkText(size + each * elementCount(operand))
    if (name === 'indent') this.#checkText(size + each * countOf(textOf(operand), '\n') + each)
    if (name === 'tojson') this.#checkText(size * (1 + each))
  }

  #checkReplace(subject: string, from: string, to: string): void {
    const grown = to.length - from.length
    if (grown <= 0) return
    const most = from === '' ? subject.length + 1 : Math.floor(subject.length / from.length)
    if (subject.length + most * grown <= this.#limits.textLength) return
    this.#checkText(subject.length + (from === '' ? most : countOf(subject, from)) * grown)
  }

  #checkSplit(subject: string, separator: string | null): void {
    if (subject.length <= MAX_PARTS) return
    const parts = separator ? countOf(subject, separator) : subject.length
    if (parts > MAX_PARTS) throw limitExceeded('splits a text into too many parts', `${MAX_PARTS} parts`)
  }

  #checkText(length: number): void {
    if (length > this.#limits.textLength)
      throw limitExceeded('makes a text too long', `${this.#limits.textLength} characters`)
  }

  /** UTF-16 units of a value written out, at least; containers are measured once, when they first appear. */
  #size(value: Value): number {
    switch (value.type) {
      case 'StringValue':
        this.#checkText(textOf(value).length)
        return textOf(value).length
      case 'NamespaceValue':
        return this.#containerSize(value)
      case 'ArrayValue':
      case 'TupleValue':
      case 'ObjectValue':
      case 'KeywordArgumentsValue': {
        const known = this.#sizes.get(value)
        if (known !== undefined) return known
        const size = this.#containerSize(value)
        this.#sizes.set(value, size)
        return size
      }
      default:
        return 8
    }
  }

  #containerSize(container: Value): number {
    let size = 2
    const add = (member: Value): void => {
      if (member.type === 'NamespaceValue') throw limitExceeded('puts a namespace into a container', 'none')
      size += 2 + this.#size(member)
      this.#checkText(size)
    }
    const content: unknown = container.value
    if (content instanceof Map) {
      this.#spendSteps(content.size)
      for (const [key, member] of content as Map<string, Value>) {
        size += key.length + 4
        add(member)
      }
    } else {
      const members = content as Value[]
      this.#spendSteps(members.length)
      for (const member of members) add(member)
    }
    return size
  }

  #spendSteps(steps: number): void {
    this.#left.steps -= steps
    if (this.#left.steps < 0) throw limitExceeded('runs too long', `${this.#limits.steps} steps`)
  }

  #spendVolume(length: number): void {
    this.#left.textVolume -= length
    if (this.#left.textVolume < 0) throw limitExceeded('handles too much text', `${this.#limits.textVolume} characters`)
  }

  #spendSearch(text: string, needle: string): void {
    this.#spendVolume(needle.length <= SHORT_NEEDLE ? text.length : (text.length * needle.length) / SHORT_NEEDLE)
  }
}

const FAULTY = 'The template is faulty or hostile: use another model file, or start a shorter conversation.'

export const limitExceeded = (what: string, limit: string, remedy = FAULTY): EngineError =>
  new EngineError('template-limit-exceeded', `The model's chat template ${what}.`, {
    expected: `at most ${limit}`,
    remedy,
  })

/** Short names that Jinja2 has for filters, and what the library calls them. */
const FILTER_NAMES: Readonly<Record<string, string>> = { d: 'default', count: 'length' }

function withFullName(filter: Node['filter']): Node['filter'] {
  const identifier = filter?.type === 'CallExpression' ? filter.callee : filter
  const name = identifier?.value === undefined ? undefined : FILTER_NAMES[identifier.value]
  if (filter === undefined || name === undefined) return filter
  return filter.type === 'CallExpression'
    ? { ...filter, callee: { ...filter.callee, value: name } }
    : { ...filter, value: name }
}

const isNumber = ({ type }: Value): boolean => type === 'IntegerValue' || type === 'FloatValue'

const textOf = (value: Value): string => String(value.value)

const elementCount = (value: Value): number =>
  Array.isArray(value.value) ? value.value.length : value.type === 'StringValue' ? textOf(value).length : 0

function countOf(text: string, part: string): number {
  let count = 0
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) count += 1
  return count
}

function boundedRange(first: unknown, second: unknown, third: unknown): number[] {
  const numbers = [first, second, third].filter(value => value !== undefined)
  if (numbers.length === 0 || !numbers.every(value => Number.isInteger(value))) {
    throw new Error('range() takes one to three whole numbers')
  }
  const [a, b, step = 1] = numbers as number[]
  const [start, stop] = b === undefined ? [0, a] : [a, b]
  if (step === 0) throw new Error('range() step must not be zero')
  const length = Math.max(0, Math.ceil((stop - start) / step))
  if (length > MAX_RANGE) throw limitExceeded('counts too far', `range(${MAX_RANGE})`)
  return Array.from({ length }, (_, i) => start + i * step)
}

const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']

/** Python's strftime, in English whatever the machine's language: models were trained so. Local time. */
function strftime(date: Date, format: string): string {
  if (format.length > 256) throw limitExceeded('asks for too long a date', '256 characters')
  const two = (value: number): string => String(value).padStart(2, '0')
  const fields: Record<string, string> = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    B: MONTHS[date.getMonth()],
    b: MONTHS[date.getMonth()].slice(0, 3),
    A: DAYS[date.getDay()],
    a: DAYS[date.getDay()].slice(0, 3),
    H: two(date.getHours()),
    I: two(date.getHours() % 12 || 12),
    p: date.getHours() < 12 ? 'AM' : 'PM',
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    '%': '%',
  }
  return format.replace(/%(.)/gs, (directive, letter: string) =>
    Object.hasOwn(fields, letter) ? fields[letter] : directive,
  )
}
