/** What the host says of where chats are kept. */
import { createStore, type StoreApi } from 'zustand/vanilla'
import type { Storage } from '../../contract/app/app.ts'
import type { AppClient } from './connection.ts'

export interface StorageState {
  /** null until the host has spoken. */
  storage: Storage | null
  /** The reader has seen what was recovered. */
  isRecoveryRead: boolean
}

export interface StorageStore {
  state: StoreApi<StorageState>
  /** Follows it until the returned function is called. */
  start(): () => void
  dismissRecovery(): void
}

export function createStorageStore(client: AppClient): StorageStore {
  const state = createStore<StorageState>(() => ({ storage: null, isRecoveryRead: false }))
  return {
    state,
    start() {
      const subscription = client.subscribe('app.storage', undefined, storage => state.setState({ storage }))
      return () => subscription.cancel()
    },
    dismissRecovery: () => state.setState({ isRecoveryRead: true }),
  }
}
