/** The local API without a window, in a plain Node process. */
import { fileURLToPath } from 'node:url'
import { type ApiHost, type ApiHostOptions, startApiHost } from '../host/api-host.ts'
import { engineChild } from '../host/engine-child.ts'
import { type ModelOptions, modelRequests } from '../host/model-request.ts'

const APP_ROOT = fileURLToPath(new URL('../..', import.meta.url))
const ENGINE_ENTRY = fileURLToPath(new URL('../engine-process/entry.ts', import.meta.url))

export interface ApiOptions extends ModelOptions, Pick<ApiHostOptions, 'port' | 'token' | 'origins'> {}

/** Throws `invalid-argument` when the port cannot be had. */
export const startApi = ({ port, token, origins, ...model }: ApiOptions): Promise<ApiHost> =>
  startApiHost({
    spawnEngine: engineChild({ nodePath: process.execPath, entry: ENGINE_ENTRY }),
    model: modelRequests(model, APP_ROOT).model,
    port,
    ...(token === undefined ? {} : { token }),
    origins,
  })
