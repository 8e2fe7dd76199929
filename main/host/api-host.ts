/** The local API without a window: an engine process under its supervisor, and the server over it. */
import { randomBytes } from 'node:crypto'
import { newId } from '../ids.ts'
import { type ApiServer, startApiServer } from '../services/api/api-server.ts'
import { systemTime } from '../time.ts'
import { createSupervisor, type ModelRequest, type SpawnEngineProcess } from './supervisor.ts'

export interface ApiHostOptions {
  spawnEngine: SpawnEngineProcess
  model: ModelRequest
  /** 0: any free one. */
  port: number
  /** null: anybody on this machine may ask; left out: a new one is drawn. */
  token?: string | null
  origins: readonly string[]
}

export interface ApiHost {
  readonly url: string
  readonly token: string | null
  /** Rejects when the model cannot be loaded. */
  ready(): Promise<unknown>
  close(): Promise<void>
}

/** Throws `invalid-argument` when the port cannot be had. */
export async function startApiHost(options: ApiHostOptions): Promise<ApiHost> {
  const token = options.token === undefined ? `tern-${randomBytes(24).toString('base64url')}` : options.token
  const supervisor = createSupervisor(options.spawnEngine, options.model)
  let server: ApiServer
  try {
    server = await startApiServer({
      engine: {
        whenReady: signal => supervisor.whenReady(signal),
        modelName: () => (supervisor.status.phase === 'ready' ? supervisor.status.loaded.model.name : null),
      },
      time: systemTime,
      newId,
      port: options.port,
      token,
      origins: options.origins,
    })
  } catch (error) {
    await supervisor.stop()
    throw error
  }
  return {
    url: server.url,
    token,
    ready: () => supervisor.whenReady(),
    async close() {
      await server.close()
      await supervisor.stop()
    },
  }
}
