/** The window's line to the host: it dials again with growing pauses, and subscriptions outlive a lost line. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { EngineStatus } from '../../contract/app/engine.ts'
import { appApi } from '../../contract/app-api.ts'
import { toErrorData } from '../../contract/errors.ts'
import { createTransportPair, serve } from '../../contract/rpc.ts'
import { createConnection, type Dial, type Line } from '../../renderer/stores/connection.ts'
import { UNUSED } from '../unused-handlers.ts'

/** A host that can be cut off and come back. */
function createFlakyHost() {
  let up = true
  let dials = 0
  let cut = () => {}
  let status: EngineStatus = { phase: 'starting' }
  const dial: Dial = async () => {
    dials += 1
    if (!up) throw new Error('refused')
    const [near, far] = createTransportPair()
    const server = serve(appApi, far, {
      calls: {
        ...UNUSED.calls,
        'app.info': () => ({ version: '1', shell: 'browser' as const, platform: 'test' }),
      },
      streams: {
        ...UNUSED.streams,
        'engine.status': (_, emit, { signal }) => {
          emit(status)
          return new Promise(resolve => signal.addEventListener('abort', () => resolve()))
        },
        'chat.summaries': async () => {},
        'chat.watch': async () => {},
      },
    })
    let settle = () => {}
    const closed = new Promise<void>(resolve => {
      settle = resolve
    })
    cut = () => {
      server.close()
      settle()
    }
    const line: Line = { transport: near, closed, close: cut }
    return line
  }
  return {
    dial,
    get dials() {
      return dials
    },
    setStatus: (next: EngineStatus) => void (status = next),
    goDown() {
      up = false
      cut()
    },
    comeBack: () => void (up = true),
  }
}

describe('connection', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())
  const settle = () => vi.advanceTimersByTimeAsync(0)

  it('answers calls once the line is open, and says so when it is not', async () => {
    const host = createFlakyHost()
    const connection = createConnection(host.dial)
    const early = await connection.client.call('app.info', undefined).catch(toErrorData)
    expect(early).toMatchObject({ code: 'connection-closed' })
    await settle()
    expect(connection.state.getState().phase).toBe('open')
    expect(await connection.client.call('app.info', undefined)).toMatchObject({ platform: 'test' })
    connection.close()
  })

  it('subscribes again on a new line, and the stream opens with the truth of then', async () => {
    const host = createFlakyHost()
    const connection = createConnection(host.dial)
    const phases: string[] = []
    connection.client.subscribe('engine.status', undefined, status => phases.push(status.phase))
    await settle()
    expect(phases).toEqual(['starting'])
    host.setStatus({ phase: 'restarting', attempt: 1, reason: 'lost' })
    host.goDown()
    host.comeBack()
    await vi.advanceTimersByTimeAsync(250)
    expect(phases).toEqual(['starting', 'restarting'])
    connection.close()
  })

  it('waits longer after every failed attempt, up to eight seconds', async () => {
    const host = createFlakyHost()
    const connection = createConnection(host.dial)
    await settle()
    host.goDown()
    await settle()
    const pauses: number[] = []
    for (let i = 0; i < 7; i++) {
      const state = connection.state.getState()
      if (state.phase !== 'lost') throw new Error(`expected a lost line, found ${state.phase}`)
      const pauseMs = state.retryAtMs - Date.now()
      pauses.push(pauseMs)
      await vi.advanceTimersByTimeAsync(pauseMs)
    }
    expect(pauses).toEqual([250, 500, 1000, 2000, 4000, 8000, 8000])
    expect(host.dials).toBe(8)
    connection.close()
  })

  it('dials at once when asked to', async () => {
    const host = createFlakyHost()
    const connection = createConnection(host.dial)
    await settle()
    host.goDown()
    await vi.advanceTimersByTimeAsync(4_000)
    host.comeBack()
    connection.retryNow()
    await settle()
    expect(connection.state.getState().phase).toBe('open')
    connection.close()
  })

  it('fails calls in flight when the line is lost', async () => {
    const host = createFlakyHost()
    const connection = createConnection(host.dial)
    await settle()
    const call = connection.client.call('app.info', undefined).catch(toErrorData)
    host.goDown()
    await settle()
    expect(await call).toMatchObject({ code: 'connection-closed' })
    connection.close()
  })

  it('ends a subscription that the host ends, and does not make it anew', async () => {
    const host = createFlakyHost()
    const connection = createConnection(host.dial)
    await settle()
    const subscription = connection.client.subscribe('chat.watch', { chatId: 'a' }, () => {})
    let ended = false
    void subscription.ended.then(() => {
      ended = true
    })
    await settle()
    expect(ended).toBe(true)
    connection.close()
  })

  it('passes on the error of a stream that fails', async () => {
    const host = createFlakyHost()
    const connection = createConnection(host.dial)
    await settle()
    const subscription = connection.client.subscribe('engine.memory', undefined, () => {})
    const failure = subscription.ended.catch(toErrorData)
    await settle()
    expect(await failure).toMatchObject({ code: 'internal', message: 'Nobody expects engine.memory here.' })
    connection.close()
  })

  it('stops for good when closed', async () => {
    const host = createFlakyHost()
    const connection = createConnection(host.dial)
    await settle()
    host.goDown()
    await settle()
    connection.close()
    const dials = host.dials
    await vi.advanceTimersByTimeAsync(60_000)
    expect(host.dials).toBe(dials)
  })
})
