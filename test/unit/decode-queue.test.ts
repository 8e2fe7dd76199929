/** Sessions that write at the same time share steps, and write what each would write alone. */
import { afterEach, describe, expect, it } from 'vitest'
import type { Backend } from '../../engine/backends/backend.ts'
import { CancelWatch } from '../../engine/cancel-watch.ts'
import { DecodeQueue } from '../../engine/decode-queue.ts'
import { type LoadedModel, loadModel } from '../../engine/engine.ts'
import { EngineError } from '../../engine/errors.ts'
import type { SamplingOptions } from '../../engine/sampling/sampler.ts'
import type { Sequence, SequenceStep, Sequences } from '../../engine/sequences.ts'
import type { GenerationEvent } from '../../engine/session.ts'
import { Turns } from '../../engine/turns.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { randomModel } from '../conformance/random-model.ts'
import { createTestWasmBackend } from '../wasm-backend.ts'

const { yieldToEventLoop } = nodeEngineEnvironment
const BAD_TOKEN = 13

/** Sequences, by their number in `usedAt`, whose steps are recorded: logits hold it and the token; BAD_TOKEN is refused. */
function recordingSequences(batch = 4, residentStates = Number.POSITIVE_INFINITY) {
  const steps: number[][] = []
  const sequences = {
    capabilities: { batch, residentStates } as Sequences['capabilities'],
    async decode(wanted: readonly SequenceStep[]) {
      if (wanted.some(({ token }) => token === BAD_TOKEN)) throw new EngineError('token-out-of-range', 'bad')
      steps.push(wanted.map(({ token }) => token))
      return wanted.map(({ sequence, token }) => Float32Array.of(sequence.usedAt, token))
    },
  }
  return { sequences, steps }
}
const sequence = (usedAt: number): Sequence => ({ resident: null, copy: null, since: [], busyMs: 0, usedAt })
const watch = new CancelWatch()
const GOES_ON = { aborted: false }

describe('the queue', () => {
  const ask = async (queue: DecodeQueue, id: number, token: number): Promise<number[]> => {
    let seen: number[] = []
    await queue.decode(sequence(id), token, GOES_ON, logits => {
      seen = Array.from(logits)
    })
    return seen
  }

  it('serves those that ask within one turn of the event loop in one step', async () => {
    const { sequences, steps } = recordingSequences()
    const queue = new DecodeQueue(sequences, new Turns(watch), watch, yieldToEventLoop)
    const writer = async (id: number): Promise<number[][]> => {
      const leave = queue.enter()
      const seen: number[][] = []
      for (let token = 0; token < 3; token++) {
        await yieldToEventLoop()
        seen.push(await ask(queue, id, 100 * id + token))
      }
      leave()
      return seen
    }
    const seen = await Promise.all([1, 2, 3].map(writer))
    expect(steps).toEqual([0, 1, 2].map(token => [100 + token, 200 + token, 300 + token]))
    for (const [index, rows] of seen.entries()) {
      expect(rows).toEqual([0, 1, 2].map(token => [index + 1, 100 * (index + 1) + token]))
    }
  })

  it('serves more than fit in one step in several, in the order of asking', async () => {
    const { sequences, steps } = recordingSequences(2)
    const queue = new DecodeQueue(sequences, new Turns(watch), watch, yieldToEventLoop)
    for (let id = 1; id <= 5; id++) queue.enter()
    await Promise.all([1, 2, 3, 4, 5].map(id => ask(queue, id, id)))
    expect(steps).toEqual([[1, 2], [3, 4], [5]])
  })

  it('does not make a lone writer wait', async () => {
    const { sequences, steps } = recordingSequences()
    let yields = 0
    const queue = new DecodeQueue(sequences, new Turns(watch), watch, async () => {
      yields++
    })
    const leave = queue.enter()
    await ask(queue, 1, 7)
    leave()
    queue.enter()
    await ask(queue, 2, 8)
    expect(steps).toEqual([[7], [8]])
    expect(yields).toBe(0)
  })

  it('refuses one without the others', async () => {
    const { sequences } = recordingSequences()
    const queue = new DecodeQueue(sequences, new Turns(watch), watch, yieldToEventLoop)
    for (let id = 1; id <= 3; id++) queue.enter()
    const results = await Promise.allSettled([ask(queue, 1, 5), ask(queue, 2, BAD_TOKEN), ask(queue, 3, 6)])
    expect(results[0]).toEqual({ status: 'fulfilled', value: [1, 5] })
    expect(results[1]).toMatchObject({ status: 'rejected', reason: { code: 'token-out-of-range' } })
    expect(results[2]).toEqual({ status: 'fulfilled', value: [3, 6] })
  })

  it('refuses all when the model is gone, and those that ask later too', async () => {
    const { sequences } = recordingSequences()
    const turns = new Turns(watch)
    turns.close()
    const queue = new DecodeQueue(sequences, turns, watch, yieldToEventLoop)
    for (let round = 0; round < 2; round++) {
      const results = await Promise.allSettled([ask(queue, 1, 5), ask(queue, 2, 6)])
      for (const result of results) {
        expect(result).toMatchObject({ status: 'rejected', reason: { code: 'model-not-loaded' } })
      }
    }
  })

  it('lets go of who is cancelled while he waits, and feeds him nothing', async () => {
    const { sequences, steps } = recordingSequences(1)
    const turns = new Turns(watch)
    const queue = new DecodeQueue(sequences, turns, watch, yieldToEventLoop)
    let end = (): void => {}
    const busy = turns.exclusive(
      () =>
        new Promise<void>(resolve => {
          end = resolve
        }),
    )
    const signal = { aborted: false }
    const waiting = queue.decode(sequence(1), 5, signal, () => {})
    const other = ask(queue, 2, 6)
    signal.aborted = true
    watch.look()
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' })
    end()
    await Promise.all([busy, other])
    expect(steps).toEqual([[6]])
  })

  it('puts no more into a step than a device has states for', async () => {
    const { sequences, steps } = recordingSequences(4, 2)
    const queue = new DecodeQueue(sequences, new Turns(watch), watch, yieldToEventLoop)
    for (let id = 1; id <= 3; id++) queue.enter()
    await Promise.all([1, 2, 3].map(id => ask(queue, id, id)))
    expect(steps).toEqual([[1, 2], [3]])
  })

  it('decodes one by one on a backend without batches', async () => {
    const { sequences, steps } = recordingSequences(1)
    const queue = new DecodeQueue(sequences, new Turns(watch), watch, yieldToEventLoop)
    for (let id = 1; id <= 2; id++) queue.enter()
    await Promise.all([ask(queue, 1, 5), ask(queue, 2, 6)])
    expect(steps).toEqual([[5], [6]])
  })
})

describe('sessions on the WASM backend', () => {
  const closing: (() => Promise<void>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  /** Counts the steps of a backend by the sequences in them. */
  async function open(): Promise<{ model: LoadedModel; batches: number[] }> {
    const wasm = await createTestWasmBackend({ threads: 2 })
    closing.push(() => wasm.dispose())
    const batches: number[] = []
    const counting: Backend = {
      ...wasm,
      async load(source, options) {
        const runner = await wasm.load(source, options)
        const { decodeBatch } = runner
        runner.decodeBatch = steps => {
          if (steps.length > 1) batches.push(steps.length)
          return decodeBatch.call(runner, steps)
        }
        return runner
      },
    }
    const model = await loadModel(
      randomModel({ seed: 0xba7c, config: { hiddenSize: 64, stateWidth: 64, eosTokenIds: [] } }),
      counting,
      nodeEngineEnvironment,
    )
    closing.push(() => model.dispose())
    return { model, batches }
  }

  const prompt = (index: number): number[] => Array.from({ length: 1 + 3 * index }, (_, t) => (7 * index + 5 * t) % 97)
  const sampling = (index: number): SamplingOptions => ({ seed: index, temperature: 0.9, maxTokens: 20 + index })

  /** Cancelled after so many looks at the signal: one a token. */
  async function write(
    model: LoadedModel,
    index: number,
    looks = Number.POSITIVE_INFINITY,
  ): Promise<{ tokens: number[]; reason: string }> {
    const session = model.createSession()
    const tokens: number[] = []
    let reason = ''
    const onEvent = (event: GenerationEvent): void => {
      if (event.kind === 'text') tokens.push(...event.tokens)
      if (event.kind === 'finish') reason = event.reason
    }
    let left = looks
    const signal = {
      get aborted() {
        return left-- <= 0
      },
    }
    await session.generate({ kind: 'tokens', tokens: prompt(index) }, sampling(index), { onEvent, signal })
    session.dispose()
    return { tokens, reason }
  }

  it('write together what each writes alone, in fewer steps', async () => {
    const { model, batches } = await open()
    const alone = []
    for (let index = 0; index < 10; index++) alone.push(await write(model, index))
    expect(batches).toEqual([])
    const together = await Promise.all(alone.map((_, index) => write(model, index)))
    expect(together).toEqual(alone)
    expect(Math.max(...batches)).toBe(8)
    expect(batches.length).toBeLessThan(80)
  })

  it('go on when one of them is cancelled', async () => {
    const { model } = await open()
    const alone = await Promise.all([write(model, 0), write(model, 1)])
    const [cancelled, other] = await Promise.all([write(model, 0, 10), write(model, 1)])
    expect(cancelled.reason).toBe('cancelled')
    expect(cancelled.tokens.length).toBeGreaterThan(0)
    expect(cancelled.tokens).toEqual(alone[0].tokens.slice(0, cancelled.tokens.length))
    expect(cancelled.tokens.length).toBeLessThan(alone[0].tokens.length)
    expect(other).toEqual(alone[1])
  })

  it('end when the model is closed under them', async () => {
    const { model } = await open()
    const writing = Promise.allSettled([0, 1, 2].map(index => write(model, index)))
    await yieldToEventLoop()
    await model.dispose()
    for (const result of await writing) {
      if (result.status === 'fulfilled') expect(result.value.reason).toBe('cancelled')
      else expect((result.reason as EngineError).code).toBe('model-not-loaded')
    }
  })
})
