/** Zero-shot tasks: prompts and metrics against examples computed by hand, and the command around an engine that plays a part. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { afterAll, describe, expect, it } from 'vitest'
import type { EngineApi } from '../../contract/engine-api.ts'
import type { Handlers } from '../../contract/rpc.ts'
import { encodePairs } from '../../engine/score.ts'
import { createTokenizer } from '../../engine/tokenizer/tokenizer.ts'
import { readRows } from '../../main/cli/task-file.ts'
import { judge, likeliest, shareOf } from '../../main/cli/task-scores.ts'
import { taskItems, type ZeroShotTaskName } from '../../main/cli/zero-shot-tasks.ts'
import { scriptedRig } from '../conformance/scripted-backend.ts'
import { BOS, characters, id, TINY_TOKENIZER_JSON, TINY_VOCABULARY_SIZE } from '../conformance/tiny-tokenizer.ts'
import { createFakeEngine } from '../fake-engine.ts'
import { connectFake, ternInProcess } from '../tern-in-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'tern-tasks-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const itemOf = (name: ZeroShotTaskName, row: unknown) => taskItems(name, [row], 'rows.jsonl')[0]
const PIQA = { goal: 'To boil water,', sol1: 'heat it.', sol2: 'freeze it now.', label: 0 }

describe('what a task asks', () => {
  it('ARC, as on the hub and as first published', () => {
    const expected = {
      contexts: ['Question: What is hot?\nAnswer:', 'Question: What is hot?\nAnswer:'],
      continuations: [' Ice', ' The sun'],
      choiceLengths: [3, 7],
      gold: 1,
    }
    const flat = { question: 'What is hot?', choices: { text: ['Ice', 'The sun'], label: ['1', '2'] }, answerKey: '2' }
    const choices = [
      { text: 'Ice', label: 'A' },
      { text: 'The sun', label: 'B' },
    ]
    expect(itemOf('arc_easy', flat)).toEqual(expected)
    expect(itemOf('arc_challenge', { question: { stem: 'What is hot?', choices }, answerKey: 'B' })).toEqual(expected)
  })

  it('HellaSwag is cleaned, its second half small but for the first letter, its label a string', () => {
    const row = {
      activity_label: 'Home',
      ctx_a: 'How to sweep [title] Take a broom. [step] Begin.',
      ctx_b: 'then THE man',
      endings: ['sweeps  well.', ' [title] Stops.'],
      label: '1',
    }
    expect(itemOf('hellaswag', row)).toEqual({
      contexts: Array(2).fill('Home: How to sweep. Take a broom. Begin. Then the man'),
      continuations: [' sweeps well.', '  Stops.'],
      choiceLengths: [12, 7],
      gold: 1,
    })
  })

  it('OpenbookQA asks the bare stem; PIQA two solutions', () => {
    const choices = { text: ['a', 'b', 'c', 'd'], label: ['A', 'B', 'C', 'D'] }
    const row = { question_stem: 'The sun is', choices, answerKey: ' C' }
    expect(itemOf('openbookqa', row)).toMatchObject({ contexts: Array(4).fill('The sun is'), gold: 2 })
    expect(itemOf('piqa', PIQA)).toEqual({
      contexts: Array(2).fill('Question: To boil water,\nAnswer:'),
      continuations: [' heat it.', ' freeze it now.'],
      choiceLengths: [8, 14],
      gold: 0,
    })
  })

  it('Winogrande fills the blank and scores what follows it', () => {
    const row = { sentence: 'Ann beat Eve because _ was fast.', option1: 'Ann', option2: 'Eve', answer: '1' }
    expect(itemOf('winogrande', row)).toMatchObject({
      contexts: ['Ann beat Eve because Ann', 'Ann beat Eve because Eve'],
      continuations: [' was fast.', ' was fast.'],
      gold: 0,
    })
  })

  it('a length is counted in characters, as Python does', () => {
    expect(itemOf('piqa', { ...PIQA, sol1: '😀é' }).choiceLengths).toEqual([2, 14])
  })

  it.each<[string, ZeroShotTaskName, unknown, string]>([
    ['another task', 'hellaswag', PIQA, 'row 1, activity_label'],
    ['no answer', 'piqa', { ...PIQA, label: -1 }, 'row 1, label'],
    ['an answer that is no choice', 'piqa', { ...PIQA, label: 2 }, 'row 1: the right answer is none of the choices'],
    ['no blank', 'winogrande', { sentence: 'a', option1: 'b', option2: 'c', answer: '1' }, 'row 1, sentence'],
  ])('refuses %s, and says where', (_, name, row, where) => {
    expect(() => itemOf(name, row)).toThrow(
      expect.objectContaining({
        data: expect.objectContaining({ code: 'format-invalid', actual: expect.stringContaining(where) }),
      }),
    )
  })
})

describe('what is right', () => {
  it('acc by the sum, acc_norm by the sum for each character', () => {
    // -8 / 8 = -1 and -10.5 / 14 = -0.75: the sum prefers the first choice, each character the second.
    const item = itemOf('piqa', PIQA)
    expect(judge(item, [-8, -10.5])).toEqual({ isRight: true, isRightNormalised: false })
    expect(judge({ ...item, gold: 1 }, [-8, -10.5])).toEqual({ isRight: false, isRightNormalised: true })
  })

  it('of equal choices the first, as numpy.argmax', () => {
    expect(likeliest([-3, -1, -1])).toBe(1)
  })

  it('the standard error is that of the sample', () => {
    // 1, 1, 1, 0: mean 0.75, squares around it 3 * 0.0625 + 0.5625 = 0.75, / 3 = 0.25, root 0.5, / root of 4 = 0.25.
    expect(shareOf([true, true, true, false])).toEqual({ mean: 0.75, standardError: 0.25 })
    expect(shareOf([true])).toEqual({ mean: 1, standardError: null })
  })
})

describe('scores of the engine', () => {
  it('are the log-probabilities of a continuation, however many branch from one context', async () => {
    const { backend, model } = await scriptedRig()
    backend.next = () => id('x')
    const context = [BOS, ...characters('xx')]
    const scores = await model.score(context, [characters('x'), characters('xax'), characters('ax')])
    // The scripted logits of a state that has read so many tokens.
    const logProbability = (read: number, token: string) => {
      const logits = Array.from({ length: TINY_VOCABULARY_SIZE }, (_, i) => ((i * 7919 + read * 104729) % 13) / 13)
      logits[id('x')] += 1
      return logits[id(token)] - Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0))
    }
    const [one, three, two] = scores
    expect(one).toEqual({ tokens: 1, logProbability: expect.closeTo(logProbability(3, 'x'), 6) })
    expect(three.logProbability).toBeCloseTo(
      logProbability(3, 'x') + logProbability(4, 'a') + logProbability(5, 'x'),
      6,
    )
    expect(two.logProbability).toBeCloseTo(logProbability(3, 'a') + logProbability(4, 'x'), 6)
    expect(backend.states.size).toBe(0)
  })

  it('read the context once', async () => {
    const { backend, model } = await scriptedRig()
    const chunks: number[] = []
    backend.next = fed => {
      chunks.push(fed.length)
      return id('x')
    }
    const context = [BOS, ...characters('x'.repeat(40))]
    await model.score(context, [characters('xa'), characters('ax'), characters('aa')])
    // Its last logits, and one row in each branch.
    expect(chunks).toEqual([41, 42, 42, 42])
  })

  it('refuse what has no token before it or in it, and stop when asked', async () => {
    const { backend, model } = await scriptedRig()
    await expect(model.score([], [[5]])).rejects.toMatchObject({ code: 'invalid-argument' })
    await expect(model.score([5], [[]])).rejects.toMatchObject({ code: 'invalid-argument' })
    await expect(model.score([5], [[TINY_VOCABULARY_SIZE]])).rejects.toMatchObject({ code: 'token-out-of-range' })
    await expect(model.score([5], [[5]], { signal: { aborted: true } })).rejects.toMatchObject({ code: 'cancelled' })
    expect(backend.states.size).toBe(0)
  })

  it('spaces at the end of a context go over to the continuation', () => {
    const tokenizer = createTokenizer(JSON.parse(TINY_TOKENIZER_JSON), { vocabularySize: TINY_VOCABULARY_SIZE })
    const whole = tokenizer.encode('ab  ac', { parseSpecial: false, continuation: false })
    const stem = tokenizer.encode('ab', { parseSpecial: false, continuation: false })
    const pairs = encodePairs(tokenizer, 'ab ', [' ac'], BOS)
    expect(pairs.context).toEqual([BOS, ...stem])
    expect(pairs.continuations).toEqual([whole.slice(stem.length)])
  })
})

describe('a file of rows', () => {
  const rows = [PIQA, { ...PIQA, label: 1 }]

  it('is JSON lines or an array', async () => {
    const lines = `${rows.map(row => JSON.stringify(row)).join('\r\n')}\n\n`
    expect(await readRows(Buffer.from(lines), 'a')).toEqual(rows)
    expect(await readRows(Buffer.from(JSON.stringify(rows)), 'a')).toEqual(rows)
  })

  it('is Parquet with 64-bit labels and nested choices, as the hub has it', async () => {
    const flat = parquetWriteBuffer({
      columnData: [
        { name: 'goal', data: rows.map(row => row.goal) },
        { name: 'sol1', data: rows.map(row => row.sol1) },
        { name: 'sol2', data: rows.map(row => row.sol2) },
        { name: 'label', data: rows.map(row => BigInt(row.label)) },
      ],
    })
    expect(taskItems('piqa', await readRows(Buffer.from(flat), 'a'), 'a')).toEqual(taskItems('piqa', rows, 'a'))
    const text = { type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' } as const
    const list = (name: string) =>
      [
        { name, num_children: 1, repetition_type: 'OPTIONAL', converted_type: 'LIST' },
        { name: 'list', num_children: 1, repetition_type: 'REPEATED' },
        { name: 'element', ...text },
      ] as const
    const nested = parquetWriteBuffer({
      columnData: [
        { name: 'question', data: ['Hot?'] },
        { name: 'choices', data: [{ text: ['Ice', 'Sun'], label: ['A', 'B'] }] },
        { name: 'answerKey', data: ['B'] },
      ],
      schema: [
        { name: 'root', num_children: 3 },
        { name: 'question', ...text },
        { name: 'choices', num_children: 2, repetition_type: 'OPTIONAL' },
        ...list('text'),
        ...list('label'),
        { name: 'answerKey', ...text },
      ],
    })
    const [item] = taskItems('arc_easy', await readRows(Buffer.from(nested), 'a'), 'a')
    expect(item).toMatchObject({ continuations: [' Ice', ' Sun'], gold: 1 })
  })

  it.each([
    ['a line that is no JSON', '{"a": 1}\n{', 'line 2'],
    ['Parquet that is cut off', 'PAR1 and no more', ''],
  ])('refuses %s', async (_, content, where) => {
    await expect(readRows(Buffer.from(content), 'a')).rejects.toMatchObject({
      data: { code: 'format-invalid', actual: expect.stringContaining(where) },
    })
  })
})

describe('tern eval --task', () => {
  const path = join(folder, 'piqa.jsonl')
  const labels = [0, 1, 0, 0]
  writeFileSync(path, labels.map(label => JSON.stringify({ ...PIQA, label })).join('\n'))
  const asked: string[] = []
  const score: Handlers<EngineApi>['streams']['score'] = async ({ items }, emit) => {
    for (const [index, { context, continuations }] of items.entries()) {
      asked.push(context)
      // Prefers the first by the sum and the second by each character.
      const scores = continuations.map((_, i) => ({ tokens: 1, logProbability: [-8, -10.5][i] }))
      emit({ kind: 'scored', index, contextTokens: 3, scores })
    }
  }
  const run = (...args: string[]) =>
    ternInProcess(['eval', ...args], { connectEngine: connectFake(createFakeEngine({ loadMs: 0 }), { score }) })

  it('tells acc and acc_norm apart, with what was run', async () => {
    const ended = await run('--task', `piqa=${path}`, '--json')
    expect(ended).toMatchObject({ code: 0, stderr: expect.any(String) })
    const result = JSON.parse(ended.stdout)
    expect(result).toMatchObject({
      rules: 'lm-evaluation-harness 0.4',
      shots: 0,
      beginWithFirstToken: false,
      limit: null,
    })
    expect(result.modelSha256).toMatch(/^[0-9a-f]{64}$/)
    expect(result.tasks).toEqual([
      {
        task: 'piqa',
        items: 4,
        dataSha256: expect.stringMatching(/^[0-9a-f]{64}$/),
        acc: { mean: 0.75, standardError: 0.25 },
        accNorm: { mean: 0.25, standardError: 0.25 },
      },
    ])
    expect(asked).toEqual(Array(4).fill('Question: To boil water,\nAnswer:'))
  })

  it('a table stands beside the published figures', async () => {
    const { stdout } = await run('--task', `piqa=${path}`, '--limit', '1')
    expect(stdout.split('\n').slice(0, 2)).toEqual([
      'task  items  acc    acc_norm  chance  paper, 370M  independent acc  independent acc_norm',
      'PIQA  1      100.0  0.0       50      63.0         –                –',
    ])
  })

  it.each([
    ['a task that there is not', ['--task', 'mmlu=x'], 'arc_easy'],
    ['no file', ['--task', 'piqa='], 'NAME=FILE'],
    ['--limit without it', ['--text', 'x', '--limit', '3'], '--task'],
    ['a text beside it', ['--task', 'piqa=x', '--text', 'x'], 'one of'],
    ['sampling', ['--task', 'piqa=x', '--greedy'], '--prompts'],
  ])('refuses %s', async (_, args, says) => {
    expect(await run(...args)).toMatchObject({ code: 2, stderr: expect.stringContaining(says) })
  })
})
