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

describe('templates that fail', () => {
  const invalid = (message: RegExp) =>
    expect.objectContaining({ code: 'template-invalid', message: expect.stringMatching(message) })

  it('say what they could not read', () => {
    expect(() => compileChatTemplate('{% if x %}never closed')).toThrow(invalid(/ends inside a block/))
    expect(() => compileChatTemplate("{{ 'never closed }}")).toThrow(invalid(/Unexpected end of input/))
    expect(() => compileChatTemplate('{{ a b }}')).toThrow(invalid(/Expected closing expression/))
  })

  it('say what went wrong', () => {
    expect(() => render('{{ nothing() }}', [user('x')])).toThrow(invalid(/not a function/))
    expect(() => render('{{ 1 | frobnicate }}', [user('x')])).toThrow(invalid(/frobnicate/))
  })

  it('hand on their own refusal', () => {
    const source = "{{ raise_exception('Conversation roles must alternate') }}"
    expect(() => render(source, [user('x')])).toThrow(invalid(/refuses.*Conversation roles must alternate/))
  })

  it('are not needed to print nothing for what is undefined or empty', () => {
    expect(render('[{{ nothing.at.all }}{{ [] | first }}{{ tools }}]', [user('x')]).text).toBe('[]')
  })
})
