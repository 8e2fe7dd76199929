/**
 * The search over all chats: what is typed, what the host found for it, and the message that is to be shown. The latest
 * question wins; an answer to an earlier one is dropped.
 */
import { createStore, type StoreApi } from 'zustand/vanilla'
import type { Found } from '../../contract/app/chats.ts'
import { type TernErrorData, toErrorData } from '../../contract/errors.ts'
import type { AppClient } from './connection.ts'

export interface FindState {
  /** null: nobody searches, the list shows all chats. */
  query: string | null
  /** null: nothing was asked for yet. */
  found: Found | null
  /** What `found` was found for. */
  foundFor: string
  failure: TernErrorData | null
  /** A message that the conversation goes to as soon as it is there. */
  target: { chatId: string; messageId: string } | null
}

export interface FindStore {
  state: StoreApi<FindState>
  open(): void
  close(): void
  setQuery(query: string): Promise<void>
  /** Asked for anew: chats have changed. */
  refresh(): Promise<void>
  goTo(chatId: string, messageId: string): void
  arrived(): void
}

const CLOSED: FindState = { query: null, found: null, foundFor: '', failure: null, target: null }

export function createFindStore(client: AppClient): FindStore {
  const state = createStore<FindState>(() => CLOSED)
  let asked = 0

  const ask = async () => {
    const { query } = state.getState()
    const turn = ++asked
    if (query === null || query.trim() === '') {
      state.setState({ found: null, foundFor: '', failure: null })
      return
    }
    try {
      const found = await client.call('chat.find', { text: query })
      if (turn === asked) state.setState({ found, foundFor: query, failure: null })
    } catch (error) {
      if (turn === asked) state.setState({ found: null, foundFor: query, failure: toErrorData(error) })
    }
  }

  return {
    state,
    open() {
      if (state.getState().query === null) state.setState({ query: '' })
    },
    close() {
      asked++
      state.setState({ ...CLOSED, target: state.getState().target })
    },
    async setQuery(query) {
      state.setState({ query: query.slice(0, MAX_QUERY_CHARACTERS) })
      await ask()
    },
    refresh: ask,
    goTo: (chatId, messageId) => state.setState({ target: { chatId, messageId } }),
    arrived: () => state.setState({ target: null }),
  }
}

/** As the contract has it. */
const MAX_QUERY_CHARACTERS = 1_000
