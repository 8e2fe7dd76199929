/** Conversations that are saved as files and begun from files. */
import { createStore, type StoreApi } from 'zustand/vanilla'
import { MAX_STATE_FILE_BYTES, type OpenedState } from '../../contract/app/states.ts'
import { type TernErrorData, toErrorData } from '../../contract/errors.ts'
import type { AppClient } from './connection.ts'

export interface StateFilesState {
  /** A file that the loaded model cannot go on from: the reader decides whether its text is read again. */
  misfit: (Extract<OpenedState, { kind: 'misfit' }> & { file: string }) | null
  /** What the last file was refused for. */
  failure: TernErrorData | null
}

/** As the browser hands it over. */
export interface DroppedFile {
  name: string
  size: number
  arrayBuffer(): Promise<ArrayBuffer>
}

export interface StateFilesStore {
  state: StoreApi<StateFilesState>
  /** The bytes of a file; null: it could not be made, and the window says why. */
  save(chatId: string, messageId: string): Promise<Uint8Array | null>
  /** Begins a chat from it, or asks. */
  open(file: DroppedFile): Promise<void>
  readAgain(): Promise<void>
  dismiss(): void
}

export function createStateFilesStore(client: AppClient, show: (chatId: string) => void): StateFilesStore {
  const state = createStore<StateFilesState>(() => ({ misfit: null, failure: null }))
  const fail = (thrown: unknown) => state.setState({ misfit: null, failure: toErrorData(thrown) })
  const open = async (file: string, readAgain: boolean) => {
    try {
      const opened = await client.call('states.open', { state: file, readAgain })
      state.setState({ misfit: opened.kind === 'misfit' ? { ...opened, file } : null, failure: null })
      if (opened.kind === 'opened') show(opened.chatId)
    } catch (thrown) {
      fail(thrown)
    }
  }
  return {
    state,
    async save(chatId, messageId) {
      try {
        const file = await client.call('states.save', { chatId, messageId })
        return Uint8Array.from(atob(file), character => character.charCodeAt(0))
      } catch (thrown) {
        fail(thrown)
        return null
      }
    },
    async open(file) {
      if (file.size > MAX_STATE_FILE_BYTES) {
        state.setState({
          misfit: null,
          failure: {
            code: 'state-corrupt',
            message: 'This file is too large to be a state.',
            expected: `at most ${MAX_STATE_FILE_BYTES} bytes`,
            actual: `${file.size} bytes`,
          },
        })
        return
      }
      await open(base64Of(new Uint8Array(await file.arrayBuffer())), false)
    },
    async readAgain() {
      const { misfit } = state.getState()
      if (misfit !== null) await open(misfit.file, true)
    },
    dismiss: () => state.setState({ misfit: null, failure: null }),
  }
}

function base64Of(bytes: Uint8Array): string {
  // In parts: a call takes so many arguments and no more.
  let characters = ''
  for (let at = 0; at < bytes.length; at += 8192) characters += String.fromCharCode(...bytes.subarray(at, at + 8192))
  return btoa(characters)
}
