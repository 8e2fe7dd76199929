/**
 * Chats as files: out by the browser's own download, in by a file that the reader chose, with a dry run before anything is
 * changed. It holds how that stands, and no chats.
 */
import { createStore, type StoreApi } from 'zustand/vanilla'
import { type ChatFileFormat, type ImportReport, MAX_PIECE_BYTES } from '../../contract/app/chat-files.ts'
import { type TernErrorData, toErrorData } from '../../contract/errors.ts'
import type { AppClient } from './connection.ts'

interface ChatFilesState {
  /** `reading`: on its way; `asking`: what it holds is shown; `taking`: its chats are taken in. */
  phase: 'idle' | 'reading' | 'asking' | 'taking' | 'done'
  fileName: string
  report: ImportReport | null
  failure: TernErrorData | null
}

/** What is used of a File. */
interface ChosenFile {
  readonly name: string
  readonly size: number
  slice(start: number, end: number): { arrayBuffer(): Promise<ArrayBuffer> }
}

export interface ChatFilesStore {
  state: StoreApi<ChatFilesState>
  /** `chatId` null: all. */
  export(chatId: string | null, format: ChatFileFormat): Promise<void>
  choose(file: ChosenFile): Promise<void>
  /** Takes in what was chosen and read. */
  take(): Promise<void>
  forget(): void
}

const IDLE: ChatFilesState = { phase: 'idle', fileName: '', report: null, failure: null }

/** `save`: hands a file to the reader's system. */
export function createChatFilesStore(
  client: AppClient,
  save: (pieces: Uint8Array[], fileName: string, mediaType: string) => void,
): ChatFilesStore {
  const state = createStore<ChatFilesState>(() => IDLE)
  let uploadId: string | null = null
  const fail = (error: unknown) => state.setState({ ...IDLE, failure: toErrorData(error) })

  return {
    state,
    async export(chatId, format) {
      const pieces: Uint8Array[] = []
      try {
        const { fileId, fileName, mediaType, pieceCount } = await client.call('files.export', { chatId, format })
        for (let index = 0; index < pieceCount; index++) {
          pieces.push(bytesOf(await client.call('files.piece', { fileId, index })))
        }
        save(pieces, fileName, mediaType)
      } catch (error) {
        fail(error)
      }
    },
    async choose(file) {
      state.setState({ ...IDLE, phase: 'reading', fileName: file.name })
      try {
        uploadId = await client.call('files.begin', undefined)
        for (let at = 0; at < file.size; at += MAX_PIECE_BYTES) {
          const piece = new Uint8Array(await file.slice(at, at + MAX_PIECE_BYTES).arrayBuffer())
          await client.call('files.add', { uploadId, piece: base64Of(piece) })
        }
        const report = await client.call('files.read', { uploadId })
        state.setState({ phase: 'asking', report })
      } catch (error) {
        fail(error)
      }
    },
    async take() {
      if (uploadId === null) return
      state.setState({ phase: 'taking' })
      try {
        const report = await client.call('files.import', { uploadId })
        state.setState({ phase: 'done', report })
      } catch (error) {
        fail(error)
      }
      uploadId = null
    },
    forget() {
      uploadId = null
      state.setState(IDLE)
    },
  }
}

const bytesOf = (base64: string): Uint8Array => Uint8Array.from(atob(base64), character => character.charCodeAt(0))

/** In runs that fit the arguments of one call. */
const RUN_BYTES = 0x8000

function base64Of(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += RUN_BYTES) {
    text += String.fromCharCode(...bytes.subarray(at, at + RUN_BYTES))
  }
  return btoa(text)
}
