/**
 * Every chat has an address and a title: the browser's Back leads to the chat before, and a tab tells which chat it shows
 * and how that stands. The address holds the chat's id after "#/chat/", nothing of its text.
 */
import type { ChatsStore } from '../stores/chats.ts'
import { isReplying, isShownTemporary } from '../stores/chats.ts'
import type { Connection } from '../stores/connection.ts'
import { type NavigationStore, type Place, SIDE_PLACES } from '../stores/navigation.ts'
import { shownTitle } from '../ui/chat-title.ts'
import { strings } from './strings.ts'

const ROUTE = /^#\/chat\/([\w-]+)$/

export const chatIdOf = (hash: string): string | null => ROUTE.exec(hash)?.[1] ?? null
export const hashOf = (chatId: string | null): string => (chatId === null ? '#/' : `#/chat/${chatId}`)

const placeOf = (hash: string): Place => SIDE_PLACES.find(place => hash === `#/${place}`) ?? 'chat'

/** What is used of the window. */
export interface AddressBar {
  location: { hash: string }
  history: {
    pushState(state: null, unused: string, url: string): void
    replaceState: AddressBar['history']['pushState']
  }
  addEventListener(type: 'popstate', listener: () => void): void
}

/** Opens what the address names, and keeps the two in step from then on. */
export function followAddress(chats: ChatsStore, navigation: NavigationStore, bar: AddressBar): void {
  const named = chatIdOf(bar.location.hash)
  if (named !== null) chats.open(named)
  navigation.go(placeOf(bar.location.hash))
  let shown = chats.state.getState().currentId
  const hashOfPlace = () => {
    const { place } = navigation.state.getState()
    return place === 'chat' ? hashOf(shown) : `#/${place}`
  }
  bar.history.replaceState(null, '', hashOfPlace())
  navigation.state.subscribe(() => {
    if (bar.location.hash !== hashOfPlace()) bar.history.pushState(null, '', hashOfPlace())
  })
  chats.state.subscribe(({ currentId }) => {
    if (currentId === shown) return
    const isFirstMessage = shown === null && chats.state.getState().sending
    shown = currentId
    navigation.go('chat')
    if (chatIdOf(bar.location.hash) === currentId) return
    // A new chat that gets its id is the same place.
    if (isFirstMessage) bar.history.replaceState(null, '', hashOf(currentId))
    else bar.history.pushState(null, '', hashOf(currentId))
  })
  bar.addEventListener('popstate', () => {
    const { hash } = bar.location
    navigation.go(placeOf(hash))
    if (placeOf(hash) !== 'chat') return
    const chatId = chatIdOf(hash)
    if (chatId === null) chats.newChat()
    else chats.open(chatId)
  })
}

/** The tab's title: how the chat stands, its own title, the app. */
export function followTitle(chats: ChatsStore, connection: Connection, show: (title: string) => void): void {
  let before = ''
  const tell = () => {
    const state = chats.state.getState()
    const words = strings.tab
    const mark = connection.state.getState().phase === 'lost' ? words.lost : isReplying(state) ? words.replying : ''
    // A browser writes titles into its history.
    const name = isShownTemporary(state)
      ? `${strings.temporary.title} · `
      : state.currentId === null
        ? ''
        : `${shownTitle(state.chat?.title || state.summaries?.find(({ id }) => id === state.currentId)?.title || '')} · `
    const title = `${mark}${name}${strings.app.name}`
    if (title !== before) show(title)
    before = title
  }
  chats.state.subscribe(tell)
  connection.state.subscribe(tell)
  tell()
}
