/** Files of prompts, good and hostile, and the rules that decide whether a reply passes. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { TernError } from '../../contract/errors.ts'
import { brokenRule, type Prompt, parsePrompts } from '../../main/cli/prompt-set.ts'

const PROMPT: Prompt = { category: 'fact', turns: ['What do bees make?'], must: 'honey', mustNot: null, words: [1, 40] }

function refusal(work: () => unknown) {
  try {
    work()
  } catch (error) {
    if (error instanceof TernError) return error.data
    throw error
  }
  throw new Error('It was accepted.')
}

describe('the rules', () => {
  const cases: [name: string, rules: Partial<Prompt>, reply: string, broken: ReturnType<typeof brokenRule>][] = [
    ['a match passes', {}, 'Bees make honey.', null],
    ['the reply is put in lower case, the pattern is not', {}, 'HONEY', null],
    ['no match', {}, 'Bees make wax.', 'must'],
    ['an empty reply', { must: null }, '', 'words'],
    ['a dot takes line breaks', { must: '(?=.*sugar)(?=.*honey)' }, 'Honey\nand\nsugar', null],
    ['what must not be there', { mustNot: 'wax' }, 'Wax and honey', 'mustNot'],
    ['no rule but the length', { must: null }, 'Anything', null],
    ['as many words as allowed', { must: null, words: [2, 3] }, ' one  two\nthree ', null],
    ['one word too many', { must: null, words: [2, 3] }, 'one two three four', 'words'],
    ['one word too few', { must: null, words: [2, 3] }, 'one', 'words'],
    ['four words three times', { must: null }, 'a b c d | a b c d | a b c d', null],
    ['four words four times', { must: null }, 'a b c d | A B C D | a b c d | a b c d', 'repetition'],
    ['one word again and again', { must: null }, 'very very very very very very very', 'repetition'],
    ['just before that', { must: null }, 'very very very very very very', null],
  ]
  it.each(cases)('%s', (_, rules, reply, broken) => {
    expect(brokenRule({ ...PROMPT, ...rules }, reply)).toBe(broken)
  })

  it.each(['(a+)+$', '(a|a)*$', '^(([a-z])+.)+[A-Z]([a-z])+$'])('a pattern that never ends is stopped: %s', must => {
    expect(refusal(() => brokenRule({ ...PROMPT, must }, `${'a'.repeat(60)}!`))).toMatchObject({
      code: 'limit-exceeded',
      message: expect.stringContaining(must),
      actual: expect.stringContaining('500ms'),
    })
    // The next pattern is none the worse for it.
    expect(brokenRule(PROMPT, 'honey')).toBe(null)
  })
})

describe('a file', () => {
  const file = (prompt: object) => JSON.stringify({ about: 'Bees.', prompts: [{ ...PROMPT, ...prompt }] })

  it('gives its prompts', () => {
    expect(parsePrompts(file({}), 'bees.json')).toEqual([PROMPT])
  })

  it('that ships has a hundred prompts, none of them twice', () => {
    const prompts = parsePrompts(readFileSync(new URL('../../models/eval100.json', import.meta.url), 'utf8'), 'x')
    expect(new Set(prompts.map(({ turns }) => turns.join('\n'))).size).toBe(100)
  })

  it.each([
    { what: 'no JSON', json: 'bees', says: 'JSON' },
    { what: 'another file', json: '{"ids": [1, 2]}', says: 'about' },
    { what: 'no prompt', json: '{"about": "", "prompts": []}', says: 'prompts: expected a prompt' },
    { what: 'an unknown rule', json: file({ mayBe: 'wax' }), says: 'prompts.0.mayBe' },
    { what: 'a missing rule', json: file({ mustNot: undefined }), says: 'prompts.0.mustNot' },
    { what: 'a broken pattern', json: file({ must: '(honey' }), says: 'prompts.0.must: not a regular expression' },
    { what: 'an empty pattern', json: file({ must: '' }), says: 'prompts.0.must: expected a pattern or null' },
    { what: 'an endless pattern', json: file({ must: 'a'.repeat(2001) }), says: 'prompts.0.must' },
    { what: 'a pattern of another type', json: file({ must: ['honey'] }), says: 'prompts.0.must' },
    { what: 'no turn', json: file({ turns: [] }), says: 'prompts.0.turns: expected a turn' },
    { what: 'an empty turn', json: file({ turns: ['Hi', ''] }), says: 'prompts.0.turns.1: expected some text' },
    { what: 'turns without an end', json: file({ turns: Array(33).fill('Hi') }), says: 'prompts.0.turns' },
    { what: 'one number of words', json: file({ words: [1] }), says: 'prompts.0.words' },
    { what: 'three numbers of words', json: file({ words: [1, 2, 3] }), says: 'prompts.0.words' },
    {
      what: 'words the wrong way round',
      json: file({ words: [40, 1] }),
      says: 'prompts.0.words: expected the smaller',
    },
    { what: 'half a word', json: file({ words: [0.5, 1] }), says: 'prompts.0.words.0' },
    { what: 'a category that steers the terminal', json: file({ category: '\u001b[2J' }), says: 'prompts.0.category' },
  ])('is refused with its place: $what', ({ json, says }) => {
    expect(refusal(() => parsePrompts(json, 'bees.json'))).toMatchObject({
      code: 'format-invalid',
      message: 'bees.json is no file of prompts.',
      actual: expect.stringContaining(says),
      remedy: expect.any(String),
    })
  })
})
