/** Sequences that move: a device lost at any moment of a reply, and a move on request, both without a trace in the text. */
import { describe, expect, it } from 'vitest'
import type { BackendInfo } from '../../engine/backends/backend.ts'
import { type LoadedModel, loadModel } from '../../engine/engine.ts'
import { EngineError } from '../../engine/errors.ts'
import type { ModelEvent } from '../../engine/model-events.ts'
import type { SamplingOptions } from '../../engine/sampling/sampler.ts'
import type { GenerationEvent, Session, SessionInput } from '../../engine/session.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import {
  createScriptedBackend,
  reply,
  type ScriptedBackend,
  scriptedModelFile,
} from '../conformance/scripted-backend.ts'
import { BOS, characters, END, id } from '../conformance/tiny-tokenizer.ts'

const LOST = new EngineError('device-lost', 'The graphics processor was lost.')
const text = (value: string): SessionInput => ({ kind: 'text', text: value, parseSpecial: false })
const nothing: SessionInput = { kind: 'tokens', tokens: [] }
const LINE = characters('the terns fly far over the sea and back again; '.repeat(4))

interface Rig {
  device: ScriptedBackend
  host: ScriptedBackend
  model: LoadedModel
  moves: { name: string; failure: EngineError | null }[]
  events: ModelEvent[]
}
async function rig(next: (fed: readonly number[]) => number, canMove = true): Promise<Rig> {
  const device = createScriptedBackend({ samples: true })
  const host = createScriptedBackend()
  Object.assign(host.info, { description: 'the host' } satisfies Partial<BackendInfo>)
  device.next = next
  host.next = next
  const model = await loadModel(scriptedModelFile(), device, nodeEngineEnvironment, {
    nextBackend: async () => {
      if (!canMove) throw new Error('nowhere to go')
      return host
    },
  })
  const moves: Rig['moves'] = []
  const events: ModelEvent[] = []
  model.onEvent(event => {
    events.push(event)
    if (event.kind === 'moved') moves.push({ name: event.backend.description, failure: event.failure })
  })
  return { device, host, model, moves, events }
}

async function write(
  session: Session,
  input: SessionInput,
  sampling: SamplingOptions = {},
  onText: (told: number) => void = () => {},
) {
  let shown = ''
  let reason = ''
  const tokens: number[] = []
  await session.generate(input, sampling, {
    onEvent: (event: GenerationEvent) => {
      if (event.kind === 'text') {
        shown += event.text
        tokens.push(...event.tokens)
        onText(tokens.length)
      } else if (event.kind === 'finish') reason = event.reason
    },
  })
  return { shown, tokens, reason }
}

describe('a device lost in mid-reply', () => {
  it.each([1, 2, 3, 16, 17, 63, 64, 65, 66, 100, 150])('after %i tokens', async count => {
    const { device, host, model, moves } = await rig(reply(2, [...LINE, END]))
    const session = model.createSession()
    const result = await write(session, text('x'), {}, told => {
      if (told === count) device.deviceFailure = LOST
    })
    expect(result.tokens).toEqual(LINE)
    expect(result.reason).toBe('end-of-text')
    expect(moves).toEqual([{ name: 'the host', failure: LOST }])
    expect(model.backend.description).toBe('the host')
    expect(device.disposedRunners).toBe(1)
    await write(session, nothing, { maxTokens: 0 })
    expect([...host.states.values()]).toEqual([[BOS, id('x'), ...LINE]])
  })

  it('while it reads a prompt, which is not read twice to the listener', async () => {
    const prompt = 'p'.repeat(100)
    const { device, host, model } = await rig(reply(101, [id('a'), END]))
    const session = model.createSession()
    const done: number[] = []
    let shown = ''
    await session.generate(
      text(prompt),
      {},
      {
        onEvent: event => {
          if (event.kind === 'prefill') {
            if (event.tokensDone === 48) device.deviceFailure = LOST
            done.push(event.tokensDone)
          } else if (event.kind === 'text') shown += event.text
        },
      },
    )
    expect(shown).toBe('a')
    expect(done).toEqual([...new Set(done)].sort((a, b) => a - b))
    await write(session, nothing, { maxTokens: 0 })
    expect([...host.states.values()]).toEqual([[BOS, ...characters(prompt), id('a')]])
  })

  it('with a stop string half written, and penalties that need single steps', async () => {
    for (const sampling of [{ stop: ['</stop>'] }, { stop: ['</stop>'], frequencyPenalty: 1e-6 }]) {
      const { device, host, model } = await rig(reply(2, [id('Hello'), id('ab</'), id('x</st'), id('op>yz'), id('!!')]))
      device.beforeStep = () => {
        if ([...device.states.values()].some(fed => fed.includes(id('Hello')))) device.deviceFailure = LOST
      }
      const session = model.createSession()
      const result = await write(session, text('x'), sampling, told => {
        if (told === 1) device.deviceFailure = LOST
      })
      expect(result).toMatchObject({ shown: 'Helloab</x', reason: 'stop-string' })
      await write(session, nothing, { maxTokens: 0 })
      expect([...host.states.values()]).toEqual([[BOS, id('x'), id('Hello'), id('ab</'), id('x')]])
    }
  })

  it('takes the sessions that did nothing at the time along', async () => {
    const { device, host, model } = await rig(reply(2, [...LINE, END]))
    const idle = model.createSession()
    await write(idle, text('y'), { maxTokens: 90 })
    const empty = model.createSession()
    const copy = await idle.clone()
    device.deviceFailure = LOST
    const busy = await write(model.createSession(), text('x'))
    expect(busy.tokens).toEqual(LINE)
    for (const session of [idle, copy]) expect((await write(session, nothing)).tokens).toEqual(LINE.slice(90))
    expect((await write(empty, text('z'))).tokens).toEqual(LINE)
    expect(host.states.size).toBe(4)
    const bytes = await idle.serialize()
    expect((await model.importSession(bytes)).tokenCount).toBe(idle.tokenCount)
  })

  it('is an error where there is nowhere to go', async () => {
    const { device, model, moves } = await rig(reply(2, [...LINE, END]), false)
    const session = model.createSession()
    const failing = write(session, text('x'), {}, told => {
      if (told === 5) device.deviceFailure = LOST
    })
    const why = { code: 'device-lost', message: expect.stringContaining('nowhere to go') }
    await expect(failing).rejects.toMatchObject(why)
    await expect(session.serialize()).rejects.toMatchObject(why)
    expect(moves).toEqual([])
  })

  it('is not what other errors are taken for', async () => {
    const { device, model, moves } = await rig(reply(2, [...LINE, END]))
    device.beforeStep = () => {
      throw new EngineError('logits-not-finite', 'no numbers')
    }
    await expect(write(model.createSession(), text('x'))).rejects.toMatchObject({ code: 'logits-not-finite' })
    expect(moves).toEqual([])
  })

  it('does not count rows of an evaluation twice', async () => {
    const { device, model } = await rig(() => END)
    const rows: number[] = []
    device.beforeStep = () => {
      if (rows.length >= 32) device.deviceFailure = LOST
    }
    await model.evaluate([BOS, ...characters('x'.repeat(99))], {
      onLogits: (_logits, first, count) => {
        for (let t = 0; t < count; t++) rows.push(first + t)
      },
    })
    expect(rows).toEqual(Array.from({ length: 100 }, (_, t) => t))
  })
})

describe('events', () => {
  it('tell a loss while no reply runs, and a listener that throws stops nothing', async () => {
    const { device, model, events } = await rig(reply(2, [...LINE, END]))
    model.onEvent(() => {
      throw new Error('the window is gone')
    })
    const session = model.createSession()
    await write(session, text('x'), { maxTokens: 70 })
    device.deviceFailure = LOST
    await session.serialize()
    const backend = model.backend
    expect(events).toEqual([
      { kind: 'moving', cause: 'lost' },
      { kind: 'moved', cause: 'lost', backend, loadMs: model.loadMs, failure: LOST, isExact: true },
    ])
    expect((await write(session, nothing)).tokens).toEqual(LINE.slice(70))
  })

  it('tell that a device has no memory left, and that a model was asked to move', async () => {
    const { device, host, model, events } = await rig(reply(2, [...LINE, END]))
    const session = model.createSession()
    await write(session, text('x'), { maxTokens: 5 })
    device.deviceFailure = new EngineError('out-of-memory', 'no room')
    await model.evaluate([BOS, 5, 6])
    await model.move(host)
    expect(events.map(event => ({ kind: event.kind, cause: 'cause' in event ? event.cause : null }))).toEqual([
      { kind: 'moving', cause: 'evicted' },
      { kind: 'moved', cause: 'evicted' },
      { kind: 'moving', cause: 'asked' },
      { kind: 'moved', cause: 'asked' },
    ])
  })

  it('tell how long loading took on the present backend, and the model says the same', async () => {
    let nowMs = 0
    /** A backend that takes its time. */
    const slow = (loadMs: number) => {
      const backend = createScriptedBackend({ samples: true })
      backend.next = reply(2, [...LINE, END])
      const { load } = backend
      backend.load = (...args) => {
        nowMs += loadMs
        return load(...args)
      }
      return backend
    }
    const [first, second, third] = [slow(500), slow(30), slow(8)]
    const clock = { nowMs: () => nowMs }
    const options = { nextBackend: async () => second }
    const model = await loadModel(scriptedModelFile(), first, { ...nodeEngineEnvironment, clock }, options)
    const told: number[] = []
    model.onEvent(event => {
      if (event.kind === 'moved') told.push(event.loadMs)
    })
    expect(model.loadMs).toBe(500)
    first.deviceFailure = LOST
    await model.evaluate([BOS, 5, 6])
    expect(model.loadMs).toBe(30)
    await model.move(third)
    expect(model.loadMs).toBe(8)
    expect(told).toEqual([30, 8])
  })

  it('tell once that there is nowhere to go on', async () => {
    const { device, model, events } = await rig(reply(2, [...LINE, END]), false)
    const session = model.createSession()
    await write(session, text('x'), { maxTokens: 5 })
    device.deviceFailure = LOST
    const errors = await Promise.all([0, 1].map(() => session.serialize().catch((error: unknown) => error)))
    expect(errors.at(-1)).toMatchObject({ code: 'session-busy' })
    expect(events.map(({ kind }) => kind)).toEqual(['moving', 'failed'])
    expect(events.at(-1)).toMatchObject({ error: errors[0] })
    await expect(session.serialize()).rejects.toBe(errors[0])
    expect(events).toHaveLength(2)
  })
})

describe('a move on request', () => {
  it('in mid-reply, there and back, changes nothing in the text', async () => {
    const { device, host, model, moves } = await rig(reply(2, [...LINE, END]))
    const session = model.createSession()
    const other = model.createSession()
    await write(other, text('y'), { maxTokens: 10 })
    const pending: Promise<void>[] = []
    const result = await write(session, text('x'), {}, told => {
      if (told === 20) pending.push(model.move(host))
      if (told === 80) pending.push(model.move(device))
    })
    await Promise.all(pending)
    expect(result.tokens).toEqual(LINE)
    expect(moves.map(({ failure }) => failure)).toEqual([null, null])
    expect(host.states.size).toBe(0)
    expect((await write(other, nothing)).tokens).toEqual(LINE.slice(10))
    session.dispose()
    other.dispose()
    expect(device.states.size).toBe(0)
    await model.dispose()
    expect([device.disposedRunners, host.disposedRunners]).toEqual([2, 1])
  })

  it('leaves everything as it is when the other backend cannot load', async () => {
    const { host, model, moves } = await rig(reply(2, [...LINE, END]))
    host.load = async () => {
      throw new EngineError('out-of-memory', 'too large')
    }
    const session = model.createSession()
    await write(session, text('x'), { maxTokens: 3 })
    await expect(model.move(host)).rejects.toMatchObject({ code: 'out-of-memory' })
    expect((await write(session, nothing)).tokens).toEqual(LINE.slice(3))
    expect(moves).toEqual([])
  })
})
