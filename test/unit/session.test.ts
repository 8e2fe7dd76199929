/** Sessions over a scripted backend: what is read, what is written, what enters the state, and what comes back. */
import { beforeEach, describe, expect, it } from 'vitest'
import { type LoadedModel, loadModel } from '../../engine/engine.ts'
import { EngineError } from '../../engine/errors.ts'
import type { SamplingOptions } from '../../engine/sampling/sampler.ts'
import type { GenerateOptions, GenerationEvent, Session, SessionInput } from '../../engine/session.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import {
  createScriptedBackend,
  reply,
  type ScriptedBackend,
  scriptedModelFile,
  tokensRead,
} from '../conformance/scripted-backend.ts'
import { BOS, bytes, characters, END, EOS, id } from '../conformance/tiny-tokenizer.ts'

let backend: ScriptedBackend
let model: LoadedModel
beforeEach(async () => {
  backend = createScriptedBackend()
  model = await loadModel(scriptedModelFile(), backend, nodeEngineEnvironment)
})

interface Result {
  text: string
  tokens: number[]
  pieces: string[]
  reason: string
  events: GenerationEvent[]
}

async function generate(
  session: Session,
  input: SessionInput,
  sampling: SamplingOptions = {},
  options: Partial<GenerateOptions> = {},
): Promise<Result> {
  const events: GenerationEvent[] = []
  await session.generate(input, sampling, {
    ...options,
    onEvent: event => {
      events.push(event)
      options.onEvent?.(event)
    },
  })
  const texts = events.filter(event => event.kind === 'text')
  const last = events.at(-1)
  return {
    text: texts.map(event => event.text).join(''),
    tokens: texts.flatMap(event => event.tokens),
    pieces: texts.map(event => event.text),
    reason: last?.kind === 'finish' ? last.reason : 'none',
    events,
  }
}

const text = (value: string): SessionInput => ({ kind: 'text', text: value, parseSpecial: false })
const nothing: SessionInput = { kind: 'tokens', tokens: [] }
const user = (content: string) => ({ role: 'user' as const, content })
const assistant = (content: string) => ({ role: 'assistant' as const, content })
const chat = (...messages: { role: 'user' | 'assistant'; content: string }[]): SessionInput => ({
  kind: 'messages',
  messages,
  addGenerationPrompt: true,
})

/** The tokens in the only live state. */
function onlyState(): readonly number[] {
  expect(backend.states.size, 'live states').toBe(1)
  return [...backend.states.values()][0]
}

const codeOf = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise
  } catch (error) {
    return error instanceof EngineError ? error.code : String(error)
  }
  return 'no error'
}

const FIRST_PROMPT = [BOS, id('<|user|>'), ...characters('\nhi'), END, id('\n'), id('<|assistant|>'), id('\n')]

describe('reading', () => {
  it('renders a conversation and writes the reply without its end token', async () => {
    backend.next = reply(FIRST_PROMPT.length, [id('Hello'), id(' world'), END])
    const session = model.createSession()
    const result = await generate(session, chat(user('hi')))
    expect(result).toMatchObject({ text: 'Hello world', tokens: [id('Hello'), id(' world')], reason: 'end-of-text' })
    expect(onlyState()).toEqual([...FIRST_PROMPT, id('Hello'), id(' world')])
    expect(session.tokenCount).toBe(FIRST_PROMPT.length + 2)
  })

  it('reads only what is new in the next turn', async () => {
    backend.next = reply(FIRST_PROMPT.length, [id('Hello'), END])
    const session = model.createSession()
    await generate(session, chat(user('hi')))
    const before = onlyState().length
    const second = [
      END,
      id('\n'),
      id('<|user|>'),
      ...characters('\nwho?'),
      END,
      id('\n'),
      id('<|assistant|>'),
      id('\n'),
    ]
    backend.next = reply(before + second.length, [id(' end')])
    const { events, text } = await generate(session, chat(user('hi'), assistant('Hello'), user('who?')))
    expect(text).toBe(' end')
    expect(onlyState()).toEqual([...FIRST_PROMPT, id('Hello'), ...second, id(' end')])
    expect(events[0]).toEqual({ kind: 'prefill', tokensDone: 0, tokensTotal: second.length, reusedTokens: before })
  })

  it('starts over when the conversation was edited', async () => {
    backend.next = reply(FIRST_PROMPT.length, [id('Hello'), END])
    const session = model.createSession()
    await generate(session, chat(user('hi')))
    const { events } = await generate(session, chat(user('ho')), { maxTokens: 0 })
    expect(events[0]).toMatchObject({ reusedTokens: 0, tokensTotal: FIRST_PROMPT.length })
    expect(onlyState()).toEqual([...FIRST_PROMPT.slice(0, 4), id('o'), ...FIRST_PROMPT.slice(5)])
  })

  it('goes on with an unfinished reply, which the template must not close', async () => {
    backend.next = reply(FIRST_PROMPT.length, [id('Hello'), id(' world'), END])
    const session = model.createSession()
    expect(await generate(session, chat(user('hi')), { maxTokens: 1 })).toMatchObject({
      text: 'Hello',
      reason: 'max-tokens',
    })
    expect(onlyState()).toEqual(FIRST_PROMPT)
    expect(session.tokenCount).toBe(FIRST_PROMPT.length + 1)
    const messages = [user('hi'), assistant('Hello')]
    const result = await generate(session, { kind: 'messages', messages, addGenerationPrompt: false })
    expect(result).toMatchObject({ text: ' world', reason: 'end-of-text' })
    expect(onlyState()).toEqual([...FIRST_PROMPT, id('Hello'), id(' world')])

    const fresh = model.createSession()
    backend.next = reply(FIRST_PROMPT.length + 5, [id(' world'), END])
    const again = await generate(fresh, { kind: 'messages', messages, addGenerationPrompt: false })
    expect(again.text).toBe(' world')
    expect([...backend.states.values()].at(-1)).toEqual([...FIRST_PROMPT, ...characters('Hello'), id(' world')])
  })

  it('goes on from a state without its text when the conversation is brought along, and from no other', async () => {
    backend.next = reply(FIRST_PROMPT.length, [id('Hello'), END])
    const session = model.createSession()
    await generate(session, chat(user('hi')))
    const bytes = await session.serialize('mark')
    expect(Buffer.from(bytes).toString('utf8')).not.toContain('Hello')
    const read = { messages: [user('hi'), assistant('Hello')], addGenerationPrompt: false }
    const restored = await model.importSession(bytes, read)
    const { events } = await generate(restored, chat(user('hi'), assistant('Hello'), user('who?')), { maxTokens: 1 })
    expect(events[0]).toMatchObject({ kind: 'prefill', reusedTokens: FIRST_PROMPT.length + 1 })
    const others = { ...read, messages: [user('ho'), assistant('Hello')] }
    expect(await codeOf(model.importSession(bytes, others))).toBe('state-mismatch')
    // Nobody says what it has read: it cannot be recognised.
    const unknown = await model.importSession(bytes)
    const again = await generate(unknown, chat(user('hi'), assistant('Hello'), user('who?')), { maxTokens: 1 })
    expect(again.events[0]).toMatchObject({ kind: 'prefill', reusedTokens: 0 })
  })

  it('a file with its messages says what it is, and goes on by itself', async () => {
    backend.next = reply(FIRST_PROMPT.length, [id('Hello'), END])
    const session = model.createSession()
    await generate(session, chat(user('hi')))
    const read = { messages: [user('hi'), assistant('Hello')], addGenerationPrompt: false }
    const bytes = await session.serialize(read)
    const tokenCount = FIRST_PROMPT.length + 1
    expect(await model.describeState(bytes)).toMatchObject({ tokenCount, conversation: read, misfit: null })
    const restored = await model.importSession(bytes)
    const { events } = await generate(restored, chat(user('hi'), assistant('Hello'), user('who?')), { maxTokens: 1 })
    expect(events[0]).toMatchObject({ kind: 'prefill', reusedTokens: tokenCount })
    // Messages that are not what the state has read.
    const wrong = await session.serialize({ ...read, messages: [user('ho'), assistant('Hello')] })
    expect(await model.describeState(wrong)).toMatchObject({ misfit: { code: 'state-mismatch' } })
    expect(await codeOf(model.describeState(bytes.slice(0, -1)))).toBe('state-corrupt')
  })

  it('keeps special tokens inside messages plain', async () => {
    const session = model.createSession()
    await generate(session, chat(user('<|end|>')), { maxTokens: 0 })
    expect(onlyState().filter(token => token === END)).toHaveLength(1)
  })

  it('opens an empty session with <s>, once', async () => {
    const session = model.createSession()
    await generate(session, text('ab'), { maxTokens: 0 })
    await generate(session, text('c'), { maxTokens: 0 })
    expect(onlyState()).toEqual([BOS, ...characters('abc')])
    session.dispose()

    const raw = model.createSession()
    await generate(raw, { kind: 'text', text: '<s>ab', parseSpecial: true }, { maxTokens: 0 })
    expect(onlyState()).toEqual([BOS, ...characters('ab')])
    raw.dispose()

    const plain = model.createSession()
    await generate(plain, text('<s>'), { maxTokens: 0 })
    expect(onlyState()).toEqual([BOS, ...characters('<s>')])
    plain.dispose()

    const nothingElse = model.createSession()
    await generate(nothingElse, text(''), { maxTokens: 0 })
    expect(onlyState()).toEqual([BOS])
    nothingElse.dispose()

    const exact = model.createSession()
    await generate(exact, { kind: 'tokens', tokens: characters('ab') }, { maxTokens: 0 })
    expect(onlyState()).toEqual(characters('ab'))
  })

  it('does not take plain text for a conversation that looks the same', async () => {
    const session = model.createSession()
    await generate(session, text('<s><|user|>\nhi<|end|>\n<|assistant|>\n'), { maxTokens: 0 })
    const { events } = await generate(session, chat(user('hi')), { maxTokens: 0 })
    expect(events[0]).toMatchObject({ reusedTokens: 0 })
    expect(onlyState()).toEqual(FIRST_PROMPT)
  })

  it('reads first and decodes from there later', async () => {
    backend.next = reply(FIRST_PROMPT.length, [id('Hello'), END])
    const session = model.createSession()
    const read = await generate(session, chat(user('hi')), { maxTokens: 0 })
    expect(read).toMatchObject({ text: '', tokens: [], reason: 'max-tokens' })
    const branch = await session.clone()
    expect(await generate(session, nothing)).toMatchObject({ text: 'Hello', reason: 'end-of-text' })
    const result = await generate(branch, nothing)
    expect(result).toMatchObject({ text: 'Hello', reason: 'end-of-text' })
    expect(result.events[0]).toMatchObject({ tokensTotal: 0, reusedTokens: FIRST_PROMPT.length })
  })

  it('joins messages as plain text for a model without a template', async () => {
    const plain = await loadModel(scriptedModelFile({ chatTemplate: null }), backend, nodeEngineEnvironment)
    expect(plain.template).toBeNull()
    const session = plain.createSession()
    await generate(session, chat(user('ab'), assistant('c'), user('d')), { maxTokens: 0 })
    expect(onlyState()).toEqual([BOS, ...characters('abc\n\nd')])
  })

  it('tells progress and takes pieces of any length', async () => {
    const session = model.createSession()
    const long = 'x'.repeat(300)
    const { events } = await generate(session, text(long), { maxTokens: 0 })
    const done = events.flatMap(event => (event.kind === 'prefill' ? [event.tokensDone] : []))
    expect(done[0]).toBe(0)
    expect(done.at(-1)).toBe(301)
    expect(done).toEqual([...done].sort((a, b) => a - b))
    expect(onlyState()).toEqual([BOS, ...characters(long)])
  })
})

describe('refusals', () => {
  it('names what is wrong and changes nothing', async () => {
    const session = model.createSession()
    expect(await codeOf(generate(session, nothing))).toBe('invalid-argument')
    expect(await codeOf(generate(session, chat()))).toBe('invalid-argument')
    expect(
      await codeOf(generate(session, { kind: 'messages', messages: [user('hi')], addGenerationPrompt: false })),
    ).toBe('invalid-argument')
    for (const token of [-1, 100_000, 1.5]) {
      expect(await codeOf(generate(session, { kind: 'tokens', tokens: [token] }))).toBe('token-out-of-range')
    }
    expect(await codeOf(generate(session, text('a'), { temperature: -1 }))).toBe('sampling-invalid')
    expect(session.tokenCount).toBe(0)
    expect(backend.states.size).toBe(0)
    await generate(session, text('a'), { maxTokens: 0 })
    expect(onlyState()).toEqual([BOS, id('a')])
  })

  it('says that a model without a tokenizer reads only tokens', async () => {
    const bare = await loadModel(scriptedModelFile({ tokenizerJson: null }), backend, nodeEngineEnvironment)
    const session = bare.createSession()
    expect(await codeOf(generate(session, text('a')))).toBe('invalid-argument')
    backend.next = reply(2, [7, 8, EOS])
    const result = await generate(session, { kind: 'tokens', tokens: [1, 6] }, { stop: ['x'] })
    expect(result).toMatchObject({ text: '', tokens: [7, 8], reason: 'end-of-text' })
  })

  it('works on one request at a time', async () => {
    const session = model.createSession()
    backend.next = reply(2, [id('a'), id('b')])
    const running = generate(session, text('a'))
    expect(await codeOf(generate(session, text('b')))).toBe('session-busy')
    expect(await codeOf(session.clone())).toBe('session-busy')
    expect(await codeOf(session.serialize())).toBe('session-busy')
    expect((await running).text).toBe('ab')
    session.dispose()
    expect(await codeOf(generate(session, text('b')))).toBe('session-not-found')
  })
})

describe('ends', () => {
  it('keeps the last token for the next reading', async () => {
    backend.next = reply(2, [id('a'), id('b'), id('c'), id('d')])
    const session = model.createSession()
    const result = await generate(session, text('x'), { maxTokens: 2 })
    expect(result).toMatchObject({ text: 'ab', tokens: [id('a'), id('b')], reason: 'max-tokens' })
    expect(onlyState()).toEqual([BOS, id('x'), id('a')])
    const next = await generate(session, nothing, { maxTokens: 1 })
    expect(next.text).toBe('c')
    expect(next.events[0]).toMatchObject({ tokensTotal: 1, reusedTokens: 3 })
    expect(onlyState()).toEqual([BOS, id('x'), id('a'), id('b')])
    expect(session.tokenCount).toBe(5)
  })

  it('stops within one token of a cancel', async () => {
    backend.next = () => id('a')
    const session = model.createSession()
    const signal = { aborted: false }
    let told = 0
    const result = await generate(
      session,
      text('x'),
      {},
      {
        signal,
        onEvent: event => {
          if (event.kind === 'text' && ++told === 5) signal.aborted = true
        },
      },
    )
    expect(result).toMatchObject({ text: 'aaaaa', reason: 'cancelled' })
    expect(backend.steps).toBe(4)
    expect(session.tokenCount).toBe(7)
    signal.aborted = false
    const { text: more } = await generate(session, nothing, { maxTokens: 1 })
    expect(more).toBe('a')
    expect(onlyState()).toEqual([BOS, ...characters('xaaaaa')])
  })

  it('puts the session back when reading is cancelled or fails', async () => {
    backend.next = reply(2, [id('a'), id('b')])
    const session = model.createSession()
    await generate(session, text('x'), { maxTokens: 1 })
    const before = [...onlyState()]
    const signal = { aborted: false }
    const cancelledResult = await generate(
      session,
      text('y'.repeat(100)),
      {},
      {
        signal,
        onEvent: event => {
          if (event.kind === 'prefill' && event.tokensDone > 0) signal.aborted = true
        },
      },
    )
    expect(cancelledResult).toMatchObject({ text: '', reason: 'cancelled' })
    expect(await tokensRead(session)).toEqual(before)

    backend.beforeStep = () => {
      throw new EngineError('backend-failed', 'The device is gone.')
    }
    expect(await codeOf(generate(session, text('y')))).toBe('backend-failed')
    expect(await tokensRead(session)).toEqual(before)

    backend.beforeStep = () => {}
    expect((await generate(session, nothing, { maxTokens: 1 })).text).toBe('b')
    expect(onlyState()).toEqual([...before, id('a')])
  })

  it('stays after the last token told when the backend fails in mid-reply', async () => {
    backend.next = () => id('a')
    const session = model.createSession()
    backend.beforeStep = () => {
      if (backend.steps === 3) throw new EngineError('backend-failed', 'The device is gone.')
    }
    expect(await codeOf(generate(session, text('x')))).toBe('backend-failed')
    backend.beforeStep = () => {}
    expect(await tokensRead(session)).toEqual([BOS, ...characters('xaaa')])
    expect((await generate(session, nothing, { maxTokens: 1 })).text).toBe('a')
    expect(await tokensRead(session)).toEqual([BOS, ...characters('xaaaa')])
    session.dispose()
    expect(backend.states.size).toBe(0)
  })

  it('stays usable when the listener throws', async () => {
    backend.next = reply(2, characters('abc'))
    const session = model.createSession()
    const listener = (event: GenerationEvent): void => {
      if (event.kind === 'text' && event.text === 'b') throw new Error('the window is gone')
    }
    expect(await codeOf(generate(session, text('x'), {}, { onEvent: listener }))).toContain('the window is gone')
    expect((await generate(session, nothing)).text).toBe('c')
  })

  it('gives figures with units', async () => {
    // Reading a chunk takes 30 ms and a step 20 ms: five of them, the last for the end token.
    let nowMs = 5000
    backend.beforeStep = () => {
      nowMs += backend.steps === 0 && nowMs === 5000 ? 30 : 20
    }
    backend.next = reply(3, characters('abcd'))
    const timed = await loadModel(scriptedModelFile(), backend, {
      ...nodeEngineEnvironment,
      clock: { nowMs: () => nowMs },
    })
    const figures = async (input: SessionInput, sampling: SamplingOptions) => {
      const { events } = await generate(session, input, sampling)
      const last = events.at(-1)
      return last?.kind === 'finish' ? last.stats : null
    }
    const session = timed.createSession()
    expect(await figures(text('xy'), {})).toEqual({
      promptTokens: 3,
      generatedTokens: 4,
      ttftMs: 30,
      prefillTokensPerSecond: 100,
      // Three tokens after the first; the step that gave the end token is none of them.
      decodeTokensPerSecond: 50,
    })
    // One token is no rate.
    backend.next = () => id('a')
    expect(await figures(text('z'), { maxTokens: 1 })).toEqual({
      promptTokens: 1,
      generatedTokens: 1,
      ttftMs: 20,
      prefillTokensPerSecond: null,
      decodeTokensPerSecond: null,
    })
  })
})

describe('characters', () => {
  it('never tells half of one', async () => {
    backend.next = reply(2, [...bytes('é'), id('a'), ...bytes('🦅'), END])
    const { pieces, tokens, text: all } = await generate(model.createSession(), text('x'))
    expect(all).toBe('éa🦅')
    expect(pieces).toEqual(['é', 'a', '🦅'])
    expect(tokens).toEqual([...bytes('é'), id('a'), ...bytes('🦅')])
  })

  it('completes one that was cut off, in the same session or a restored one', async () => {
    backend.next = reply(2, [id('a'), ...bytes('🦅'), id('b')])
    const session = model.createSession()
    const first = await generate(session, text('x'), { maxTokens: 3 })
    expect(first).toMatchObject({ text: 'a', tokens: [id('a'), ...bytes('🦅').slice(0, 2)] })
    const restored = await model.importSession(await session.serialize())
    expect((await generate(session, nothing)).text).toBe('🦅b')
    expect((await generate(restored, nothing)).text).toBe('🦅b')
  })

  it('replaces one that never ends', async () => {
    backend.next = reply(2, [id('a'), ...bytes('🦅').slice(0, 2), END])
    expect((await generate(model.createSession(), text('x'))).text).toBe('a\ufffd')
  })
})

describe('stop strings', () => {
  const write = async (tokens: number[], stop: string[]) => {
    backend.next = reply(2, tokens)
    const session = model.createSession()
    const result = await generate(session, text('x'), { stop })
    return { ...result, session, state: await tokensRead(session) }
  }

  it('ends before one that is a token', async () => {
    const { text: shown, tokens, reason, state, session } = await write([id('a'), id('STOP'), id('b')], ['STOP'])
    expect({ shown, tokens, reason }).toEqual({ shown: 'a', tokens: [id('a')], reason: 'stop-string' })
    expect(state).toEqual([BOS, id('x'), id('a')])
    // What the model wants now is the stop string again.
    expect((await generate(session, nothing, { stop: ['STOP'] })).text).toBe('')
  })

  it('ends before one that runs over several tokens, and reads what came before it in the first of them', async () => {
    const {
      text: shown,
      tokens,
      state,
      session,
    } = await write([id('Hello'), id('ab</'), id('x</st'), id('op>yz'), id('!!')], ['</stop>'])
    expect(shown).toBe('Helloab</x')
    expect(tokens).toEqual([id('Hello'), id('ab</'), ...characters('x')])
    expect(state.slice(0, 3)).toEqual([BOS, id('x'), id('Hello')])
    expect(session.tokenCount).toBe(2 + 2 + 1)
    await generate(session, text('z'), { maxTokens: 0 })
    expect(onlyState()).toEqual([BOS, id('x'), id('Hello'), id('ab</'), id('x'), id('z')])
  })

  it('lets go of what only looked like one', async () => {
    const { text: shown, tokens, reason, state } = await write([id('ab</'), id('x</st'), id('!!'), END], ['</stop>'])
    expect({ shown, reason }).toEqual({ shown: 'ab</x</st!!', reason: 'end-of-text' })
    expect(tokens).toEqual([id('ab</'), id('x</st'), id('!!')])
    expect(state).toEqual([BOS, id('x'), id('ab</'), id('x</st'), id('!!')])
  })

  it('shows what was held back when the reply ends in it', async () => {
    const { text: shown, reason } = await write([id('ab</'), END], ['</stop>'])
    expect({ shown, reason }).toEqual({ shown: 'ab</', reason: 'end-of-text' })
    backend.next = reply(2, [id('ab</'), id('x</st')])
    const cut = await generate(model.createSession(), text('x'), { stop: ['</stop>'], maxTokens: 2 })
    expect(cut).toMatchObject({ text: 'ab</x</st', tokens: [id('ab</'), id('x</st')], reason: 'max-tokens' })
  })

  it('finds one in characters made of bytes, before any of its bytes enter the state', async () => {
    const { text: shown, state } = await write([id('a'), ...bytes('é'), id('b')], ['é'])
    expect(shown).toBe('a')
    expect(state).toEqual([BOS, id('x'), id('a')])
  })

  it('goes on after a stop as if the stop string had never been written', async () => {
    const { session } = await write([id('Hello'), id('. The'), id(' end')], [' The'])
    expect(session.tokenCount).toBe(4)
    await generate(session, text('y'), { maxTokens: 0 })
    expect(onlyState()).toEqual([BOS, id('x'), id('Hello'), ...characters('.y')])
  })

  it('remembers the text before it, so that a chat is not read again', async () => {
    backend.next = reply(FIRST_PROMPT.length, [id('Hello'), id('STOP')])
    const session = model.createSession()
    expect((await generate(session, chat(user('hi')), { stop: ['STOP'] })).text).toBe('Hello')
    const { events } = await generate(session, chat(user('hi'), assistant('Hello'), user('x')), { maxTokens: 0 })
    expect(events[0]).toMatchObject({ reusedTokens: FIRST_PROMPT.length + 1 })
  })

  it('leaves no copies of the state behind', async () => {
    await write([id('ab</'), id('x</st'), id('!!'), id('ab</'), id('x</st'), id('op>yz')], ['</stop>'])
    expect(backend.states.size).toBeLessThanOrEqual(1)
  })
})

describe('randomness', () => {
  const sampling = { temperature: 1.5, seed: 42 }

  it('writes the same text for the same seed', async () => {
    const one = await generate(model.createSession(), text('x'), { ...sampling, maxTokens: 40 })
    const two = await generate(model.createSession(), text('x'), { ...sampling, maxTokens: 40 })
    const other = await generate(model.createSession(), text('x'), { ...sampling, seed: 43, maxTokens: 40 })
    expect(two.tokens).toEqual(one.tokens)
    expect(other.tokens).not.toEqual(one.tokens)
  })

  it('writes the same reply whether or not it was interrupted, saved and restored', async () => {
    const penalties = {
      ...sampling,
      repetitionPenalty: 1.3,
      logitBias: [
        [EOS, -100],
        [END, -100],
      ] as [number, number][],
    }
    const whole = await generate(model.createSession(), text('x'), { ...penalties, maxTokens: 60 })
    const session = model.createSession()
    const first = await generate(session, text('x'), { ...penalties, maxTokens: 25 })
    const restored = await model.importSession(await session.serialize())
    const copy = await session.clone()
    for (const rest of [restored, copy, session]) {
      const { tokens } = await generate(rest, nothing, { ...penalties, maxTokens: 35 })
      expect([...first.tokens, ...tokens]).toEqual(whole.tokens)
    }
  })
})

describe('several sessions', () => {
  it('take turns without touching each other', async () => {
    const alone = await generate(model.createSession(), text('ab'), { temperature: 1, seed: 1, maxTokens: 30 })
    const other = await generate(model.createSession(), text('x'.repeat(150)), {
      temperature: 1,
      seed: 2,
      maxTokens: 30,
    })
    const [a, b] = await Promise.all([
      generate(model.createSession(), text('ab'), { temperature: 1, seed: 1, maxTokens: 30 }),
      generate(model.createSession(), text('x'.repeat(150)), { temperature: 1, seed: 2, maxTokens: 30 }),
    ])
    expect(a.tokens).toEqual(alone.tokens)
    expect(b.tokens).toEqual(other.tokens)
  })

  it('are counted, and freed even while they work', async () => {
    const sessions = [model.createSession(), model.createSession()]
    expect(model.memory()).toMatchObject({ sessionCount: 2, bytesPerState: 2048 })
    backend.next = () => id('a')
    const running = generate(
      sessions[0],
      text('x'),
      {},
      {
        onEvent: event => {
          if (event.kind === 'text') sessions[0].dispose()
        },
      },
    )
    expect((await running).reason).toBe('cancelled')
    sessions[1].dispose()
    expect(model.memory().sessionCount).toBe(0)
    expect(backend.states.size).toBe(0)
  })

  it('end with their model', async () => {
    backend.next = () => id('a')
    const session = model.createSession()
    const running = generate(session, text('x'))
    while (session.tokenCount < 3) await nodeEngineEnvironment.yieldToEventLoop()
    await model.dispose()
    expect((await running).reason).toBe('cancelled')
    expect(await codeOf(generate(session, nothing))).toBe('session-not-found')
    expect(() => model.createSession()).toThrow('closed')
    expect(await codeOf(model.evaluate([1]))).toBe('model-not-loaded')
  })
})

describe('evaluation', () => {
  it('gives the mean loss of the next token and all logits in order', async () => {
    const V = model.file.config.vocabularySize
    const tokens = [BOS, ...characters('x'.repeat(200))]
    backend.next = () => id('x')
    const loaded = await loadModel(scriptedModelFile(), backend, nodeEngineEnvironment)
    const rows: number[] = []
    const done: number[] = []
    const { tokens: count, lossNats } = await loaded.evaluate(tokens, {
      onLogits: (logits, first, tokenCount) => {
        for (let t = 0; t < tokenCount; t++) rows.push(first + t)
        expect(logits.length).toBe(tokenCount * V)
      },
      onProgress: tokensDone => done.push(tokensDone),
    })
    expect(count).toBe(201)
    expect(rows).toEqual(tokens.map((_, t) => t))
    expect(done.at(-1)).toBe(201)
    // The scripted logits, in float64: the target is the favourite of every row.
    let expected = 0
    for (let read = 1; read < tokens.length; read++) {
      const logits = Array.from({ length: V }, (_, i) => ((i * 7919 + read * 104729) % 13) / 13)
      logits[id('x')] += 1
      expected += Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0)) - logits[id('x')]
    }
    expect(lossNats).toBeCloseTo(expected / (tokens.length - 1), 6)
    expect(await loaded.evaluate([5])).toEqual({ tokens: 1, lossNats: null })
    expect(await codeOf(loaded.evaluate([]))).toBe('invalid-argument')
    expect(await codeOf(loaded.evaluate(tokens, { signal: { aborted: true } }))).toBe('cancelled')
    expect(backend.states.size).toBe(0)
  })
})
