/** The one model that the engine process holds, its sessions by id, and the order in which it is loaded, moved and freed. */
import { randomUUID } from 'node:crypto'
import type { EngineApi } from '../../contract/engine-api.ts'
import type { Handlers } from '../../contract/rpc.ts'
import type { EngineMemory } from '../../contract/words/memory.ts'
import type { LoadedModel as LoadedModelInfo } from '../../contract/words/model.ts'
import type { LoadedModel } from '../../engine/engine.ts'
import { EngineError } from '../../engine/errors.ts'
import type { Session } from '../../engine/session.ts'
import { type ChosenModel, loadChosen } from './backend-choice.ts'
import { createEventFeed, engineEventOf } from './event-feed.ts'
import { ggufInfo, openModel } from './model-files.ts'

/** A model with all that has to be closed with it. */
interface Current {
  readonly model: LoadedModel
  readonly moveTo: ChosenModel['moveTo']
  readonly sessions: Map<string, OpenSession>
  /** The model as it is now: its backend and load time change when it moves. */
  readonly info: LoadedModelInfo
  dispose(): Promise<void>
}

export interface OpenSession {
  readonly session: Session
  /** Stops the `generate` in flight. */
  stop: AbortController | null
}

export interface ModelSlotOptions {
  /** For converted folders. */
  cacheDirectory: string
  /** Computes the model's hash right after the load, so that the first state file does not wait for it. */
  hashAfterLoad: boolean
}

export class ModelSlot {
  private readonly options: ModelSlotOptions
  private readonly feed = createEventFeed()
  private current: Current | null = null
  /** Loads, moves and unloads, one after another. */
  private turn: Promise<unknown> = Promise.resolve()

  constructor(options: ModelSlotOptions) {
    this.options = options
  }

  /** Throws `model-not-loaded`. */
  loaded(): Current {
    if (this.current !== null) return this.current
    throw new EngineError('model-not-loaded', 'No model is loaded.', { remedy: 'Load a model first.' })
  }

  /** Throws `model-not-loaded`, `session-not-found`. */
  session(sessionId: string): OpenSession {
    const open = this.loaded().sessions.get(sessionId)
    if (open !== undefined) return open
    throw new EngineError('session-not-found', 'This session does not exist any more.', {
      actual: sessionId,
      remedy: 'Start a new session, or import a saved state.',
    })
  }

  /** The session's id from now on. */
  adopt(session: Session): string {
    const id = randomUUID()
    this.loaded().sessions.set(id, { session, stop: null })
    return id
  }

  disposeSession(sessionId: string): void {
    const { session } = this.session(sessionId)
    this.loaded().sessions.delete(sessionId)
    session.dispose()
  }

  /** Throws `file-*`, `format-*`, `config-*`, `tensor-*`, `out-of-memory`, `backend-*`, `cancelled`. */
  readonly load: Handlers<EngineApi>['streams']['model.load'] = (params, emit, context) =>
    this.inTurn(async () => {
      const { path, ...request } = params
      const { signal } = context
      // First, so that two models never need memory at the same time.
      await this.free()
      const file = await openModel(path, {
        cacheDirectory: this.options.cacheDirectory,
        signal,
        onConvertProgress: fraction => emit({ kind: 'progress', stage: 'convert', fraction }),
      })
      try {
        const chosen = await loadChosen(file, request, {
          signal,
          onProgress: fraction => emit({ kind: 'progress', stage: 'load', fraction }),
        })
        const { model, moveTo } = chosen
        const modelInfo = ggufInfo(file, path)
        const current: Current = {
          model,
          moveTo,
          sessions: new Map(),
          get info() {
            return { model: modelInfo, backend: model.backend, loadMs: model.loadMs }
          },
          async dispose() {
            await chosen.dispose()
            await file.close()
          },
        }
        this.current = current
        emit({ kind: 'loaded', loaded: current.info })
        this.feed.tell({ kind: 'loaded', loaded: current.info })
        model.onEvent(event => this.feed.tell(engineEventOf(event)))
        if (this.options.hashAfterLoad) void computeHash(model)
      } catch (error) {
        await file.close()
        throw error
      }
    })

  readonly move: Handlers<EngineApi>['calls']['model.move'] = request =>
    this.inTurn(async () => {
      const { model, moveTo } = this.loaded()
      await moveTo(request)
      return model.backend
    })

  readonly events: Handlers<EngineApi>['streams']['engine.events'] = (_, emit, { signal }) => {
    const { current } = this
    const now = current === null ? ({ kind: 'unloaded' } as const) : ({ kind: 'loaded', loaded: current.info } as const)
    return this.feed.subscribe(now, emit, signal)
  }

  memory(): Omit<EngineMemory, 'processRssBytes'> {
    if (this.current !== null) return this.current.model.memory()
    return { weightBytes: 0, bytesOfAllStates: 0, scratchBytes: 0, sessionCount: 0, bytesPerState: 0, place: 'system' }
  }

  /** Ends all sessions and threads; nothing when there is no model. */
  unload(): Promise<void> {
    return this.inTurn(() => this.free())
  }

  private async free(): Promise<void> {
    const { current } = this
    if (current === null) return
    this.current = null
    this.feed.tell({ kind: 'unloaded' })
    await current.dispose()
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.turn.then(work, work)
    this.turn = mine.catch(() => {})
    return mine
  }
}

/** An empty session's state file needs the hash and nothing else; the model keeps it. */
async function computeHash(model: LoadedModel): Promise<void> {
  const session = model.createSession()
  try {
    await session.serialize()
  } catch {
    // Unloaded meanwhile, or unreadable: whoever saves a state is told.
  } finally {
    session.dispose()
  }
}
