/**
 * What Jinja2 does with texts and the library's interpreter does not: 'a' ~ none, '=' * 3, '%s and %d' % (a, b).
 * Pure functions of values written out.
 */

/** A value as far as it can be written out: those of the library have more. */
export interface WrittenValue {
  readonly type: string
  readonly value: unknown
  toString(): string
}

/** As Python's str(); what is undefined is nothing, as Jinja2 has it. */
export function textOfValue(value: WrittenValue): string {
  switch (value.type) {
    case 'UndefinedValue':
      return ''
    case 'NullValue':
      return 'None'
    case 'BooleanValue':
      return value.value === true ? 'True' : 'False'
    case 'FloatValue':
      return Number.isInteger(value.value) ? `${value.value}.0` : String(value.value)
    case 'StringValue':
    case 'IntegerValue':
      return String(value.value)
    case 'ArrayValue':
      return `[${(value.value as WrittenValue[]).map(quoted).join(', ')}]`
    case 'TupleValue':
      return `(${(value.value as WrittenValue[]).map(quoted).join(', ')})`
    case 'ObjectValue': {
      const entries = [...(value.value as Map<string, WrittenValue>)]
      return `{${entries.map(([key, member]) => `${quotedText(key)}: ${quoted(member)}`).join(', ')}}`
    }
    default:
      return value.toString()
  }
}

/** As Python's repr(). */
const quoted = (value: WrittenValue): string =>
  value.type === 'StringValue' ? quotedText(String(value.value)) : textOfValue(value)

const ESCAPES: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }

function quotedText(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'"
  return mark + text.replace(/[\\\n\r\t']/g, c => (c === "'" ? (mark === "'" ? "\\'" : c) : ESCAPES[c]!)) + mark
}

type MethodResult = string | number | boolean | string[]

/** Methods of Python's str that the library lacks, or whose arguments it passes over. Each takes time linear in its text. */
export const TEXT_METHODS: Readonly<Record<string, (text: string, args: readonly WrittenValue[]) => MethodResult>> = {
  strip: (text, [characters]) => stripped(text, characters, true, true),
  lstrip: (text, [characters]) => stripped(text, characters, true, false),
  rstrip: (text, [characters]) => stripped(text, characters, false, true),
  find: (text, [part]) => text.indexOf(argumentText(part)),
  rfind: (text, [part]) => text.lastIndexOf(argumentText(part)),
  index: (text, [part]) => {
    const at = text.indexOf(argumentText(part))
    if (at < 0) throw new Error('substring not found')
    return at
  },
  count: (text, [part]) => text.split(argumentText(part)).length - 1,
  isdigit: text => /^\d+$/.test(text),
  isalpha: text => /^\p{L}+$/u.test(text),
  isspace: text => /^\s+$/.test(text),
  splitlines: text => text.replace(/\r\n?|\n$/g, mark => (mark === '\n' ? '' : '\n')).split('\n'),
  removeprefix: (text, [part]) => (text.startsWith(argumentText(part)) ? text.slice(argumentText(part).length) : text),
  removesuffix: (text, [part]) => {
    const end = argumentText(part)
    return end !== '' && text.endsWith(end) ? text.slice(0, -end.length) : text
  },
}

function argumentText(value: WrittenValue | undefined): string {
  if (value?.type !== 'StringValue') throw new Error('a text is needed as argument')
  return String(value.value)
}

function stripped(text: string, characters: WrittenValue | undefined, left: boolean, right: boolean): string {
  if (characters === undefined || characters.type === 'NullValue') {
    const begun = left ? text.trimStart() : text
    return right ? begun.trimEnd() : begun
  }
  const unwanted = new Set(argumentText(characters))
  const points = [...text]
  let start = 0
  let end = points.length
  while (left && start < end && unwanted.has(points[start]!)) start++
  while (right && end > start && unwanted.has(points[end - 1]!)) end--
  return points.slice(start, end).join('')
}

/** Python's comparison of two texts. UTF-16 units order characters above U+FFFF before some below; no template asks for them. */
export function compareTexts(operator: string, left: string, right: string): boolean {
  if (operator === '<') return left < right
  if (operator === '<=') return left <= right
  return operator === '>' ? left > right : left >= right
}

/** Python's remainder and its errors: the sign is the divisor's. */
export function remainder(left: number, right: number): number {
  if (right === 0) throw new Error('division by zero')
  const rest = left % right
  return rest !== 0 && rest < 0 !== right < 0 ? rest + right : rest
}

const DIRECTIVE = /%(?:\((\w+)\))?([-+ 0]*)(\d{1,4})?(?:\.(\d{1,3}))?(.)/gs

/** Python's printf-style formatting, with the conversions s, r, d, i, f, x and %. Throws an Error that says what is wrong. */
export function formatText(format: string, values: WrittenValue): string {
  const list =
    values.type === 'TupleValue' ? (values.value as WrittenValue[]) : values.type === 'ObjectValue' ? [] : [values]
  const named = values.type === 'ObjectValue' ? (values.value as Map<string, WrittenValue>) : null
  let next = 0
  const text = format.replace(
    DIRECTIVE,
    (_, name: string | undefined, flags: string, width = '0', precision: string | undefined, kind: string) => {
      if (kind === '%') return '%'
      const value = name === undefined ? list[next++] : named?.get(name)
      if (value === undefined) throw new Error('not enough arguments for format string')
      return padded(converted(value, kind, precision), flags, Number(width))
    },
  )
  if (next < list.length && named === null) throw new Error('not all arguments converted during string formatting')
  return text
}

function converted(value: WrittenValue, kind: string, precision: string | undefined): string {
  if (kind === 's' || kind === 'r') {
    const text = kind === 'r' ? quoted(value) : textOfValue(value)
    return precision === undefined ? text : text.slice(0, Number(precision))
  }
  if (value.type !== 'IntegerValue' && value.type !== 'FloatValue') throw new Error(`%${kind} needs a number`)
  const number = Number(value.value)
  if (kind === 'f') return number.toFixed(Number(precision ?? 6))
  if (kind === 'd' || kind === 'i') return String(Math.trunc(number))
  if (kind === 'x') return Math.trunc(number).toString(16)
  throw new Error(`unsupported format character "${kind}"`)
}

function padded(text: string, flags: string, width: number): string {
  const signed = flags.includes('+') && /^\d/.test(text) ? `+${text}` : text
  if (flags.includes('-')) return signed.padEnd(width)
  return flags.includes('0') && /^[+-]?\d/.test(signed)
    ? signed.replace(/^([+-]?)/, `$1${'0'.repeat(Math.max(0, width - signed.length))}`)
    : signed.padStart(width)
}
