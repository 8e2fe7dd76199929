/** The supervisor: with fake processes for every way to die, and with a real process that is killed. */
import { describe, expect, it, vi } from 'vitest'
import { engineApi } from '../../contract/engine-api.ts'
import { TernError, toErrorData } from '../../contract/errors.ts'
import { serve } from '../../contract/rpc.ts'
import {
  createSupervisor,
  type EngineProcess,
  type ProcessExit,
  type SupervisorTiming,
} from '../../main/host/supervisor.ts'
import { childOf } from '../engine-child.ts'
import { createFakeEngine } from '../fake-engine.ts'
import { createTestTime, settled } from '../test-time.ts'

const MODEL = { path: '/models/fake.gguf', name: 'fake.gguf', isEmbedded: true, backend: 'auto' as const }
const TIMING = {
  firstBackoffMs: 1,
  maxBackoffMs: 4,
  deathLimit: 4,
  silenceTickMs: 5,
  silenceTickLimit: 4,
  stopTimeoutMs: 50,
}

/** An engine process in this process: it dies when told to. */
function fakeProcess(number: number, behaviour: { ready: boolean; deaf?: boolean; stubborn?: boolean }) {
  const toSupervisor = new Set<(message: unknown) => void>()
  const toEngine = new Set<(message: unknown) => void>()
  const onExit = new Set<(exit: ProcessExit) => void>()
  const received: unknown[] = []
  let isAlive = true
  const deliver = (message: unknown) =>
    queueMicrotask(() => {
      if (isAlive) for (const listener of [...toSupervisor]) listener(message)
    })
  const die = (exit: ProcessExit) => {
    if (!isAlive) return
    isAlive = false
    for (const listener of onExit) listener(exit)
  }
  const fake = createFakeEngine({ tokenMs: 0, loadMs: 0 })
  serve(
    engineApi,
    {
      send: deliver,
      onMessage(listener) {
        toEngine.add(listener)
        return () => toEngine.delete(listener)
      },
    },
    fake.handlers,
  )
  const engineProcess: EngineProcess = {
    pid: number,
    send(message) {
      received.push(message)
      if (!isAlive || behaviour.deaf) return
      const { control } = message as { control?: string }
      if (control === 'ping') deliver({ control: 'pong' })
      else if (control === 'shutdown') {
        if (!behaviour.stubborn) queueMicrotask(() => die({ code: 0, signal: null }))
      } else for (const listener of [...toEngine]) listener(message)
    },
    onMessage(listener) {
      toSupervisor.add(listener)
      return () => toSupervisor.delete(listener)
    },
    onExit: listener => void onExit.add(listener),
    kill: () => queueMicrotask(() => die({ code: null, signal: 'SIGKILL' })),
  }
  if (behaviour.ready) deliver({ control: 'ready' })
  return { engineProcess, die, received, fake, isAlive: () => isAlive }
}

function supervise(
  behaviours: Parameters<typeof fakeProcess>[1][] = [],
  timing: Partial<SupervisorTiming> = {},
  model = MODEL,
) {
  const time = createTestTime()
  const processes: ReturnType<typeof fakeProcess>[] = []
  const supervisor = createSupervisor(
    () => {
      const made = fakeProcess(processes.length + 1, behaviours[processes.length] ?? { ready: true })
      processes.push(made)
      return made.engineProcess
    },
    model,
    { timing: { ...TIMING, ...timing }, time },
  )
  const phases: string[] = [supervisor.status.phase]
  supervisor.onStatus(({ phase }) => {
    if (phases.at(-1) !== phase) phases.push(phase)
  })
  return { supervisor, processes, phases, time }
}

/** Of real processes. */
const until = (condition: () => boolean) => vi.waitUntil(condition, { timeout: 10_000, interval: 2 })
const failure = (promise: Promise<unknown>) => promise.then(() => null, toErrorData)

describe('a process that starts', () => {
  it('gets its model loaded, and is ready', async () => {
    const { supervisor, phases } = supervise()
    const { client } = await supervisor.whenReady()
    expect(phases).toEqual(['starting', 'loading', 'ready'])
    expect(supervisor.status).toMatchObject({ phase: 'ready', loaded: { model: { path: MODEL.path } } })
    expect(await client.call('session.create', undefined)).toBe('s1')
    await supervisor.stop()
  })

  it('says which other model could not be used, and loads the embedded one in its place', async () => {
    const { supervisor } = supervise([], {}, { ...MODEL, path: '/missing.gguf', isEmbedded: false })
    await settled()
    expect(supervisor.status).toMatchObject({ phase: 'failed', otherModelPath: '/missing.gguf' })
    supervisor.use(MODEL)
    await supervisor.whenReady()
    expect(supervisor.status).toMatchObject({ phase: 'ready', loaded: { model: { path: MODEL.path } } })
    await supervisor.stop()
  })

  it('is not restarted when the model cannot be loaded; retry loads again in the same process', async () => {
    const { supervisor, processes } = supervise([], {}, { ...MODEL, path: '/missing.gguf' })
    await settled()
    expect(supervisor.status).toMatchObject({
      phase: 'failed',
      error: { code: 'file-not-found', remedy: 'Choose another.' },
    })
    expect((await failure(supervisor.whenReady()))?.code).toBe('file-not-found')
    supervisor.retry()
    expect(supervisor.status.phase).not.toBe('failed')
    await settled()
    expect(supervisor.status.phase).toBe('failed')
    expect(processes).toHaveLength(1)
    await supervisor.stop()
  })

  it('is killed and started again when it does not get ready in time', async () => {
    const { supervisor, processes, time } = supervise([{ ready: false }], { readyTimeoutMs: 10 })
    await time.advance(9)
    expect(processes).toHaveLength(1)
    await time.advance(2)
    await supervisor.whenReady()
    expect(processes).toHaveLength(2)
    expect(processes[0]!.isAlive()).toBe(false)
    await supervisor.stop()
  })

  it('may be impossible to start: that is a death like any other', async () => {
    const time = createTestTime()
    const supervisor = createSupervisor(
      () => {
        throw new Error('no such file')
      },
      MODEL,
      { timing: TIMING, time },
    )
    await time.advance(100)
    expect(supervisor.status).toMatchObject({
      error: { code: 'engine-lost', message: expect.stringContaining('no such file') },
    })
  })
})

describe('a process that dies', () => {
  it('is replaced, with its model, and everything in flight fails with engine-lost', async () => {
    const { supervisor, processes, phases, time } = supervise()
    const first = await supervisor.whenReady()
    const sessionId = await first.client.call('session.create', undefined)
    const stream = first.client.subscribe(
      'generate',
      { sessionId, input: { kind: 'text', text: 'a', parseSpecial: false }, sampling: {} },
      () => {},
    )
    processes[0]!.die({ code: null, signal: 'SIGKILL' })
    const error = await failure(stream.ended)
    expect(error).toMatchObject({ code: 'engine-lost', message: expect.stringContaining('SIGKILL') })
    expect(error?.remedy).toBeTruthy()
    await time.advance(TIMING.firstBackoffMs)
    const second = await supervisor.whenReady()
    expect(second).not.toBe(first)
    expect((await failure(first.client.call('memory', undefined)))?.code).toBe('engine-lost')
    expect(await second.client.call('session.create', undefined)).toBe('s1')
    expect(phases).toEqual(['starting', 'loading', 'ready', 'restarting', 'loading', 'ready'])
    await supervisor.stop()
  })

  it('again and again is given up with a clear error; retry starts anew', async () => {
    const { supervisor, processes, phases, time } = supervise()
    for (let death = 1; death <= TIMING.deathLimit; death++) {
      await supervisor.whenReady()
      processes.at(-1)!.die({ code: 134, signal: null })
      await time.advance(TIMING.maxBackoffMs)
    }
    expect(supervisor.status).toMatchObject({
      phase: 'failed',
      error: { code: 'engine-lost', message: expect.stringContaining('4 times'), remedy: expect.any(String) },
    })
    expect(phases.filter(phase => phase === 'restarting')).toHaveLength(3)
    expect((await failure(supervisor.whenReady()))?.message).toContain('134')
    supervisor.retry()
    await supervisor.whenReady()
    expect(processes).toHaveLength(5)
    await supervisor.stop()
  })

  it('now and then is never given up', async () => {
    const { supervisor, processes, time } = supervise([], { deathWindowMs: 3 })
    for (let death = 1; death <= TIMING.deathLimit + 2; death++) {
      await supervisor.whenReady()
      processes.at(-1)!.die({ code: 1, signal: null })
      await time.advance(TIMING.maxBackoffMs)
    }
    await supervisor.whenReady()
    await supervisor.stop()
  })

  it('waits longer before every restart', async () => {
    const timing = { firstBackoffMs: 100, maxBackoffMs: 250, deathLimit: 9 }
    const { supervisor, processes, time } = supervise([], timing)
    const pauses: number[] = []
    for (let death = 0; death < 4; death++) {
      await time.advance(50)
      processes.at(-1)!.die({ code: 1, signal: null })
      const count = processes.length
      let pause = 0
      while (processes.length === count) {
        await time.advance(10)
        pause += 10
      }
      pauses.push(pause)
    }
    expect(pauses).toEqual([100, 200, 250, 250])
    await supervisor.stop()
  })
})

describe('a backend that fails for good in a living process', () => {
  const error = { code: 'backend-failed', message: 'The kernel trapped.', remedy: 'Load the model again.' } as const

  it('is loaded once more by itself, with a new connection; the second time soon after, the user is asked', async () => {
    const { supervisor, processes, phases } = supervise()
    const first = await supervisor.whenReady()
    processes[0]!.fake.tell({ kind: 'failed', error })
    await settled()
    const second = await supervisor.whenReady()
    expect(second).not.toBe(first)
    expect(phases).toEqual(['starting', 'loading', 'ready', 'loading', 'ready'])
    processes[0]!.fake.tell({ kind: 'failed', error })
    await settled()
    expect(supervisor.status).toEqual({ phase: 'failed', error, otherModelPath: null })
    expect((await failure(supervisor.whenReady()))?.code).toBe('backend-failed')
    supervisor.retry()
    await supervisor.whenReady()
    expect(supervisor.status.phase).toBe('ready')
    expect(processes).toHaveLength(1)
    await supervisor.stop()
  })

  it('now and then is loaded again every time', async () => {
    const { supervisor, processes, time } = supervise([], { failureWindowMs: 1000 })
    for (let failures = 0; failures < 4; failures++) {
      await supervisor.whenReady()
      processes[0]!.fake.tell({ kind: 'failed', error })
      await time.advance(1001)
    }
    expect(supervisor.status.phase).toBe('ready')
    await supervisor.stop()
  })
})

describe('a model that changes while no reply is written', () => {
  it('is shown where it is: moves are told, and where it goes meanwhile', async () => {
    const { supervisor, processes } = supervise()
    await supervisor.whenReady()
    const { fake } = processes[0]!
    const seen: unknown[] = []
    supervisor.onStatus(status => {
      if (status.phase === 'ready') seen.push([status.isMoving, status.loaded.backend.description])
    })
    const backend = { name: 'wasm', description: 'elsewhere', kernel: 'none', threads: 1 } as const
    fake.tell({ kind: 'moving', cause: 'lost' })
    fake.tell({ kind: 'moved', cause: 'lost', backend, loadMs: 77, reason: 'The device was lost.', isExact: true })
    await settled()
    expect(seen).toEqual([
      [true, 'words in a row'],
      [false, 'elsewhere'],
    ])
    expect(supervisor.status).toMatchObject({
      phase: 'ready',
      loaded: { model: { path: MODEL.path }, backend, loadMs: 77 },
    })
    await supervisor.stop()
  })

  it('is not ready once it is unloaded; retry loads it again', async () => {
    const { supervisor } = supervise()
    const { client } = await supervisor.whenReady()
    await client.call('model.unload', undefined)
    await settled()
    expect(supervisor.status).toEqual({ phase: 'unloaded' })
    expect((await failure(supervisor.whenReady()))?.code).toBe('model-not-loaded')
    supervisor.retry()
    await supervisor.whenReady()
    await supervisor.stop()
  })

  it('can be another one: use loads it in place of the first, in the same process', async () => {
    const { supervisor, processes, phases } = supervise()
    const first = await supervisor.whenReady()
    supervisor.use({ ...MODEL, path: '/models/other.gguf', name: 'other.gguf' })
    expect(supervisor.status.phase).toBe('loading')
    const second = await supervisor.whenReady()
    expect(second).not.toBe(first)
    expect(supervisor.status).toMatchObject({ loaded: { model: { path: '/models/other.gguf' } } })
    expect(phases).toEqual(['starting', 'loading', 'ready', 'starting', 'loading', 'ready'])
    expect(processes).toHaveLength(1)
    await supervisor.stop()
  })

  it('asked for while the first is still loading, wins', async () => {
    const { supervisor } = supervise()
    await Promise.resolve()
    supervisor.use({ ...MODEL, path: '/missing.gguf' })
    supervisor.use({ ...MODEL, path: '/models/other.gguf' })
    await supervisor.whenReady()
    expect(supervisor.status).toMatchObject({ loaded: { model: { path: '/models/other.gguf' } } })
    await settled()
    expect(supervisor.status.phase).toBe('ready')
    await supervisor.stop()
  })
})

describe('a process that stops answering', () => {
  it('is killed and replaced when nothing comes back although work is in flight', async () => {
    const { supervisor, processes, time } = supervise()
    const { client } = await supervisor.whenReady()
    await settled()
    const behaviour = processes[0]!
    // It hears nothing from now on.
    behaviour.engineProcess.send = message => void behaviour.received.push(message)
    const asked = failure(client.call('memory', undefined))
    await time.advance(TIMING.silenceTickMs * (TIMING.silenceTickLimit + 1))
    expect(await asked).toMatchObject({
      code: 'engine-lost',
      message: expect.stringContaining('stopped answering'),
    })
    expect(behaviour.received).toContainEqual({ control: 'ping' })
    await time.advance(TIMING.firstBackoffMs)
    await supervisor.whenReady()
    expect(processes).toHaveLength(2)
    await supervisor.stop()
  })

  it('is left alone while it answers pings, however long its work takes', async () => {
    const { supervisor, processes, time } = supervise()
    const { client } = await supervisor.whenReady()
    const { fake, received } = processes[0]!
    let finish = () => {}
    const encode = () => new Promise(resolve => (finish = () => resolve([1])))
    Object.assign(fake.handlers.calls, { 'tokenizer.encode': encode })
    const call = client.call('tokenizer.encode', { text: 'x', parseSpecial: false })
    const pings = () => received.filter(message => (message as { control?: string }).control === 'ping').length
    await time.advance(TIMING.silenceTickMs * TIMING.silenceTickLimit * 4)
    expect(pings()).toBeGreaterThan(TIMING.silenceTickLimit * 3)
    finish()
    expect(await call).toEqual([1])
    expect(processes).toHaveLength(1)
    await supervisor.stop()
  })

  it('is not pinged at all while nothing is in flight', async () => {
    const { supervisor, processes, time } = supervise()
    await supervisor.whenReady()
    // The end of the load's stream comes just after 'ready'; the stream of events stays open.
    await settled()
    expect(time.pending).toBe(0)
    processes[0]!.received.length = 0
    await time.advance(TIMING.silenceTickMs * 6)
    expect(processes[0]!.received).not.toContainEqual({ control: 'ping' })
    await supervisor.stop()
  })
})

describe('the end', () => {
  it('asks the process to shut down, and starts no other', async () => {
    const { supervisor, processes, time } = supervise()
    await supervisor.whenReady()
    await supervisor.stop()
    expect(processes[0]!.isAlive()).toBe(false)
    expect((await failure(supervisor.whenReady()))?.code).toBe('connection-closed')
    supervisor.retry()
    await time.advance(1000)
    expect(processes).toHaveLength(1)
  })

  it('kills a process that does not go', async () => {
    const { supervisor, processes, time } = supervise([{ ready: true, stubborn: true }])
    await supervisor.whenReady()
    const stopping = supervisor.stop()
    await time.advance(TIMING.stopTimeoutMs)
    await stopping
    expect(processes[0]!.isAlive()).toBe(false)
  })

  it('wakes whoever waits, and a waiter can give up', async () => {
    const { supervisor } = supervise([{ ready: false }])
    const controller = new AbortController()
    const impatient = failure(supervisor.whenReady(controller.signal))
    const patient = failure(supervisor.whenReady())
    controller.abort()
    expect((await impatient)?.code).toBe('cancelled')
    await supervisor.stop()
    expect((await patient)?.code).toBe('connection-closed')
  })
})

describe('a real process', () => {
  const isAlive = (pid: number) => {
    try {
      process.kill(pid, 0)
      return true
    } catch {
      return false
    }
  }
  const real = () =>
    createSupervisor(childOf('test/fake-engine-process.ts'), MODEL, {
      timing: { firstBackoffMs: 10 },
    })

  it('killed with SIGKILL in mid-reply: the reply fails with engine-lost, a new process takes over', async () => {
    const supervisor = real()
    const { client } = await supervisor.whenReady()
    const pid = supervisor.pid!
    const sessionId = await client.call('session.create', undefined)
    const texts: string[] = []
    const input = { kind: 'text', text: 'hello', parseSpecial: false } as const
    const stream = client.subscribe('generate', { sessionId, input, sampling: {} }, event => {
      if (event.kind === 'text') texts.push(event.text)
      if (texts.length === 3) process.kill(pid, 'SIGKILL')
    })
    const error = await stream.ended.catch((error: unknown) => error)
    expect(error).toBeInstanceOf(TernError)
    expect((error as TernError).code).toBe('engine-lost')
    expect(texts.length).toBeGreaterThanOrEqual(3)
    const next = await supervisor.whenReady()
    expect(supervisor.pid).not.toBe(pid)
    expect((await next.client.call('memory', undefined)).processRssBytes).toBeGreaterThan(0)
    await supervisor.stop()
  })

  it('carries bytes both ways, and is gone after stop', async () => {
    const supervisor = real()
    const { client } = await supervisor.whenReady()
    const pid = supervisor.pid!
    const sessionId = await client.call('session.create', undefined)
    const state = await client.call('session.export', { sessionId })
    expect(state).toBeInstanceOf(Uint8Array)
    expect(await client.call('session.import', { state })).not.toBe(sessionId)
    await supervisor.stop()
    await until(() => !isAlive(pid))
  })

  it('ends by itself when its parent is killed', async () => {
    const { fork } = await import('node:child_process')
    const parent = fork(new URL('../engine-process-parent.ts', import.meta.url), { execArgv: [] })
    const enginePid = await new Promise<number>(resolve => parent.once('message', message => resolve(Number(message))))
    expect(isAlive(enginePid)).toBe(true)
    parent.kill('SIGKILL')
    await until(() => !isAlive(enginePid))
  })
})
