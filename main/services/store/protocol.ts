/** What the host and the store's thread say to each other. */
import * as v from 'valibot'
import type { TernErrorData } from '../../../contract/errors.ts'
import type { ChatStore } from '../chats/ports.ts'
import type { Recovery } from './recovery.ts'

export const storeWorkerDataSchema = v.object({
  folder: v.string(),
  /** Of compressed states. */
  maxStateBytes: v.number(),
  /** Names files that are put aside. */
  stamp: v.string(),
  /** By the clock on the wall. */
  nowMs: v.number(),
})
export type StoreWorkerData = v.InferOutput<typeof storeWorkerDataSchema>

export type StoreMethod = keyof ChatStore | 'close'

export interface StoreRequest {
  id: number
  method: StoreMethod
  args: readonly unknown[]
}

export interface StoreOpened {
  kind: 'opened'
  /** What was saved of a damaged file; null: it was whole. */
  recovery: Recovery | null
}

export type StoreMessage =
  | StoreOpened
  | { kind: 'refused'; error: TernErrorData }
  | { kind: 'result'; id: number; result: unknown }
  | { kind: 'error'; id: number; error: TernErrorData }
