/** Where the host keeps chats: the data folder, or memory when that cannot be used, with the reason. */
import type { Storage } from '../../contract/app/app.ts'
import { TernError, type TernErrorData, toErrorData } from '../../contract/errors.ts'
import type { AbortSignalLike } from '../../contract/rpc.ts'
import { createMemoryChatStore } from '../services/chats/memory-chat-store.ts'
import type { ChatStore } from '../services/chats/ports.ts'
import { dataFolder, makeDataFolder } from '../services/store/data-folder.ts'
import { openDiskChatStore } from '../services/store/disk-chat-store.ts'

export interface AppStorage {
  readonly chats: ChatStore
  /** How it stands, then every change, until the signal fires. */
  watch(emit: (storage: Storage) => void, signal: AbortSignalLike): Promise<void>
  /** What the store has just refused; null: it works again. */
  report(problem: TernErrorData | null): void
  /** Everything is written. */
  close(): Promise<void>
}

export interface AppStorageOptions {
  /** The system's place, or TERN_HOME, by default. */
  folder?: string
  /** The store's thread, where it is bundled. */
  workerUrl?: URL
  /** Names files that are put aside. */
  stamp?: string
}

/** Never rejects: without a folder chats are kept in memory, and the window says why. */
export async function openAppStorage(options: AppStorageOptions = {}): Promise<AppStorage> {
  const folder = options.folder ?? dataFolder()
  const stamp = options.stamp ?? new Date().toISOString().replaceAll(/[:.]/g, '-')
  const { workerUrl } = options
  try {
    await makeDataFolder(folder)
    const store = await openDiskChatStore({
      folder,
      stamp,
      nowMs: Date.now(),
      ...(workerUrl === undefined ? {} : { workerUrl }),
    })
    return appStorage(store, { path: folder, problem: null, recovery: store.recovery }, () => store.close())
  } catch (thrown) {
    const error = thrown instanceof TernError ? toErrorData(thrown) : unusable(folder, thrown)
    return memoryStorage(error)
  }
}

/** Chats that end with the host. */
const memoryStorage = (problem: TernErrorData | null = null): AppStorage =>
  appStorage(createMemoryChatStore(), { path: null, problem, recovery: null }, async () => {})

const unusable = (folder: string, thrown: unknown): TernErrorData => ({
  code: 'store-unavailable',
  message: 'The folder of your chats cannot be used.',
  actual: `${folder}: ${thrown instanceof Error ? thrown.message : String(thrown)}`,
  remedy: 'Check the disk and the rights of this folder, or name another in the variable TERN_HOME.',
})

function appStorage(chats: ChatStore, start: Storage, close: () => Promise<void>): AppStorage {
  let now = start
  const watchers = new Set<(storage: Storage) => void>()
  return {
    chats,
    close,
    report(problem) {
      // Memory has said already that nothing is kept.
      if (now.path === null) return
      now = { ...now, problem }
      for (const tell of [...watchers]) tell(now)
    },
    async watch(emit, signal) {
      if (signal.aborted) return
      emit(now)
      watchers.add(emit)
      await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()))
      watchers.delete(emit)
    },
  }
}
