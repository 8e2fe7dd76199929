/**
 * Starts the engine process, watches it, restarts it with its model, and tells everybody about it. What was in flight
 * when a process dies fails with `engine-lost`; sessions die with their model, so callers key them by
 * `EngineConnection`. It knows nothing of chats and does not repeat anybody's request.
 */
import type { EngineStatus } from '../../contract/app/engine.ts'
import type { EngineEvent } from '../../contract/engine/events.ts'
import { type EngineApi, engineApi } from '../../contract/engine-api.ts'
import { TernError, type TernErrorData, toErrorData } from '../../contract/errors.ts'
import { type AbortSignalLike, type Client, createClient, type Transport } from '../../contract/rpc.ts'
import type { BackendRequest } from '../../contract/words/backend.ts'
import type { ModelInfo } from '../../contract/words/model.ts'
import { type ControlMessage, parseControl } from '../engine-process/control.ts'
import { type Cancel, systemTime, type Time } from '../time.ts'
import { reduceStatus, type StatusEvent } from './engine-status.ts'
import { type SilenceLimits, watchSilence } from './silence-watch.ts'

export interface ProcessExit {
  code: number | null
  signal: string | null
}

/** A running engine process, whatever started it: a child of Node, a fake. */
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
  /** The model that comes with the app. */
  isEmbedded: boolean
}

/** One loaded model in one life of the engine process. A new object after every restart and every load. */
interface EngineConnection {
  readonly client: Client<EngineApi>
  /** Tells this model from others that may have been loaded before. */
  readonly modelKey: string
}

export interface SupervisorTiming extends SilenceLimits {
  /** From the start of the process to its `ready`. */
  readyTimeoutMs: number
  /** Pause before the first restart; doubles with every further death in the window. */
  firstBackoffMs: number
  maxBackoffMs: number
  /** This many deaths within the window, and it gives up. */
  deathLimit: number
  deathWindowMs: number
  /** A backend that fails for good within this time of being loaded again is not loaded a third time. */
  failureWindowMs: number
  /** From `shutdown` to the kill. */
  stopTimeoutMs: number
}

const DEFAULT_TIMING: SupervisorTiming = {
  readyTimeoutMs: 60_000,
  firstBackoffMs: 200,
  maxBackoffMs: 10_000,
  deathLimit: 4,
  deathWindowMs: 60_000,
  failureWindowMs: 60_000,
  silenceTickMs: 5_000,
  silenceTickLimit: 120,
  stopTimeoutMs: 3_000,
}

export interface SupervisorOptions {
  timing?: Partial<SupervisorTiming>
  time?: Time
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
  /** Loads another model, or the same one elsewhere, in place of this one; sessions end. */
  use(model: ModelRequest): void
  /** Ends the engine process; resolves when it is gone. */
  stop(): Promise<void>
}

export const createSupervisor = (
  spawn: SpawnEngineProcess,
  model: ModelRequest,
  options: SupervisorOptions = {},
): Supervisor => new EngineSupervisor(spawn, model, options)

/** One process from its start to its exit. */
interface Life {
  process: EngineProcess
  client: Client<EngineApi>
  isReady: boolean
  /** Ends the load in progress. */
  cancelLoad: Cancel
  /** Why we ended it ourselves, when we did. */
  killedBecause: string | null
  exited: Promise<void>
}

class EngineSupervisor implements Supervisor {
  status: EngineStatus = { phase: 'starting' }
  private readonly timing: SupervisorTiming
  private readonly time: Time
  private readonly spawn: SpawnEngineProcess
  private readonly listeners = new Set<(status: EngineStatus) => void>()
  private model: ModelRequest
  private life: Life | null = null
  private connection: EngineConnection | null = null
  private cancelRestart: Cancel = () => {}
  private deathsAtMs: number[] = []
  private failedAtMs: number | null = null
  private isStopped = false

  constructor(spawn: SpawnEngineProcess, model: ModelRequest, options: SupervisorOptions) {
    this.spawn = spawn
    this.model = model
    this.timing = { ...DEFAULT_TIMING, ...options.timing }
    this.time = options.time ?? systemTime
    this.start()
  }

  get pid(): number | undefined {
    return this.life?.process.pid
  }

  onStatus(listener: (status: EngineStatus) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  whenReady(signal?: AbortSignalLike): Promise<EngineConnection> {
    return new Promise((resolve, reject) => {
      const settle = () => {
        if (signal?.aborted) reject(new TernError({ code: 'cancelled', message: 'Cancelled.' }))
        else if (this.isStopped) reject(new TernError(CLOSED))
        else if (this.connection !== null) resolve(this.connection)
        else if (this.status.phase === 'failed') reject(new TernError(this.status.error))
        else if (this.status.phase === 'unloaded') reject(new TernError(UNLOADED))
        else return
        this.listeners.delete(settle)
        signal?.removeEventListener('abort', settle)
      }
      this.listeners.add(settle)
      signal?.addEventListener('abort', settle)
      settle()
    })
  }

  retry(): void {
    if (this.status.phase === 'failed' || this.status.phase === 'unloaded') this.loadAnew()
  }

  use(model: ModelRequest): void {
    this.model = model
    // A process that is still starting, or about to, loads it when it is ready.
    if (this.life?.isReady === true || this.status.phase === 'failed') this.loadAnew()
  }

  async stop(): Promise<void> {
    if (this.isStopped) return
    this.isStopped = true
    this.cancelRestart()
    this.connection = null
    this.wake()
    const current = this.life
    if (current === null) return
    sendControl(current.process, { control: 'shutdown' })
    const cancelKill = this.time.after(this.timing.stopTimeoutMs, () => current.process.kill())
    await current.exited
    cancelKill()
  }

  private loadAnew(): void {
    if (this.isStopped) return
    this.failedAtMs = null
    this.apply({ kind: 'starting' })
    if (this.life === null) {
      this.cancelRestart()
      this.start()
    } else if (this.life.isReady) void this.load(this.life)
  }

  private giveUp(error: TernErrorData): void {
    const { path, isEmbedded } = this.model
    this.apply({ kind: 'gave-up', error, otherModelPath: isEmbedded ? null : path })
  }

  private apply(event: StatusEvent): void {
    this.status = reduceStatus(this.status, event)
    this.wake()
  }

  private wake(): void {
    for (const listener of [...this.listeners]) listener(this.status)
  }

  private start(): void {
    let engineProcess: EngineProcess
    try {
      engineProcess = this.spawn()
    } catch (thrown) {
      const error = toErrorData(thrown)
      // What says by itself why it must not start is not tried again; anything else is a death like others.
      if (error.code === 'internal') this.onDeath(`it could not be started: ${error.message}`)
      else this.giveUp(error)
      return
    }
    const ping = () => sendControl(engineProcess, { control: 'ping' })
    const watched = watchSilence(engineProcess, this.timing, this.time, ping, () => kill('it stopped answering'))
    let markExited = () => {}
    const current: Life = {
      process: engineProcess,
      client: createClient(engineApi, watched.transport),
      isReady: false,
      cancelLoad: () => {},
      killedBecause: null,
      exited: new Promise(resolve => (markExited = resolve)),
    }
    const kill = (because: string) => {
      current.killedBecause = because
      engineProcess.kill()
    }
    this.life = current

    const cancelReady = this.time.after(this.timing.readyTimeoutMs, () => kill('it did not get ready in time'))
    const stopListening = engineProcess.onMessage(message => {
      if (parseControl(message)?.control !== 'ready') return
      stopListening()
      cancelReady()
      current.isReady = true
      current.client.subscribe('engine.events', undefined, event => this.onEngineEvent(current, event))
      void this.load(current)
    })
    engineProcess.onExit(exit => {
      cancelReady()
      watched.stop()
      if (this.life === current) this.life = null
      markExited()
      this.onDeath(current.killedBecause ?? describeExit(exit), current)
    })
  }

  /** Loads the model asked for; a load that is still running ends first. */
  private async load(current: Life): Promise<void> {
    current.cancelLoad()
    this.connection = null
    const { name: modelName, isEmbedded: _, ...params } = this.model
    this.apply({ kind: 'loading', modelName, stage: 'load', fraction: 0 })
    let isCurrent = true
    const stream = current.client.subscribe('model.load', params, event => {
      if (!isCurrent || this.life !== current) return
      if (event.kind === 'progress') {
        this.apply({ kind: 'loading', modelName, stage: event.stage, fraction: event.fraction })
      } else {
        this.connection = { client: current.client, modelKey: modelKeyOf(event.loaded.model) }
        this.apply(event)
      }
    })
    current.cancelLoad = () => {
      isCurrent = false
      stream.cancel()
    }
    try {
      await stream.ended
    } catch (thrown) {
      // When the process died, its exit decides what comes next.
      if (!isCurrent || this.life !== current) return
      const error = toErrorData(thrown)
      if (error.code !== 'engine-lost') this.giveUp(error)
    }
  }

  /** What happens to the loaded model, whether or not a reply is being written. The load itself is followed in `load`. */
  private onEngineEvent(current: Life, event: EngineEvent): void {
    if (this.life !== current || this.isStopped || event.kind === 'loaded' || this.status.phase !== 'ready') return
    if (event.kind === 'failed') {
      this.onBackendFailure(current, event.error)
      return
    }
    if (event.kind === 'unloaded') this.connection = null
    this.apply(event)
  }

  /** A backend that failed for good: the model is loaded once more; when that fails soon after, the user is asked. */
  private onBackendFailure(current: Life, error: TernErrorData): void {
    const nowMs = this.time.nowMs()
    const isAgain = this.failedAtMs !== null && nowMs - this.failedAtMs < this.timing.failureWindowMs
    this.failedAtMs = nowMs
    this.connection = null
    if (isAgain) this.giveUp(error)
    else void this.load(current)
  }

  private onDeath(reason: string, ended?: Life): void {
    this.connection = null
    ended?.client.close({
      code: 'engine-lost',
      message: `The engine process ended: ${reason}.`,
      remedy: 'It restarts by itself; then continue or regenerate the reply.',
    })
    if (this.isStopped) return
    const nowMs = this.time.nowMs()
    this.deathsAtMs = this.deathsAtMs.filter(atMs => nowMs - atMs < this.timing.deathWindowMs)
    this.deathsAtMs.push(nowMs)
    const attempt = this.deathsAtMs.length
    if (attempt >= this.timing.deathLimit) {
      this.deathsAtMs = []
      this.giveUp(gaveUp(attempt, reason))
      return
    }
    this.apply({ kind: 'restarting', attempt, reason })
    const pauseMs = Math.min(this.timing.maxBackoffMs, this.timing.firstBackoffMs * 2 ** (attempt - 1))
    this.cancelRestart = this.time.after(pauseMs, () => this.start())
  }
}

const CLOSED: TernErrorData = { code: 'connection-closed', message: 'Tern is closing.' }
const UNLOADED: TernErrorData = {
  code: 'model-not-loaded',
  message: 'No model is loaded.',
  remedy: 'Load the model again.',
}

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

/** What a model's states depend on, as far as its file says without being read. The engine compares the hash. */
const modelKeyOf = ({ name, parameterCount, layerCount, stateWidth, packing, fileBytes }: ModelInfo): string =>
  [name, parameterCount, layerCount, stateWidth, packing, fileBytes].join('|')
