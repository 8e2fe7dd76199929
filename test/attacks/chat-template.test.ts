/** Hostile chat templates: each is stopped by its budget, with a typed error, soon and without much memory. */
import { describe, expect, it } from 'vitest'
import { EngineError } from '../../engine/errors.ts'
import { type ChatMessage, compileChatTemplate } from '../../engine/tokenizer/chat-template.ts'
import { allocatedBytes, expectRefusal, MIB } from './expect-refusal.ts'

const HELLO: ChatMessage[] = [{ role: 'user', content: 'hello' }]

async function render(source: string, messages = HELLO): Promise<string> {
  const options = { addGenerationPrompt: true, bosToken: '<s>', eosToken: '</s>', specialTokens: new Map([['<s>', 1]]) }
  return compileChatTemplate(source).render(messages, options).text
}

/** `body` evaluated n times over, for n nested loops of 1000 each. */
const loops = (depth: number, body: string) =>
  `${'{% for x in range(1000) %}'.repeat(depth)}${body}${'{% endfor %}'.repeat(depth)}`

const DOUBLED =
  "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}"
const GROWN_LIST = '{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}'

describe('a template that', () => {
  it.each([
    ['loops a trillion times', loops(4, '')],
    ['prints a gigabyte', loops(3, 'x'.repeat(100))],
    ['counts to 2^53', '{% for i in range(9007199254740991) %}{% endfor %}'],
    ['doubles a text', DOUBLED],
    ['doubles a list', GROWN_LIST],
    ['calls itself', '{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}'],
    ['calls itself twice', '{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f(1) }}'],
    ['replaces nothing by much', `{{ ('a' * 1) }}{{ 'aaaaaaaaaa'.replace('', '${'b'.repeat(200_000)}') }}`],
    ['joins by a long text', `{{ range(100000) | join('${'b'.repeat(1000)}') }}`],
    ['indents by a million', "{{ ('a\\n' ~ 'b\\n' ~ 'c') | indent(1000000) }}"],
    ['nests a list in itself', '{% set ns = namespace(l=[]) %}{% set ns.l = [ns] %}{{ ns.l }}'],
  ])('%s', async (_, source) => {
    const allocated = await allocatedBytes(() =>
      expectRefusal(() => render(source), 'template-limit-exceeded', 'template-invalid'),
    )
    expect(allocated).toBeLessThan(256 * MIB)
  })

  it.each([
    ['nests 100,000 brackets', '{{ '.concat('('.repeat(50_000), '1', ')'.repeat(50_000), ' }}')],
    ['nests 20,000 conditions', '{% if x %}'.repeat(20_000) + '{% endif %}'.repeat(20_000)],
    ['is a megabyte long', 'x'.repeat(MIB)],
    ['is mostly white space', `{{ 1 }}${' '.repeat(100_000)}{{ 2 }}`],
  ])('%s cannot be compiled', async (_, source) => {
    await expectRefusal(async () => compileChatTemplate(source), 'template-limit-exceeded', 'template-invalid')
  })

  it.each([
    "{{ ''.__class__.__mro__ }}",
    '{{ messages.constructor.constructor("return process")() }}',
    '{{ [].constructor }}',
    '{{ messages[0].__proto__ }}',
    '{{ raise_exception.constructor("return 1")() }}',
    '{{ namespace.prototype }}',
    '{{ globalThis }}{{ process }}{{ require }}',
  ])('asks for the host gets nothing: %s', async source => {
    const text = await render(source).catch(error => {
      if (!(error instanceof EngineError)) throw error
      return ''
    })
    expect(text).not.toMatch(/function|process|object|native|prototype/i)
  })

  it('is given a hundred thousand messages renders them within its budget', async () => {
    const messages = Array.from({ length: 100_000 }, (_, i) => ({ role: i % 2 ? 'assistant' : 'user', content: 'hi' }))
    const text = await render('{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}', messages)
    expect(text.split('\n')).toHaveLength(100_001)
  })
})
