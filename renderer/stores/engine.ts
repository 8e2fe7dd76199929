/** What the host says of the engine and of itself. It does not decide anything: the host's state machine does. */
import { createStore, type StoreApi } from 'zustand/vanilla'
import type { AppInfo } from '../../contract/app/app.ts'
import type { EngineStatus } from '../../contract/app/engine.ts'
import { type TernErrorData, toErrorData } from '../../contract/errors.ts'
import type { LoadedModel } from '../../contract/words/model.ts'
import type { AppClient } from './connection.ts'

export interface EngineState {
  /** null until the host has spoken. */
  status: EngineStatus | null
  /** The model last seen ready: its name stays on show while the engine restarts. */
  lastLoaded: LoadedModel | null
  info: AppInfo | null
  retryError: TernErrorData | null
}

export interface EngineStore {
  state: StoreApi<EngineState>
  /** Follows the engine until the returned function is called. */
  start(): () => void
  /** After 'failed': starts the engine again. */
  retry(): Promise<void>
  /** After 'failed' of another model: loads the one that comes with Tern. */
  useEmbedded(): Promise<void>
}

export function createEngineStore(client: AppClient): EngineStore {
  const state = createStore<EngineState>(() => ({ status: null, lastLoaded: null, info: null, retryError: null }))

  const attempt = async (call: () => Promise<unknown>) => {
    state.setState({ retryError: null })
    try {
      await call()
    } catch (error) {
      state.setState({ retryError: toErrorData(error) })
    }
  }

  return {
    state,

    start() {
      const subscription = client.subscribe('engine.status', undefined, status => {
        state.setState(status.phase === 'ready' ? { status, lastLoaded: status.loaded } : { status })
        if (state.getState().info !== null) return
        // The line is certainly open now; a failure here costs only the version in the About line.
        client.call('app.info', undefined).then(
          info => state.setState({ info }),
          () => {},
        )
      })
      return () => subscription.cancel()
    },

    retry: () => attempt(() => client.call('engine.retry', undefined)),
    useEmbedded: () => attempt(() => client.call('engine.useEmbedded', undefined)),
  }
}
