/**
 * Sessions on a device that samples by itself and runs ahead: held against the same session fed token by token. Text,
 * tokens, the end and what the state has read must be the same, whatever the device had computed beyond it.
 */
import { describe, expect, it } from 'vitest'
import { EngineError } from '../../engine/errors.ts'
import { deviceSampling } from '../../engine/sampling/device-sampling.ts'
import type { SamplingOptions } from '../../engine/sampling/sampler.ts'
import type { GenerationEvent, Session, SessionInput } from '../../engine/session.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { reply, type ScriptedRig, scriptedRig, tokensRead } from '../conformance/scripted-backend.ts'
import { BOS, bytes, characters, END, EOS, id } from '../conformance/tiny-tokenizer.ts'

const rig = (samples: boolean): Promise<ScriptedRig> =>
  scriptedRig({ samples, pause: nodeEngineEnvironment.yieldToEventLoop })

const text = (value: string): SessionInput => ({ kind: 'text', text: value, parseSpecial: false })
const nothing: SessionInput = { kind: 'tokens', tokens: [] }

async function write(
  session: Session,
  input: SessionInput,
  sampling: SamplingOptions,
  onEvent: (event: GenerationEvent, signal: { aborted: boolean }) => void = () => {},
) {
  const events: GenerationEvent[] = []
  const signal = { aborted: false }
  await session.generate(input, sampling, {
    signal,
    onEvent: event => {
      events.push(event)
      onEvent(event, signal)
    },
  })
  const told = events.filter(event => event.kind === 'text')
  const last = events.at(-1)!
  return {
    pieces: told,
    tokens: told.flatMap(event => event.tokens),
    reason: last.kind === 'finish' ? last.reason : 'none',
    generatedTokens: last.kind === 'finish' ? last.stats.generatedTokens : -1,
    tokenCount: session.tokenCount,
  }
}

/** What the state has read, pending tokens included; there must be no other state left. */
async function sequence(session: Session, { backend }: ScriptedRig): Promise<number[]> {
  await write(session, nothing, { maxTokens: 0 })
  expect(backend.states.size, 'live states').toBeLessThanOrEqual(1)
  return tokensRead(session)
}

const long = characters('the terns fly far over the sea'.repeat(15))
const SCENARIOS: {
  name: string
  tokens: number[]
  sampling: SamplingOptions
  cancelAfter?: number
  asksAfter?: number[]
}[] = [
  { name: 'an end token after some text', tokens: [id('Hello'), id(' world'), END], sampling: {} },
  { name: 'an end token at once', tokens: [END], sampling: {} },
  { name: 'an end token after one', tokens: [id('a'), EOS], sampling: {} },
  { name: 'an end token after one, with stop strings', tokens: [id('a'), EOS], sampling: { stop: ['zz'] } },
  { name: 'a limit of one token', tokens: long, sampling: { maxTokens: 1 } },
  { name: 'a limit', tokens: long, sampling: { maxTokens: 7 } },
  { name: 'more than one turn', tokens: [...long, END], sampling: {} },
  { name: 'more than one turn, with stop strings', tokens: [...long, END], sampling: { stop: ['zz'] } },
  { name: 'a cancel', tokens: long, sampling: {}, cancelAfter: 5 },
  { name: 'a cancel at the first token', tokens: long, sampling: {}, cancelAfter: 1 },
  { name: 'a character of several tokens', tokens: [...bytes('é'), id('a'), ...bytes('🦅'), END], sampling: {} },
  { name: 'a character cut off', tokens: [id('a'), ...bytes('🦅')], sampling: { maxTokens: 3 } },
  { name: 'a stop string in one token', tokens: [id('a'), id('STOP'), id('b')], sampling: { stop: ['STOP'] } },
  { name: 'a stop string at once', tokens: [id('STOP'), id('b')], sampling: { stop: ['STOP'] } },
  {
    name: 'a stop string over tokens',
    tokens: [id('Hello'), id('ab</'), id('x</st'), id('op>yz'), id('!!')],
    sampling: { stop: ['</stop>'] },
  },
  {
    name: 'a stop string over turns',
    tokens: [...characters('x'.repeat(29)), ...characters('</stop>'), id('!!')],
    sampling: { stop: ['</stop>'] },
  },
  {
    name: 'what only looked like a stop string, at the end of a turn',
    tokens: [...characters('x'.repeat(29)), ...characters('</stoop'), id('STOP'), id('!!')],
    sampling: { stop: ['</stop>', 'STOP'] },
  },
  {
    name: 'a stop string after what only looked like one',
    tokens: [id('ab</'), id('x</st'), id('!!'), id('ab</'), id('x</st'), id('op>yz')],
    sampling: { stop: ['</stop>'] },
  },
  { name: 'text held back at the end', tokens: [id('ab</'), END], sampling: { stop: ['</stop>'] } },
  { name: 'text held back at a limit', tokens: [id('ab</'), id('x')], sampling: { stop: ['</stop>'], maxTokens: 1 } },
  { name: 'penalties', tokens: long, sampling: { frequencyPenalty: 0.4, presencePenalty: 0.3, maxTokens: 60 } },
  { name: 'penalties that look back a little', tokens: long, sampling: { repetitionPenalty: 2, penaltyWindow: 5 } },
  { name: 'tokens left to the host', tokens: [...long, END], sampling: { stop: ['zz'] }, asksAfter: [0, 3, 4] },
  { name: 'all tokens left to the host', tokens: [...long, END], sampling: {}, asksAfter: [0] },
]

describe('a reply equals that of a backend fed token by token', () => {
  it.each(SCENARIOS)('$name', async ({ tokens, sampling, cancelAfter, asksAfter }) => {
    const results = []
    for (const samples of [false, true]) {
      const current = await rig(samples)
      current.backend.next = reply(2, tokens)
      if (asksAfter) current.backend.asksCpu = told => asksAfter.includes(told)
      const session = current.model.createSession()
      let told = 0
      const result = await write(session, text('x'), sampling, (event, signal) => {
        if (event.kind === 'text' && ++told === cancelAfter) signal.aborted = true
      })
      const saved = await session.serialize()
      const read = await sequence(session, current)
      session.dispose()
      const restored = await current.model.importSession(saved)
      expect(await sequence(restored, current), 'from its state file').toEqual(read)
      results.push({ ...result, read })
    }
    expect(results[1]).toEqual(results[0])
  })

  it('uses the device where it can, and only there', async () => {
    const current = await rig(true)
    current.backend.next = reply(2, long)
    await write(current.model.createSession(), text('x'), { maxTokens: 20 })
    expect(current.backend.steps, 'tokens, and those ahead').toBe(25)
    await write(current.model.createSession(), text('x'), { maxTokens: 20, logitBias: [[EOS, -100]] })
    expect(current.backend.steps, 'one step for each token but the last').toBe(25 + 19)
  })
})

describe('random choice on the device', () => {
  const sampling = { temperature: 1, topK: 40, seed: 7, logitBias: undefined }

  it('gives the same text for the same seed, interrupted, saved and restored or not', async () => {
    const { model } = await rig(true)
    const whole = await write(model.createSession(), text('x'), { ...sampling, maxTokens: 60 })
    const again = await write(model.createSession(), text('x'), { ...sampling, maxTokens: 60 })
    const other = await write(model.createSession(), text('x'), { ...sampling, seed: 8, maxTokens: 60 })
    expect(again.tokens).toEqual(whole.tokens)
    expect(other.tokens).not.toEqual(whole.tokens)

    const first = whole.tokens.length >> 1
    const session = model.createSession()
    const begun = await write(session, text('x'), { ...sampling, maxTokens: first })
    const restored = await model.importSession(await session.serialize())
    for (const rest of [restored, session]) {
      const { tokens } = await write(rest, nothing, { ...sampling, maxTokens: 60 - first })
      expect([...begun.tokens, ...tokens]).toEqual(whole.tokens)
    }
  })

  it('knows what a device can do', () => {
    const can = (options: SamplingOptions): boolean =>
      deviceSampling(options, 1, 1000, { maxPenaltyWindow: 4096 }) !== null
    const possible: SamplingOptions[] = [
      {},
      { temperature: 0, topP: 0.5 },
      { temperature: 1, topK: 900 },
      { temperature: 1, topK: 5000 },
      { temperature: 0.4, topP: 0.95, minP: 0.1, frequencyPenalty: 0.1, penaltyWindow: 256 },
      { repetitionPenalty: 1.1, penaltyWindow: 0 },
      { temperature: 0, topK: 900, penaltyWindow: 5000 },
    ]
    expect(possible.filter(options => !can(options))).toEqual([])
    const cannot: SamplingOptions[] = [{ repetitionPenalty: 1.1, penaltyWindow: 4097 }, { logitBias: [[5, -100]] }]
    expect(cannot.filter(can)).toEqual([])
    const seedOf = (seed: number): number =>
      deviceSampling({ temperature: 1 }, seed, 10, { maxPenaltyWindow: 64 })!(0, []).seed
    expect(seedOf(2 ** 53 - 1)).toBeLessThan(2 ** 32)
    expect(seedOf(2 ** 40)).not.toEqual(seedOf(0))
  })
})

describe('several sessions on the device', () => {
  it('get a turn within some tokens, and do not touch each other', async () => {
    const { backend, model } = await rig(true)
    backend.next = fed => (fed.length < 300 ? id('a') : END)
    const order: string[] = []
    const run = (name: string, prompt: string) =>
      write(model.createSession(), text(prompt), {}, event => {
        if (event.kind === 'text') order.push(name)
      })
    const [a, b] = await Promise.all([run('a', 'x'), run('b', 'yy')])
    expect([a.tokens.length, b.tokens.length]).toEqual([298, 297])
    const overlap = order.slice(order.indexOf('b'), order.lastIndexOf('a'))
    const turns = overlap.join('').match(/a+|b+/g)!
    expect(turns.length).toBeGreaterThan(20)
    expect(Math.max(...turns.map(turn => turn.length))).toBeLessThanOrEqual(20)
    expect([...backend.states.values()].map(fed => fed[1]).sort()).toEqual([id('x'), id('y')].sort())
  })

  it('are freed while they write', async () => {
    const { backend, model } = await rig(true)
    backend.next = () => id('a')
    const session = model.createSession()
    const result = await write(session, text('x'), { stop: ['zz'] }, event => {
      if (event.kind === 'text') session.dispose()
    })
    expect(result.reason).toBe('cancelled')
    expect(backend.states.size).toBe(0)
  })
})

describe('failures on the device', () => {
  it('leave the session after the last token told', async () => {
    const { backend, model } = await rig(true)
    backend.next = () => id('a')
    let steps = 0
    backend.beforeStep = () => {
      if (++steps === 5) throw new EngineError('backend-failed', 'The device is gone.')
    }
    const session = model.createSession()
    await expect(write(session, text('x'), {})).rejects.toMatchObject({ code: 'backend-failed' })
    expect(await tokensRead(session)).toEqual([BOS, ...characters('xaaa')])
    expect((await write(session, nothing, { maxTokens: 2 })).tokens).toEqual(characters('aa'))
    expect(await tokensRead(session)).toEqual([BOS, ...characters('xaaaaa')])
    session.dispose()
    expect(backend.states.size).toBe(0)
  })

  it('of a listener leave it where the last told token was', async () => {
    const current = await rig(true)
    current.backend.next = reply(2, characters('abcd'))
    const session = current.model.createSession()
    const failing = write(session, text('x'), {}, event => {
      if (event.kind === 'text' && event.text === 'b') throw new Error('the window is gone')
    })
    await expect(failing).rejects.toThrow('the window is gone')
    expect(await sequence(session, current)).toEqual([BOS, ...characters('xab')])
    expect((await write(session, nothing, {})).tokens).toEqual(characters('cd'))
  })
})
