/** The chats on the disk, for the host: a ChatStore whose work is done by a thread of its own. */
import { Worker } from 'node:worker_threads'
import { TernError } from '../../../contract/errors.ts'
import type { ChatStore } from '../chats/ports.ts'
import type { StoreMessage, StoreMethod, StoreRequest, StoreWorkerData } from './protocol.ts'
import type { Recovery } from './recovery.ts'

/** Of all states, compressed, until the user says something else. */
const MAX_STATE_BYTES = 512 * 2 ** 20

export interface DiskChatStore extends ChatStore {
  /** What was saved of a damaged file at the start; null: it was whole. */
  readonly recovery: Recovery | null
  /** Everything asked for is in the files, and they are closed. */
  close(): Promise<void>
}

export interface DiskChatStoreOptions {
  /** Exists. */
  folder: string
  maxStateBytes?: number
  /** For the names of files that are put aside. */
  stamp: string
  /** By the clock on the wall: how long ago the files were checked. */
  nowMs: number
  /** The store's thread, where it is bundled. */
  workerUrl?: URL
}

/** Throws a TernError: `store-busy`, `store-unavailable`, `disk-full`. */
export async function openDiskChatStore(options: DiskChatStoreOptions): Promise<DiskChatStore> {
  const { folder, maxStateBytes = MAX_STATE_BYTES, stamp, nowMs } = options
  const workerUrl = options.workerUrl ?? new URL('./worker.ts', import.meta.url)
  const workerData: StoreWorkerData = { folder, maxStateBytes, stamp, nowMs }
  const worker = new Worker(workerUrl, { workerData })
  const calls = new Map<number, { resolve(result: unknown): void; reject(error: unknown): void }>()
  let ended: TernError | null = null
  let nextId = 1

  const end = (error: TernError): void => {
    ended = error
    for (const { reject } of calls.values()) reject(error)
    calls.clear()
  }
  const opened = new Promise<Recovery | null>((resolve, reject) => {
    worker.on('message', (message: StoreMessage) => {
      if (message.kind === 'opened') return resolve(message.recovery)
      if (message.kind === 'refused') return reject(new TernError(message.error))
      const call = calls.get(message.id)
      calls.delete(message.id)
      if (message.kind === 'result') call?.resolve(message.result)
      else call?.reject(new TernError(message.error))
    })
    worker.on('error', cause => {
      reject(threadLost(cause))
      end(threadLost(cause))
    })
    worker.on('exit', () => end(ended ?? threadLost('it ended')))
  })
  const recovery = await opened

  const call = (method: StoreMethod, args: readonly unknown[]): Promise<unknown> => {
    if (ended !== null) return Promise.reject(ended)
    return new Promise((resolve, reject) => {
      const id = nextId++
      calls.set(id, { resolve, reject })
      worker.postMessage({ id, method, args } satisfies StoreRequest)
    })
  }
  const remote = <Method extends keyof ChatStore>(method: Method): ChatStore[Method] =>
    ((...args: unknown[]) => call(method, args)) as ChatStore[Method]

  return {
    recovery,
    list: remote('list'),
    open: remote('open'),
    addChat: remote('addChat'),
    setChat: remote('setChat'),
    addMessages: remote('addMessages'),
    setMessage: remote('setMessage'),
    appendText: remote('appendText'),
    removeMessages: remote('removeMessages'),
    find: remote('find'),
    purge: remote('purge'),
    putSnapshot: remote('putSnapshot'),
    getSnapshot: remote('getSnapshot'),
    snapshotModels: remote('snapshotModels'),
    deleteSnapshot: remote('deleteSnapshot'),
    stateUse: remote('stateUse'),
    setStateBudget: remote('setStateBudget'),
    async close() {
      if (ended !== null) return
      await call('close', [])
      ended = closed()
      await worker.terminate()
    },
  }
}

const closed = () =>
  new TernError({ code: 'store-unavailable', message: 'Tern is closing.', remedy: 'Start it again.' })
const threadLost = (cause: unknown) =>
  new TernError({
    code: 'store-unavailable',
    message: 'Chats are not saved any more: what saves them has ended.',
    actual: String(cause),
    remedy: 'Copy what you want to keep and start Tern again.',
  })
