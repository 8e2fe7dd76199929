/** The memory sampler: one for all who watch, none while nobody does. */
import { describe, expect, it } from 'vitest'
import { engineApi } from '../../contract/engine-api.ts'
import { TernError } from '../../contract/errors.ts'
import { createClient, createTransportPair, serve } from '../../contract/rpc.ts'
import { createEngineMemoryWatch, type EngineMemorySample } from '../../main/services/telemetry/engine-memory.ts'
import { createFakeEngine } from '../fake-engine.ts'
import { createTestTime, settled } from '../test-time.ts'

const INTERVAL_MS = 500

function rig() {
  const { handlers } = createFakeEngine()
  let asked = 0
  let held: Promise<void> | null = null
  let isReady = true
  const [near, far] = createTransportPair()
  const memory: typeof handlers.calls.memory = async (...args) => {
    asked += 1
    await held
    return handlers.calls.memory(...args)
  }
  serve(engineApi, far, { ...handlers, calls: { ...handlers.calls, memory } })
  const client = createClient(engineApi, near)
  const time = createTestTime()
  const engine = {
    async whenReady() {
      if (!isReady) throw new TernError({ code: 'engine-lost', message: 'Gone.' })
      return { modelKey: 'fake', client }
    },
  }
  const service = createEngineMemoryWatch(engine, time)
  return {
    time,
    service,
    get asked() {
      return asked
    },
    /** Answers wait for this. */
    hold(until: Promise<void> | null) {
      held = until
    },
    setReady(ready: boolean) {
      isReady = ready
    },
    watch() {
      const controller = new AbortController()
      const samples: EngineMemorySample[] = []
      const ended = service.watch(sample => samples.push(sample), controller.signal)
      return { samples, ended, stop: () => controller.abort() }
    },
  }
}

describe('the memory sampler', () => {
  it('asks once an interval however many watch, and a late one gets the last sample at once', async () => {
    const sampler = rig()
    const first = sampler.watch()
    await settled()
    expect(first.samples).toMatchObject([{ sampledAtMs: sampler.time.wallMs(), memory: { sessionCount: 0 } }])
    const second = sampler.watch()
    expect(second.samples).toEqual(first.samples)
    await sampler.time.advance(4 * INTERVAL_MS)
    expect(first.samples).toHaveLength(5)
    expect(second.samples).toEqual(first.samples)
    first.stop()
    second.stop()
    await Promise.all([first.ended, second.ended])
    expect(sampler.asked).toBe(5)
  })

  it('asks nobody while nobody watches, and begins anew with a fresh sample', async () => {
    const sampler = rig()
    expect(sampler.time.pending).toBe(0)
    const first = sampler.watch()
    const second = sampler.watch()
    await settled()
    first.stop()
    await first.ended
    await sampler.time.advance(INTERVAL_MS)
    expect(sampler.asked).toBe(2)
    second.stop()
    await second.ended
    expect(sampler.time.pending).toBe(0)
    await sampler.time.advance(10 * INTERVAL_MS)
    expect(sampler.asked).toBe(2)
    const third = sampler.watch()
    expect(third.samples).toEqual([])
    await settled()
    expect(third.samples).toMatchObject([{ sampledAtMs: sampler.time.wallMs() }])
    third.stop()
  })

  it('an answer that comes late skips samples and piles none up', async () => {
    const sampler = rig()
    let release = () => {}
    sampler.hold(new Promise(resolve => (release = resolve)))
    const watcher = sampler.watch()
    await sampler.time.advance(6 * INTERVAL_MS)
    expect(sampler.asked).toBe(1)
    expect(watcher.samples).toEqual([])
    sampler.hold(null)
    release()
    await sampler.time.advance(INTERVAL_MS)
    expect(sampler.asked).toBe(2)
    watcher.stop()
  })

  it('an engine that is gone for a while is asked again when it is back', async () => {
    const sampler = rig()
    sampler.setReady(false)
    const watcher = sampler.watch()
    await sampler.time.advance(3 * INTERVAL_MS)
    expect(watcher.samples).toEqual([])
    sampler.setReady(true)
    await sampler.time.advance(INTERVAL_MS)
    expect(watcher.samples).toHaveLength(1)
    watcher.stop()
  })

  it('whoever has gone already is not served', async () => {
    const sampler = rig()
    const controller = new AbortController()
    controller.abort()
    await sampler.service.watch(() => {}, controller.signal)
    expect(sampler.time.pending).toBe(0)
    expect(sampler.asked).toBe(0)
  })
})
