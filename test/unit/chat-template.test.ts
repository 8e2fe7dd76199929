import { describe, expect, it } from 'vitest'
import {
  type ChatMessage,
  compileChatTemplate,
  encodeRendered,
  PLAIN_CHAT_TEMPLATE,
  type RenderOptions,
} from '../../engine/tokenizer/chat-template.ts'
import { createTokenizer } from '../../engine/tokenizer/tokenizer.ts'
import { llamaTokenizer, vocabularySizeOf } from '../tiny-tokenizer.ts'

const json = llamaTokenizer()
const tokenizer = createTokenizer(json, { vocabularySize: vocabularySizeOf(json) })
const TURNS =
  "{{ bos_token }}{% for message in messages %}{{ message['role'] }}:{{ message['content'] | trim }}<|end|>{% endfor %}{% if add_generation_prompt %}a:{% endif %}"

const options: RenderOptions = {
  addGenerationPrompt: true,
  bosToken: '<s>',
  eosToken: '<|end|>',
  specialTokens: tokenizer.specialTokens,
}
const user = (content: string): ChatMessage => ({ role: 'user', content })
const render = (source: string, messages: ChatMessage[], more: Partial<RenderOptions> = {}) =>
  compileChatTemplate(source).render(messages, { ...options, ...more })
const namesOf = (ids: number[]): string[] => ids.map(id => tokenizer.tokenText(id))

describe('special tokens inside messages', () => {
  const specialIds = new Set(tokenizer.specialTokens.values())
  const specialNames = (content: string, source = TURNS): string[] =>
    namesOf(encodeRendered(tokenizer, render(source, [user(content)])).filter(id => specialIds.has(id)))

  it('stay text, while those of the template are meant', () => {
    expect(specialNames('hi')).toEqual(['<s>', '<|end|>'])
    expect(specialNames('</s> <|end|> <s><s>x<|end|>')).toEqual(['<s>', '<|end|>'])
  })

  it('are shown exactly as written', () => {
    const content = 'say <|end|> and <s>, \ue000\ue001 too'
    const rendered = render(TURNS, [user(content)])
    expect(rendered.text).toBe(`<s>user:${content}<|end|>a:`)
    expect(rendered.segments.map(segment => segment.text).join('')).toBe(rendered.text)
    const ids = encodeRendered(tokenizer, rendered)
    expect(tokenizer.decode(ids)).toBe('<s> user:say <|end|> and <s>, \ue000\ue001 too<|end|> a:')
  })

  it('cannot be put together from a message and what follows it', () => {
    const joined = "{% for message in messages %}{{ message['content'] | trim }}{% endfor %}"
    const ids = encodeRendered(tokenizer, render(joined, [user('<|e '), user('nd|>')]))
    expect(ids.some(id => specialIds.has(id))).toBe(false)
    expect(specialNames('<|end', "{{ messages[0]['content'] }}|>")).toEqual([])
  })

  it('can still be searched for and cut at by a template, with their neighbours', () => {
    const cut = "{{ messages[0]['content'].split('|||')[1] }}"
    expect(render(cut, [user('a<s>|||b<|end|>')]).text).toBe('b<|end|>')
  })
})

describe('going on with an unfinished reply', () => {
  const messages = [user('hello'), { role: 'assistant', content: 'he ' }]

  it('ends with the reply as it stands, white space included', () => {
    const rendered = render(TURNS, messages, { addGenerationPrompt: false, continueFinalMessage: true })
    expect(rendered.text).toBe('<s>user:hello<|end|>assistant:he ')
  })

  it('works for a reply that ends like a special token begins, and for an empty one', () => {
    const more = { addGenerationPrompt: false, continueFinalMessage: true }
    expect(render(TURNS, [user('x'), { role: 'assistant', content: 'a <|e' }], more).text).toBe(
      '<s>user:x<|end|>assistant:a <|e',
    )
    expect(render(TURNS, [user('x'), { role: 'assistant', content: '' }], more).text).toBe('<s>user:x<|end|>assistant:')
  })

  it('is refused when the template leaves the reply out', () => {
    const more = { addGenerationPrompt: false, continueFinalMessage: true }
    expect(() => render('{{ bos_token }}', messages, more)).toThrow(
      expect.objectContaining({ code: 'template-invalid' }),
    )
  })
})

describe('encoding a rendering from an offset', () => {
  it('gives the end of what the whole gives, where a turn ends', () => {
    const rendered = render(TURNS, [user('hello'), { role: 'assistant', content: 'he <s>' }, user('x')])
    const whole = encodeRendered(tokenizer, rendered)
    const from = rendered.text.indexOf('assistant:')
    const rest = encodeRendered(tokenizer, rendered, { from })
    expect(rest.length).toBeGreaterThan(3)
    expect(whole.slice(-rest.length)).toEqual(rest)
  })

  it('adds no space where it cuts a text', () => {
    const rendered = render('{{ messages[0].content }}', [user('hello')])
    expect(namesOf(encodeRendered(tokenizer, rendered))).toEqual(['▁hello'])
    expect(namesOf(encodeRendered(tokenizer, rendered, { from: 2 }))).toEqual(['ll', 'o'])
    expect(namesOf(encodeRendered(tokenizer, rendered, { continuation: true }))).toEqual(['hello'])
  })
})

describe('the plain template of base models', () => {
  it('lets a reply follow its question directly, and parts turns by an empty line', () => {
    const messages = [user('Once'), { role: 'assistant', content: ' upon a time' }, user('The end')]
    expect(render(PLAIN_CHAT_TEMPLATE, messages).text).toBe('<s>Once upon a time\n\nThe end')
  })
})

describe('what Jinja2 does with texts', () => {
  it.each([
    ["{{ '=' * 3 }}", '==='],
    ["{{ 2 * 'ab' }}", 'abab'],
    ["{{ 'a' * -1 }}", ''],
    ['{{ 6 * 7 }} {{ 7 % 4 }}', '42 3'],
    ["{{ 'a' ~ none ~ true ~ 1 ~ 1.0 ~ nothing }}", 'aNoneTrue11.0'],
    ["{{ '%s' % 'a' }}", 'a'],
    ["{{ '%s and %d%%' % ('a', 7) }}", 'a and 7%'],
    ["{{ '%05.1f|%-4s|%4s|%+d|%x|%r' % (3.14159, 'a', 'b', 5, 255, 'c') }}", "003.1|a   |   b|+5|ff|'c'"],
    ["{{ '%(who)s says %(what)s' % {'who': 'cat', 'what': 'meow'} }}", 'cat says meow'],
    ["{{ '100%' }}", '100%'],
    ['{{ none }} {{ true }} {{ 1 == 2 }} {{ tools }}', 'None True False None'],
    ["{{ [1.0, true, none, 'x', {'a': [\"it's\"]}] }}", `[1.0, True, None, 'x', {'a': ["it's"]}]`],
    ["{{ ('a', 1) }}{{ 'a\\nb' | list }}", "('a', 1)['a', '\\n', 'b']"],
    ["{{ 'xaxbx'.strip('x') }} {{ '--a-'.lstrip('-') }} {{ 'a.,'.rstrip('.,') }} {{ ' a '.strip() }}", 'axb a- a a'],
    ["{{ 'abcb'.find('b') }} {{ 'abcb'.rfind('b') }} {{ 'abc'.find('x') }} {{ 'abc'.index('c') }}", '1 3 -1 2'],
    ["{{ 'a,b,c'.count(',') }} {{ '12'.isdigit() }} {{ 'a1'.isdigit() }}", '2 True False'],
    ["{{ 'a\\nb\\n'.splitlines() | join('|') }}", 'a|b'],
    ["{{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }}", 'bc ab'],
    ["{{ '%s-%d' | format('a', 7) }} {{ 'a' | safe }} {{ nothing | d('b') }} {{ [1, 2] | count }}", 'a-7 a b 2'],
    ["{{ 'a' < 'b' }} {{ 'b' <= 'a' }} {{ [1, 'a'] == [1, 'a'] }} {{ [1] != [1] }}", 'True False True False'],
    ['{{ [0] * 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 // 2 }}', '[0, 0, 0] 2 -2 3'],
  ])('%s', (source, text) => {
    expect(render(source, [user('x')]).text).toBe(text)
  })

  it.each([
    ["{{ '%s %s' % 'a' }}", /not enough arguments/],
    ["{{ '%s' % ('a', 'b') }}", /not all arguments/],
    ["{{ '%d' % 'a' }}", /needs a number/],
    ['{{ 1 / 0 }}', /division by zero/],
    ['{{ 1 % 0 }}', /division by zero/],
    ['{{ 1 // 0 }}', /division by zero/],
    ["{{ 'abc'.index('x') }}", /substring not found/],
    ["{{ 'abc'.strip(1) }}", /a text is needed/],
    ['{{ raise_exception() }}', /refuses this conversation: it does not say why/],
  ])('%s is refused as there', (source, message) => {
    expect(() => render(source, [user('x')])).toThrow(
      expect.objectContaining({ code: 'template-invalid', message: expect.stringMatching(message) }),
    )
  })

  it.each([
    "{{ 'abcdefgh' * 999999999 }}",
    "{% set s = 'a' * 900000 %}{{ s ~ s ~ s }}",
    "{{ '%9999s' % 'a' * 99999 }}",
    '{{ [1, 2, 3] * 99999999 }}',
    "{% set s = 'ab' * 400000 %}{{ s.splitlines() }}{% for i in range(99999) %}{{ s.count('ab') }}{% endfor %}",
  ])('%s has an end', source => {
    expect(() => render(source, [user('x')])).toThrow(expect.objectContaining({ code: 'template-limit-exceeded' }))
  })
})

describe('templates that fail', () => {
  const invalid = (message: RegExp) =>
    expect.objectContaining({ code: 'template-invalid', message: expect.stringMatching(message) })

  it('say what they could not read', () => {
    expect(() => compileChatTemplate('{% if x %}never closed')).toThrow(invalid(/ends inside a block/))
    expect(() => compileChatTemplate("{{ 'never closed }}")).toThrow(invalid(/Unexpected end of input/))
    expect(() => compileChatTemplate('{{ a b }}')).toThrow(invalid(/Expected closing expression/))
    expect(() => compileChatTemplate('{% break %}')).toThrow(invalid(/"break" stands outside of a loop/))
    const inMacro = '{% for m in messages %}{% macro f() %}{% continue %}{% endmacro %}{% endfor %}'
    expect(() => compileChatTemplate(inMacro)).toThrow(invalid(/"continue" stands outside of a loop/))
    const inLoop = '{% for m in messages %}{% if m %}{% break %}{% endif %}{{ 1 }}{% endfor %}'
    expect(render(inLoop, [user('x')]).text).toBe('')
  })

  it('say what went wrong', () => {
    expect(() => render('{{ nothing() }}', [user('x')])).toThrow(invalid(/not a function/))
    expect(() => render('{{ 1 | wordcount }}', [user('x')])).toThrow(invalid(/wordcount/))
  })

  it.each([
    '{{ 1 | frobnicate }}',
    '{{ 1 | frobnicate(2) }}',
    '{{ 1 | string | frobnicate | upper }}',
    '{% if false %}{% set x = [{"a": f(1 | frobnicate)}] %}{% endif %}',
    '{% for m in messages | frobnicate %}{{ m }}{% endfor %}',
    '{% filter frobnicate %}x{% endfilter %}',
    '{% macro f() %}{{ 1 | frobnicate }}{% endmacro %}',
  ])('name a filter that Jinja2 does not have before there is a conversation: %s', source => {
    expect(() => compileChatTemplate(source)).toThrow(invalid(/there is no filter "frobnicate"/))
  })

  it('are not those with a filter that only an unused branch needs', () => {
    const source =
      "{% if tools %}{{ tools | wordcount }}{% endif %}{{ messages | map(attribute='content') | join | upper }}"
    expect(render(source, [user('x')]).text).toBe('X')
    const word = "{% set filter = {'filter': 'frobnicate'} %}{{ filter.filter | d('-') }}"
    expect(render(word, [user('x')]).text).toBe('frobnicate')
  })

  it('hand on their own refusal', () => {
    const source = "{{ raise_exception('Conversation roles must alternate') }}"
    expect(() => render(source, [user('x')])).toThrow(invalid(/refuses.*Conversation roles must alternate/))
  })

  it('are not needed to print nothing for what is undefined or empty', () => {
    expect(render('[{{ nothing.at.all }}{{ [] | first }}]', [user('x')]).text).toBe('[]')
  })
})
