/** Which page the window shows: the conversation, or one of the places at the foot of the list of chats. */
import { createStore, type StoreApi } from 'zustand/vanilla'

/** Beside the conversation, in the order of their rows. */
export const SIDE_PLACES = ['settings'] as const
export type SidePlace = (typeof SIDE_PLACES)[number]
export type Place = 'chat' | SidePlace

export interface NavigationState {
  place: Place
}

export interface NavigationStore {
  state: StoreApi<NavigationState>
  go(place: Place): void
}

export function createNavigationStore(): NavigationStore {
  const state = createStore<NavigationState>(() => ({ place: 'chat' }))
  return {
    state,
    go(place) {
      if (state.getState().place !== place) state.setState({ place })
    },
  }
}
