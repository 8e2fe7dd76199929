/** What the supervisor is asked to load, from what the user asked for at the start. */
import { basename, join } from 'node:path'
import type { BackendRequest } from '../../contract/words/backend.ts'
import type { ModelRequest } from './supervisor.ts'

/** The model that ships, below the app's own folder. */
export const EMBEDDED_MODEL_FILE = 'models/tern-98m-v2.gguf'

export interface ModelOptions extends Partial<BackendRequest> {
  /** GGUF file or Hugging Face folder; the embedded model by default. */
  modelPath?: string
}

/** What to load, and what can be loaded in its place. `appRoot`: the folder that holds `models/`. */
export function modelRequests(options: ModelOptions, appRoot: string) {
  const { modelPath: _, ...others } = options
  return { model: modelRequest(options, appRoot), embeddedModel: modelRequest(others, appRoot) }
}

function modelRequest(options: ModelOptions, appRoot: string): ModelRequest {
  const path = options.modelPath ?? join(appRoot, EMBEDDED_MODEL_FILE)
  const { threads, adapter, gpuMemoryBytes } = options
  return {
    path,
    name: basename(path),
    isEmbedded: options.modelPath === undefined,
    backend: options.backend ?? 'auto',
    ...(threads === undefined ? {} : { threads }),
    ...(adapter === undefined ? {} : { adapter }),
    ...(gpuMemoryBytes === undefined ? {} : { gpuMemoryBytes }),
  }
}
