/** All stores of a window, built on one connection, and how components reach them. */
import { createContext, use } from 'react'
import { useStore } from 'zustand'
import { type ChatFilesStore, createChatFilesStore } from '../stores/chat-files.ts'
import { type ChatsState, type ChatsStore, createChatsStore } from '../stores/chats.ts'
import { type Connection, type ConnectionState, createConnection, type Dial } from '../stores/connection.ts'
import { createEngineStore, type EngineState, type EngineStore } from '../stores/engine.ts'
import { createFindStore, type FindState, type FindStore } from '../stores/find.ts'
import type { Schedule } from '../stores/frame.ts'
import { createMemoryStore, type MemoryStore } from '../stores/memory.ts'
import { createNavigationStore, type NavigationState, type NavigationStore } from '../stores/navigation.ts'
import { createPowerStore, type PowerStore, type Visibility } from '../stores/power.ts'
import { createPreferencesStore, type Memo, type Preferences, type PreferencesStore } from '../stores/preferences.ts'
import { createStateFilesStore, type StateFilesState, type StateFilesStore } from '../stores/state-files.ts'
import { createStorageStore, type StorageState, type StorageStore } from '../stores/storage.ts'

export interface Stores {
  connection: Connection
  engine: EngineStore
  chats: ChatsStore
  files: ChatFilesStore
  find: FindStore
  memory: MemoryStore
  navigation: NavigationStore
  stateFiles: StateFilesStore
  power: PowerStore
  preferences: PreferencesStore
  storage: StorageStore
}

export interface StoresHost {
  dial: Dial
  schedule: Schedule
  /** Hands a file to the reader's system. */
  save(pieces: Uint8Array[], fileName: string, mediaType: string): void
  /** Whether the window is in sight. */
  visibility: Visibility
  /** Outlives the window: settings. */
  settingsMemo: Memo
  /** Outlives a reload of this window: drafts, the open chat. */
  windowMemo: Memo
}

export function createStores(host: StoresHost): Stores {
  const connection = createConnection(host.dial)
  const chats = createChatsStore(connection.client, host.schedule, host.windowMemo)
  return {
    connection,
    engine: createEngineStore(connection.client),
    chats,
    files: createChatFilesStore(connection.client, host.save),
    stateFiles: createStateFilesStore(connection.client, chatId => chats.open(chatId)),
    find: createFindStore(connection.client),
    memory: createMemoryStore(connection.client),
    navigation: createNavigationStore(),
    power: createPowerStore(connection.client, host.visibility),
    preferences: createPreferencesStore(host.settingsMemo),
    storage: createStorageStore(connection.client),
  }
}

export const StoresContext = createContext<Stores | null>(null)

export function useStores(): Stores {
  const stores = use(StoresContext)
  if (stores === null) throw new Error('useStores outside of StoresContext')
  return stores
}

/** Part of a store; the component draws again only when that part changes. */
export function useChats<T>(select: (state: ChatsState) => T): T {
  return useStore(useStores().chats.state, select)
}
export function useEngine<T>(select: (state: EngineState) => T): T {
  return useStore(useStores().engine.state, select)
}
export function useFind<T>(select: (state: FindState) => T): T {
  return useStore(useStores().find.state, select)
}
export function useStateFiles<T>(select: (state: StateFilesState) => T): T {
  return useStore(useStores().stateFiles.state, select)
}
export function useNavigation<T>(select: (state: NavigationState) => T): T {
  return useStore(useStores().navigation.state, select)
}
export function useStorage<T>(select: (state: StorageState) => T): T {
  return useStore(useStores().storage.state, select)
}
export function useConnection<T>(select: (state: ConnectionState) => T): T {
  return useStore(useStores().connection.state, select)
}
export function usePreferences<T>(select: (state: Preferences) => T): T {
  return useStore(useStores().preferences, select)
}
