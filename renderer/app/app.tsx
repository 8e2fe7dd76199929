/** The window: three regions that fold (chats, conversation, instruments), the keyboard, and spoken status. */
import { type MouseEvent, type RefObject, useEffect, useLayoutEffect, useRef, useState } from 'react'
import { Comparison } from '../features/branches/comparison.tsx'
import { Announcer } from '../features/chat/announcer.tsx'
import { ChatList } from '../features/chat/chat-list.tsx'
import { Composer } from '../features/chat/composer.tsx'
import { Conversation } from '../features/chat/conversation.tsx'
import { focusComposer } from '../features/chat/focus-composer.ts'
import { ConnectionBanner, EngineBanner } from '../features/engine/banners.tsx'
import { StateFileBanner } from '../features/files/state-file-banner.tsx'
import { FindBar } from '../features/find/find-bar.tsx'
import { StorageBanner } from '../features/storage/storage-banner.tsx'
import { Instruments } from '../features/telemetry/instruments.tsx'
import { useMedia } from '../ui/use-media.ts'
import { keepFocus } from './focus-keeper.ts'
import { Header } from './header.tsx'
import { placeRow } from './places.tsx'
import { useShortcuts } from './shortcuts.ts'
import { ShortcutsDialog } from './shortcuts-dialog.tsx'
import { useChats, useNavigation, usePreferences, useStores } from './stores.ts'
import { strings } from './strings.ts'

export type Region = 'chats' | 'instruments'

/** Below these widths a side region is a drawer over the conversation. */
const DRAWER_QUERY: Record<Region, string> = {
  chats: '(max-width: 47.5rem)',
  instruments: '(max-width: 68rem)',
}

/** Side regions are remembered on wide windows; on narrow ones they are drawers, closed at first. */
function useRegions() {
  const { preferences } = useStores()
  const { chatsOpen, instrumentsOpen } = usePreferences(state => state)
  const isDrawer = { chats: useMedia(DRAWER_QUERY.chats), instruments: useMedia(DRAWER_QUERY.instruments) }
  const [drawer, setDrawer] = useState<Region | null>(null)
  const isOpen = {
    chats: isDrawer.chats ? drawer === 'chats' : chatsOpen,
    instruments: isDrawer.instruments ? drawer === 'instruments' : instrumentsOpen,
  }
  return {
    isOpen,
    isDrawer,
    /** A region that covers the conversation now. */
    drawer: drawer !== null && isDrawer[drawer] ? drawer : null,
    closeDrawer: () => setDrawer(null),
    toggle(region: Region) {
      if (isDrawer[region]) setDrawer(drawer === region ? null : region)
      else if (region === 'chats') preferences.setState({ chatsOpen: !chatsOpen })
      else preferences.setState({ instrumentsOpen: !instrumentsOpen })
    },
  }
}

/** Where it is already, or when the next frame has brought it. */
function focusSearch(selector: string): void {
  requestAnimationFrame(() => document.querySelector<HTMLInputElement>(selector)?.select())
}

/** The conversation; in its place, while replies are compared, all of them; or the page of another place. */
function Centre({ composer }: { composer: RefObject<HTMLTextAreaElement | null> }) {
  const row = placeRow(useNavigation(state => state.place))
  const comparison = useChats(state => state.chat?.comparison ?? null)
  if (row !== null) return <row.Page />
  if (comparison !== null) return <Comparison comparison={comparison} />
  return (
    <>
      <Conversation />
      <Composer inputRef={composer} />
    </>
  )
}

export function App() {
  const regions = useRegions()
  const composer = useRef<HTMLTextAreaElement>(null)
  const [showShortcuts, setShowShortcuts] = useState(false)
  const [isFinding, setFinding] = useState(false)
  const { chats, find, navigation } = useStores()
  const place = useNavigation(state => state.place)

  const goToComposer = () => {
    navigation.go('chat')
    // The message box is back when the next frame is drawn.
    if (composer.current === null) requestAnimationFrame(focusComposer)
    else composer.current.focus()
  }
  const pickChat = () => {
    navigation.go('chat')
    regions.closeDrawer()
  }
  const skipToComposer = (event: MouseEvent) => {
    event.preventDefault()
    goToComposer()
  }
  useShortcuts({
    chats,
    focusComposer: goToComposer,
    toggle: regions.toggle,
    showShortcuts: () => setShowShortcuts(true),
    searchChats: () => {
      if (!regions.isOpen.chats) regions.toggle('chats')
      find.open()
      focusSearch('.chat-search-field input')
    },
    findInChat: () => {
      navigation.go('chat')
      setFinding(true)
      focusSearch('.find-bar input')
    },
    closeDrawer: regions.drawer === null ? null : regions.closeDrawer,
  })
  // The focus was in the drawer: it goes back to what opened it, unless the choice there led elsewhere.
  const drawerBefore = useRef(regions.drawer)
  useLayoutEffect(() => {
    const before = drawerBefore.current
    drawerBefore.current = regions.drawer
    if (before === null || regions.drawer !== null || document.activeElement !== document.body) return
    document.querySelector<HTMLElement>(`[data-toggles="${before}"]`)?.focus()
  }, [regions.drawer])
  useEffect(() => keepFocus(document.body), [])
  // Whoever opens a chat wants to write in it.
  useEffect(() => {
    let before = chats.state.getState().currentId
    return chats.state.subscribe(({ currentId }) => {
      if (currentId === before) return
      before = currentId
      focusComposer()
    })
  }, [chats])

  return (
    <div
      className="app"
      data-chats={regions.isOpen.chats}
      data-instruments={regions.isOpen.instruments && place === 'chat'}
    >
      {place === 'chat' ? (
        // biome-ignore lint/a11y/useValidAnchor: it leads to a place on this page
        <a className="skip-link" href="#composer" onClick={skipToComposer} inert={regions.drawer !== null}>
          {strings.app.skipToComposer}
        </a>
      ) : null}
      {regions.isOpen.chats ? (
        <ChatList
          onPick={pickChat}
          onPlace={regions.closeDrawer}
          onClose={regions.isDrawer.chats ? regions.closeDrawer : null}
          inert={regions.drawer === 'instruments'}
        />
      ) : null}
      <div className="centre" inert={regions.drawer !== null}>
        <Header isOpen={regions.isOpen} onToggle={regions.toggle} onShowShortcuts={() => setShowShortcuts(true)} />
        <ConnectionBanner />
        <EngineBanner />
        <StorageBanner />
        <StateFileBanner />
        <main className="main" aria-label={placeRow(place)?.label() ?? strings.conversation.region}>
          {isFinding && place === 'chat' ? <FindBar onClose={() => setFinding(false)} /> : null}
          <Centre composer={composer} />
        </main>
      </div>
      {regions.isOpen.instruments && place === 'chat' ? (
        <Instruments onClose={regions.isDrawer.instruments ? regions.closeDrawer : null} />
      ) : null}
      {regions.drawer === null ? null : (
        <button
          type="button"
          className="scrim"
          onClick={regions.closeDrawer}
          aria-label={regions.drawer === 'chats' ? strings.header.hideChats : strings.header.hideInstruments}
        />
      )}
      <ShortcutsDialog open={showShortcuts} onClose={() => setShowShortcuts(false)} />
      <Announcer />
    </div>
  )
}
