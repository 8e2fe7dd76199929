/** What the API needs of others. */
import type { EngineApi } from '../../../contract/engine-api.ts'
import type { AbortSignalLike, Client } from '../../../contract/rpc.ts'

/** The loaded model in one life of the engine process: sessions live and die with it. */
export interface ApiEngine {
  readonly client: Client<EngineApi>
}

export interface ApiEngineAccess {
  whenReady(signal?: AbortSignalLike): Promise<ApiEngine>
  /** The loaded model's name; null: none is. */
  modelName(): string | null
}
