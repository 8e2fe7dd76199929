/**
 * Starts the engine process, watches it, restarts it with its model, and tells everybody about it. What was in flight
 * when a process dies fails with `engine-lost`; sessions die with their process, so callers key them by
 * `EngineConnection`. It knows nothing of chats and does not repeat anybody's request.
 */

import type { EngineStatus } from '../../contract/app/engine.ts'
import { type EngineApi, engineApi } from '../../contract/engine-api.ts'
import { TernError, type TernErrorData, toErrorData } from '../../contract/errors.ts'
import { type AbortSignalLike, type Client, createClient, type Transport } from '../../contract/rpc.ts'
import type { BackendInfo, BackendRequest } from '../../contract/words/backend.ts'
import { type ControlMessage, parseControl } from '../engine-process/control.ts'

export interface ProcessExit {
  code: number | null
  signal: string | null
}

/** A running engine process, whatever started it: Node's fork, Electron's utilityProcess, a fake. */
export interface EngineProcess extends Transport {
  readonly pid: number | undefined
  /** Called once. */
  onExit(listener: (exit: ProcessExit) => void): void
  /** Ends it without asking. */
  kill(): void
}
export type SpawnEngineProcess = () => EngineProcess

export interface ModelRequest extends BackendRequest {
  path: string
  /** Shown while it loads. */
  name: string
}

/** One life of the engine process, with the model loaded. A new object after every restart. */
export interface EngineConnection {
  readonly client: Client<EngineApi>
  /** What a reply said of where the model is now. */
  moved(backend: BackendInfo): void
}

export interface SupervisorTiming {
  /** From the start of the process to its `ready`. */
  readyTimeoutMs: number
  /** Pause before the first restart; doubles with every further death in the window. */
  firstBackoffMs: number
  maxBackoffMs: number
  /** This many deaths within the window, and it gives up. */
  deathLimit: number
  deathWindowMs: number
  /**
   * While work is in flight, silence is counted in ticks of our own timer, not on the clock: a machine that slept, or a
   * host that was stopped, adds one tick. The limit, ten minutes by default, lies far above the longest synchronous step:
   * a chunk of the reference backend with the largest published model takes two to three.
   */
  silenceTickMs: number
  silenceTickLimit: number
  /** From `shutdown` to the kill. */
  stopTimeoutMs: number
}

const DEFAULT_TIMING: SupervisorTiming = {
  readyTimeoutMs: 60_000,
  firstBackoffMs: 200,
  maxBackoffMs: 10_000,
  deathLimit: 4,
  deathWindowMs: 60_000,
  silenceTickMs: 5_000,
  silenceTickLimit: 120,
  stopTimeoutMs: 3_000,
}

export interface Supervisor {
  readonly status: EngineStatus
  /** Told of every change, until the returned function is called. */
  onStatus(listener: (status: EngineStatus) => void): () => void
  /** Resolves when the model is ready, now or after a restart; rejects when the engine has given up or `signal` fires. */
  whenReady(signal?: AbortSignalLike): Promise<EngineConnection>
  /** The process's id while one runs, for tests and diagnostics. */
  readonly pid: number | undefined
  /** After 'failed': loads the model again, in a new process if need be. */
  retry(): void
  /** Ends the engine process; resolves when it is gone. */
  stop(): Promise<void>
}

/** One process from its start to its exit. */
interface Life {
  process: EngineProcess
  client: Client<EngineApi>
  /** Why we ended it ourselves, when we did. */
  killedBecause: string | null
  exited: Promise<void>
  end(): void
}

export function createSupervisor(
  spawn: SpawnEngineProcess,
  model: ModelRequest,
  options: { timing?: Partial<SupervisorTiming> } = {},
): Supervisor {
  const timing = { ...DEFAULT_TIMING, ...options.timing }
  const listeners = new Set<(status: EngineStatus) => void>()
  let status: EngineStatus = { phase: 'starting' }
  let life: Life | null = null
  let connection: EngineConnection | null = null
  let restartTimer: ReturnType<typeof setTimeout> | null = null
  let deathsAtMs: number[] = []
  let stopped = false

  const setStatus = (next: EngineStatus) => {
    status = next
    for (const listener of [...listeners]) listener(next)
  }

  const start = () => {
    restartTimer = null
    let engineProcess: EngineProcess
    try {
      engineProcess = spawn()
    } catch (thrown) {
      onDeath(`it could not be started: ${toErrorData(thrown).message}`)
      return
    }
    const watched = watchSilence(engineProcess, timing, () => kill('it stopped answering'))
    const client = createClient(engineApi, watched.transport)
    const readyTimer = setTimeout(() => kill('it did not get ready in time'), timing.readyTimeoutMs)
    let markExited = () => {}
    const current: Life = {
      process: engineProcess,
      client,
      killedBecause: null,
      exited: new Promise(resolve => (markExited = resolve)),
      end() {
        clearTimeout(readyTimer)
        watched.stop()
      },
    }
    const kill = (because: string) => {
      current.killedBecause = because
      engineProcess.kill()
    }
    life = current

    const stopListening = engineProcess.onMessage(message => {
      if (parseControl(message)?.control !== 'ready') return
      stopListening()
      clearTimeout(readyTimer)
      void load(current)
    })
    engineProcess.onExit(exit => {
      current.end()
      if (life === current) life = null
      markExited()
      onDeath(current.killedBecause ?? describeExit(exit), current)
    })
  }

  const load = async (current: Life) => {
    setStatus({ phase: 'loading', modelName: model.name, stage: 'load', fraction: 0 })
    const { name: _name, ...params } = model
    try {
      await current.client.subscribe('model.load', params, event => {
        if (life !== current) return
        if (event.kind === 'progress') {
          setStatus({ phase: 'loading', modelName: model.name, stage: event.stage, fraction: event.fraction })
        } else {
          const { loaded } = event
          connection = {
            client: current.client,
            moved(backend) {
              if (life === current && status.phase === 'ready') {
                setStatus({ phase: 'ready', loaded: { ...loaded, backend } })
              }
            },
          }
          setStatus({ phase: 'ready', loaded })
        }
      }).ended
    } catch (thrown) {
      // When the process died, its exit decides what comes next.
      if (life !== current) return
      const error = toErrorData(thrown)
      if (error.code !== 'engine-lost') setStatus({ phase: 'failed', error })
    }
  }

  const onDeath = (reason: string, ended?: Life) => {
    connection = null
    ended?.client.close({
      code: 'engine-lost',
      message: `The engine process ended: ${reason}.`,
      remedy: 'It restarts by itself; then continue or regenerate the reply.',
    })
    if (stopped) return
    const nowMs = performance.now()
    deathsAtMs = deathsAtMs.filter(atMs => nowMs - atMs < timing.deathWindowMs)
    deathsAtMs.push(nowMs)
    const attempt = deathsAtMs.length
    if (attempt >= timing.deathLimit) {
      deathsAtMs = []
      setStatus({ phase: 'failed', error: gaveUp(attempt, reason) })
      return
    }
    setStatus({ phase: 'restarting', attempt, reason })
    restartTimer = setTimeout(start, Math.min(timing.maxBackoffMs, timing.firstBackoffMs * 2 ** (attempt - 1)))
  }

  start()

  return {
    get status() {
      return status
    },
    get pid() {
      return life?.process.pid
    },
    onStatus(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    whenReady(signal) {
      return new Promise((resolve, reject) => {
        const settle = () => {
          if (signal?.aborted) reject(new TernError({ code: 'cancelled', message: 'Cancelled.' }))
          else if (stopped) reject(new TernError(CLOSED))
          else if (connection !== null) resolve(connection)
          else if (status.phase === 'failed') reject(new TernError(status.error))
          else return
          listeners.delete(settle)
          signal?.removeEventListener('abort', settle)
        }
        listeners.add(settle)
        signal?.addEventListener('abort', settle)
        settle()
      })
    },
    retry() {
      if (stopped || status.phase !== 'failed') return
      setStatus({ phase: 'starting' })
      if (life === null) start()
      else void load(life)
    },
    async stop() {
      if (stopped) return
      stopped = true
      if (restartTimer !== null) clearTimeout(restartTimer)
      connection = null
      // Wakes whoever waits in whenReady.
      setStatus(status)
      const current = life
      if (current === null) return
      sendControl(current.process, { control: 'shutdown' })
      const killTimer = setTimeout(() => current.process.kill(), timing.stopTimeoutMs)
      await current.exited
      clearTimeout(killTimer)
    },
  }
}

const CLOSED: TernErrorData = { code: 'connection-closed', message: 'Tern is closing.' }

const sendControl = (transport: Transport, message: ControlMessage) => transport.send(message)

function gaveUp(deaths: number, reason: string): TernErrorData {
  return {
    code: 'engine-lost',
    message: `The engine process ended ${deaths} times in a row and was not started again. Last reason: ${reason}.`,
    remedy: 'Close other programs to free memory or choose a smaller model, then retry.',
  }
}

function describeExit({ code, signal }: ProcessExit): string {
  if (signal === 'SIGKILL') return 'it was killed (SIGKILL), which the system does when memory runs out'
  if (signal !== null) return `it was ended by ${signal}`
  if (code === null) return 'it could not be started'
  return `it exited with code ${code}`
}

/**
 * Passes messages through and calls `onSilence` when nothing at all came back for `silenceTickLimit` ticks although
 * requests are in flight and the process was asked. No timer runs while nothing is in flight.
 */
function watchSilence(
  engineProcess: EngineProcess,
  timing: SupervisorTiming,
  onSilence: () => void,
): { transport: Transport; stop(): void } {
  const inFlight = new Set<unknown>()
  let silentTicks = 0
  let timer: ReturnType<typeof setInterval> | null = null

  const stop = () => {
    if (timer !== null) clearInterval(timer)
    timer = null
  }
  const tick = () => {
    silentTicks += 1
    if (silentTicks > timing.silenceTickLimit) {
      stop()
      onSilence()
    } else sendControl(engineProcess, { control: 'ping' })
  }
  const stopListening = engineProcess.onMessage(message => {
    silentTicks = 0
    const { kind, id } = message as { kind?: unknown; id?: unknown }
    if (kind === 'result' || kind === 'end' || kind === 'failure') inFlight.delete(id)
    if (inFlight.size === 0) stop()
  })
  return {
    transport: {
      send(message) {
        const { kind, id } = message as { kind?: unknown; id?: unknown }
        if (kind === 'call' || kind === 'subscribe') {
          inFlight.add(id)
          if (timer === null) {
            silentTicks = 0
            timer = setInterval(tick, timing.silenceTickMs)
          }
        }
        engineProcess.send(message)
      },
      onMessage: listener => engineProcess.onMessage(listener),
    },
    stop() {
      stop()
      stopListening()
    },
  }
}
