/**
 * A device that is lost at every single call of a whole conversation, before it, when its answer is lost with it, and after
 * it: whatever is said, read, evaluated, copied and saved must be what it is without a loss. So on devices that sample, that
 * decode together, that have room for one state, and that count in another numeric mode.
 */
import { describe, expect, it } from 'vitest'
import { LOSS_MOMENTS, type ScriptedOptions } from '../../engine/conformance/scripted-device.ts'
import { type LoadedModel, loadModel } from '../../engine/engine.ts'
import { EngineError } from '../../engine/errors.ts'
import type { ModelEvent } from '../../engine/model-events.ts'
import type { SamplingOptions } from '../../engine/sampling/sampler.ts'
import type { NextBackend } from '../../engine/sequences.ts'
import type { Session, SessionInput } from '../../engine/session.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import {
  createScriptedBackend,
  type ScriptedBackend,
  scriptedModelFile,
  tokensRead,
} from '../conformance/scripted-backend.ts'
import { BOS, characters, END, id } from '../conformance/tiny-tokenizer.ts'

const FILE = scriptedModelFile()
/** Time that does not pass: how often copies are made must not depend on this machine. */
const host = { ...nodeEngineEnvironment, clock: { nowMs: () => 0 } }

const text = (value: string): SessionInput => ({ kind: 'text', text: value, parseSpecial: false })
const nothing: SessionInput = { kind: 'tokens', tokens: [] }

/** A long line in which every token says how many were read before it, and then a stop string. */
const LINE = characters('the terns fly far over the sea and back again; the seals watch and wonder.')
const next = (fed: readonly number[]): number => {
  if (fed[1] === id('z')) return [id('ab</'), id('x</st'), id('op>yz'), END][(fed.length - 2) % 4]
  return fed.length === 105 ? END : LINE[fed.length % LINE.length]
}

async function write(session: Session, input: SessionInput, sampling: SamplingOptions) {
  const tokens: number[] = []
  const progress: number[] = []
  let shown = ''
  let reason = ''
  await session.generate(input, sampling, {
    onEvent: event => {
      if (event.kind === 'prefill') progress.push(event.tokensDone)
      else if (event.kind === 'text') {
        shown += event.text
        tokens.push(...event.tokens)
      } else reason = event.reason
    },
  })
  expect(progress, 'tokens read, as told').toEqual([...new Set(progress)].sort((a, b) => a - b))
  return { tokens, shown, reason, tokenCount: session.tokenCount }
}

/** Everything that a model is asked for, and all that can be known of the result. */
async function converse(model: LoadedModel) {
  const results: unknown[] = []
  const [a, b] = [model.createSession(), model.createSession()]
  results.push(await write(a, text('p'.repeat(20)), { maxTokens: 70 }))
  results.push(await write(b, text('z'), { stop: ['</stop>'] }))
  const copy = await a.clone()
  // Two at a time, on a device that may have room for one.
  results.push(
    await Promise.all([
      write(a, text('more'), { maxTokens: 5 }),
      write(copy, nothing, { maxTokens: 4, frequencyPenalty: 1e-6 }),
    ]),
  )
  // An end token, which no state has read, and what is said after it.
  results.push(await write(a, text('q'), {}), await write(a, text('r'), { maxTokens: 3 }))
  const rows: number[] = []
  const { lossNats } = await model.evaluate([BOS, ...characters('x'.repeat(20))], {
    onLogits: (_logits, first, count) => {
      for (let t = 0; t < count; t++) rows.push(first + t)
    },
  })
  results.push(rows, lossNats?.toFixed(9))
  const restored = await model.importSession(await b.serialize())
  results.push(await write(restored, nothing, { maxTokens: 3, logitBias: [[5, 0]] }))
  for (const session of [a, b, copy, restored]) results.push(await tokensRead(session))
  for (const session of [a, b, copy, restored]) session.dispose()
  return results
}

interface Run {
  results: unknown[]
  events: ModelEvent[]
  device: ScriptedBackend
  other: ScriptedBackend
}

async function run(
  options: ScriptedOptions,
  loss: ScriptedBackend['loss'],
  otherOptions: ScriptedOptions = {},
  otherLoss: ScriptedBackend['loss'] = null,
): Promise<Run> {
  const device = createScriptedBackend(options)
  const other = createScriptedBackend(otherOptions)
  const last = createScriptedBackend()
  for (const backend of [device, other, last]) backend.next = next
  device.loss = loss
  other.loss = otherLoss
  const places = [other, last]
  const model = await loadModel(FILE, device, host, { nextBackend: async () => places.shift()! })
  const events: ModelEvent[] = []
  model.onEvent(event => {
    events.push(event)
    throw new Error('whoever watches is gone')
  })
  const results = await converse(model)
  await model.dispose()
  for (const backend of [device, other, last]) expect(backend.states.size, 'states left behind').toBe(0)
  return { results, events, device, other }
}

const DEVICES: { name: string; options: ScriptedOptions }[] = [
  { name: 'fed token by token', options: { isDevice: true } },
  { name: 'that samples', options: { samples: true } },
  { name: 'that decodes together', options: { isDevice: true, batch: 4 } },
  { name: 'with room for one state', options: { isDevice: true, residentStates: 1 } },
  { name: 'that samples, with room for one state', options: { samples: true, residentStates: 1 } },
  { name: 'with room for two states of four together', options: { isDevice: true, batch: 4, residentStates: 2 } },
]

const expected = run({}, null)

describe.each(DEVICES)('a device $name', ({ options }) => {
  it('says what the CPU says', async () => {
    const { results, events, device } = await run(options, null)
    expect(results).toEqual((await expected).results)
    expect(events).toEqual([])
    expect(device.calls.length).toBeGreaterThan(20)
  })

  it.each(LOSS_MOMENTS)('may be lost at any call: %s', async moment => {
    const { results: undisturbed } = await expected
    const { calls } = (await run(options, null)).device
    for (const [call, name] of calls.entries()) {
      const { results, events, device, other } = await run(options, { call, moment })
      expect(results, `call ${call} of ${calls.length}, ${name}`).toEqual(undisturbed)
      // After the last answer nobody needs it any more.
      if (events.length === 0 && moment === 'answered' && call === calls.length - 1) continue
      const failure = device.deviceFailure
      expect(events, `call ${call}, ${name}`).toEqual([
        { kind: 'moving', cause: 'lost' },
        { kind: 'moved', cause: 'lost', backend: other.info, loadMs: 0, failure, isExact: true },
      ])
      expect(device.disposedRunners).toBe(1)
    }
  })
})

describe('a second device', () => {
  it('may be lost as well, at any call', async () => {
    const { results: undisturbed } = await expected
    const options = { samples: true }
    const first = { call: 8, moment: 'applied' } as const
    const { calls } = (await run(options, first, options)).other
    expect(calls.length).toBeGreaterThan(10)
    for (const call of calls.keys()) {
      const { results, events } = await run(options, first, options, { call, moment: 'applied' })
      expect(results, `call ${call} of the second`).toEqual(undisturbed)
      expect(events.map(({ kind }) => kind)).toEqual(['moving', 'moved', 'moving', 'moved'])
    }
  })

  it('in another numeric mode goes on, and the event says that it is not exact', async () => {
    const options = { isDevice: true, numericMode: 'tern-fixed-1' } as const
    const { results, events } = await run(options, { call: 30, moment: 'before' })
    expect(results).toEqual((await expected).results)
    expect(events.at(-1)).toMatchObject({ kind: 'moved', isExact: false })
  })
})

describe('a state file', () => {
  it('says in which numeric mode its state was made, wherever it is written and read', async () => {
    const device = createScriptedBackend({ isDevice: true, numericMode: 'tern-fixed-1' })
    const other = createScriptedBackend()
    device.next = next
    other.next = next
    const model = await loadModel(FILE, device, host)
    const session = model.createSession()
    await write(session, text('p'), { maxTokens: 3 })
    const modeOf = (file: Uint8Array): string => /"numericMode":"([^"]*)"/.exec(new TextDecoder().decode(file))![1]
    const file = await session.serialize()
    expect(modeOf(file)).toBe('tern-fixed-1')
    await model.move(other)
    const restored = await model.importSession(file)
    expect(modeOf(await restored.serialize())).toBe('tern-fixed-1')
    expect((await write(restored, nothing, { maxTokens: 3 })).tokens).toEqual([5, 6, 7].map(t => LINE[t]))
    expect(modeOf(await restored.serialize())).toBe('float32')
    await model.dispose()
  })
})

describe('copies', () => {
  it('are renewed in batched decoding too, every 64 tokens', async () => {
    const device = createScriptedBackend({ isDevice: true, batch: 2 })
    device.next = () => id('a')
    const model = await loadModel(FILE, device, host, { nextBackend: async () => device })
    await Promise.all([0, 1].map(() => write(model.createSession(), text('x'), { maxTokens: 200 })))
    expect(device.calls.filter(name => name === 'exportState')).toHaveLength(2 * 3)
    await model.dispose()
  })

  it('take no more than a fiftieth of the time of a device that copies slowly', async () => {
    let nowMs = 0
    const device = createScriptedBackend({ isDevice: true, copyCostMs: 100 })
    device.next = () => id('a')
    device.beforeStep = () => {
      nowMs += 20
    }
    const model = await loadModel(FILE, device, { ...host, clock: { nowMs: () => nowMs } })
    const session = model.createSession()
    await write(session, text('x'), { maxTokens: 251 })
    expect(
      device.calls.filter(name => name === 'exportState'),
      '251 steps of 20 ms: 5020 ms',
    ).toEqual(['exportState'])
    await model.dispose()
  })
})

describe('a device with room for one state', () => {
  it('is not asked for sequences that never read', async () => {
    const device = createScriptedBackend({ isDevice: true, residentStates: 1 })
    const model = await loadModel(FILE, device, host)
    const empty = model.createSession()
    const copy = await empty.clone()
    await Promise.all([empty, copy].map(session => session.serialize()))
    expect(device.calls).toEqual([])
    await model.dispose()
  })

  it('serves two that write at the same time 16 tokens at a time: every change is two copies', async () => {
    const device = createScriptedBackend({ isDevice: true, residentStates: 1 })
    device.next = () => id('a')
    const model = await loadModel(FILE, device, host)
    const sessions = [model.createSession(), model.createSession()]
    const results = await Promise.all(sessions.map(session => write(session, text('x'), { maxTokens: 64 })))
    expect(results.map(({ tokens }) => tokens.length)).toEqual([64, 64])
    const imports = device.calls.filter(name => name === 'importState').length
    expect(imports).toBeGreaterThan(2)
    expect(imports).toBeLessThanOrEqual((2 * 64) / 16 + 2)
    await model.dispose()
  })

  it('clones, writes again from a saved state, and evaluates in between', async () => {
    const device = createScriptedBackend({ isDevice: true, residentStates: 1 })
    device.next = next
    const model = await loadModel(FILE, device, host)
    const session = model.createSession()
    await write(session, text('p'), { maxTokens: 0 })
    const before = await session.serialize()
    const first = await write(session, nothing, { maxTokens: 9 })
    await model.evaluate([BOS, 5, 6, 7])
    const again = await model.importSession(before)
    expect((await write(again, nothing, { maxTokens: 9 })).tokens).toEqual(first.tokens)
    expect((await write(session, nothing, { maxTokens: 9 })).reason).toBe('max-tokens')
    expect(device.states.size).toBe(1)
    await model.dispose()
  })
})

describe('a device without memory for another state', () => {
  it('puts the sequence used least recently aside, and refuses only when there is none', async () => {
    const device = createScriptedBackend({ isDevice: true })
    device.next = next
    const full = new EngineError('out-of-memory', 'no room')
    const { load } = device
    device.load = async (...args) => {
      const runner = await load(...args)
      const { createState } = runner
      runner.createState = async () => {
        if (device.states.size >= most) throw full
        return createState.call(runner)
      }
      return runner
    }
    let most = 1
    const model = await loadModel(FILE, device, host)
    const [a, b] = [model.createSession(), model.createSession()]
    const first = await write(a, text('p'), { maxTokens: 3 })
    await write(b, text('p'), { maxTokens: 3 })
    expect((await write(a, nothing, { maxTokens: 3 })).tokens).toHaveLength(first.tokens.length)
    most = 0
    await expect(write(b, nothing, { maxTokens: 3 })).rejects.toBe(full)
    most = 1
    expect((await write(b, nothing, { maxTokens: 3 })).reason).toBe('max-tokens')
    await model.dispose()
  })
})

describe('while a model moves', () => {
  /** A place that takes as long as the test says; `step` is a sign of life. */
  function slowPlace() {
    const place = createScriptedBackend()
    place.next = next
    let finish = (): void => {}
    let look: () => void = () => {}
    const nextBackend: NextBackend = async (_failure, { onProgress }) => {
      look = () => onProgress(0.5)
      await new Promise<void>(resolve => {
        finish = resolve
      })
      return place
    }
    return { place, nextBackend, finish: () => finish(), look: () => look() }
  }

  it('a stop ends the reply at the next sign of life, also of one that waits for its turn; both go on later', async () => {
    const { nextBackend, finish, look } = slowPlace()
    const device = createScriptedBackend({ isDevice: true })
    device.next = next
    const model = await loadModel(FILE, device, host, { nextBackend })
    const kinds: string[] = []
    model.onEvent(({ kind }) => kinds.push(kind))
    const [a, b] = [model.createSession(), model.createSession()]
    const signal = { aborted: false }
    const reasons: string[] = []
    const shown: number[][] = [[], []]
    const writing = [a, b].map((session, index) =>
      session.generate(
        text('p'),
        {},
        {
          signal,
          onEvent: event => {
            if (event.kind === 'finish') reasons.push(event.reason)
            if (event.kind !== 'text') return
            shown[index].push(...event.tokens)
            if (shown[0].length === 5) device.deviceFailure = new EngineError('device-lost', 'gone')
          },
        },
      ),
    )
    while (!kinds.includes('moving')) await host.yieldToEventLoop()
    const evaluating = model.evaluate([BOS, 5], { signal }).catch((error: unknown) => error)
    for (let turn = 0; turn < 5; turn++) await host.yieldToEventLoop()
    expect(reasons).toEqual([])
    signal.aborted = true
    look()
    await Promise.all(writing)
    expect(reasons).toEqual(['cancelled', 'cancelled'])
    expect(await evaluating).toMatchObject({ code: 'cancelled' })
    expect(kinds).toEqual(['moving'])
    finish()
    signal.aborted = false
    const rest = await write(a, nothing, { maxTokens: 4 })
    expect(kinds).toEqual(['moving', 'moved'])
    const all = [...shown[0], ...rest.tokens]
    expect(all).toEqual(all.map((_, t) => LINE[(2 + t) % LINE.length]))
    expect(await tokensRead(b)).toEqual([BOS, id('p'), ...shown[1].slice(0, -1)])
    await model.dispose()
  })

  it('a move that is asked for comes after it', async () => {
    const { place, nextBackend, finish, look } = slowPlace()
    const [device, other] = [createScriptedBackend({ isDevice: true }), createScriptedBackend()]
    device.next = next
    other.next = next
    const model = await loadModel(FILE, device, host, { nextBackend })
    const session = model.createSession()
    const signal = { aborted: false }
    const told = await write(session, text('p'), { maxTokens: 2 })
    device.deviceFailure = new EngineError('device-lost', 'gone')
    const reading = session.generate(text('q'), {}, { signal, onEvent: () => {} })
    for (let turn = 0; turn < 3; turn++) await host.yieldToEventLoop()
    signal.aborted = true
    look()
    await reading
    const moving = model.move(other)
    for (let turn = 0; turn < 3; turn++) await host.yieldToEventLoop()
    expect(model.backend).toBe(device.info)
    finish()
    await moving
    expect(model.backend).toBe(other.info)
    expect([device.disposedRunners, place.disposedRunners, other.disposedRunners]).toEqual([1, 1, 0])
    const { tokens } = await write(session, nothing, { maxTokens: 2 })
    expect([...told.tokens, ...tokens]).toEqual([2, 3, 4, 5].map(t => LINE[t]))
    await model.dispose()
  })

  it('a model that is closed frees what it was to move to', async () => {
    const { place, nextBackend, finish, look } = slowPlace()
    const device = createScriptedBackend({ isDevice: true })
    device.next = next
    let disposed = 0
    place.dispose = async () => {
      disposed++
    }
    const model = await loadModel(FILE, device, host, { nextBackend })
    const session = model.createSession()
    await write(session, text('p'), { maxTokens: 2 })
    device.deviceFailure = new EngineError('device-lost', 'gone')
    const saving = session.serialize().catch((error: unknown) => error)
    for (let turn = 0; turn < 3; turn++) await host.yieldToEventLoop()
    const closing = model.dispose()
    look()
    finish()
    await closing
    expect(await saving).toBeInstanceOf(EngineError)
    expect([disposed, place.disposedRunners, device.disposedRunners]).toEqual([1, 1, 1])
  })

  it('a place that cannot load the model is freed, and its reason told', async () => {
    const place = createScriptedBackend()
    let disposed = 0
    place.dispose = async () => {
      disposed++
    }
    place.load = async () => {
      throw new EngineError('out-of-memory', 'There is not enough memory for this model.')
    }
    const device = createScriptedBackend({ isDevice: true })
    device.next = next
    const model = await loadModel(FILE, device, host, { nextBackend: async () => place })
    const events: ModelEvent[] = []
    model.onEvent(event => events.push(event))
    const session = model.createSession()
    await write(session, text('p'), { maxTokens: 2 })
    device.deviceFailure = new EngineError('device-lost', 'The device was lost.')
    const error = await session.serialize().catch((error: unknown) => error)
    expect(error).toMatchObject({
      code: 'device-lost',
      message: 'The device was lost. The model cannot go on elsewhere: There is not enough memory for this model.',
    })
    expect(events).toEqual([
      { kind: 'moving', cause: 'lost' },
      { kind: 'failed', error },
    ])
    expect(disposed).toBe(1)
    // Whoever asks for another place is served: what the sequences have read is not lost.
    const rescue = createScriptedBackend()
    rescue.next = next
    await model.move(rescue)
    expect((await write(session, nothing, { maxTokens: 2 })).tokens).toEqual([4, 5].map(t => LINE[t]))
    await model.dispose()
  })
})

describe('a move that is asked for', () => {
  it('of a device that is lost at any of its calls loses nothing', async () => {
    const moved = async (loss: ScriptedBackend['loss']) => {
      const device = createScriptedBackend({ isDevice: true })
      const other = createScriptedBackend()
      device.next = next
      other.next = next
      const model = await loadModel(FILE, device, host)
      const sessions = [0, 1, 2].map(() => model.createSession())
      for (const session of sessions.slice(0, 2)) await write(session, text('p'), { maxTokens: 6 })
      const before = device.calls.length
      device.loss = loss === null ? null : { ...loss, call: before + loss.call }
      await model.move(other)
      const count = device.calls.length - before
      const results = []
      for (const session of sessions.slice(0, 2)) results.push(await write(session, nothing, { maxTokens: 6 }))
      results.push(await write(sessions[2], text('q'), { maxTokens: 3 }))
      await model.dispose()
      return { results, count, calls: device.calls.slice(before) }
    }
    const { results, count, calls } = await moved(null)
    expect(calls).toEqual(['exportState', 'exportState'])
    for (let call = 0; call < count; call++) {
      for (const moment of LOSS_MOMENTS) expect((await moved({ call, moment })).results).toEqual(results)
    }
  })
})
