/** The window's keys. Nothing here deletes, and plain letters act only outside of text fields. */
import { useEffect, useRef } from 'react'
import { drawMessagesFrom } from '../features/chat/drawn-messages.ts'
import { scrollConversation, selectConversation } from '../features/chat/scroll-keys.ts'
import { type ChatsStore, isReplying } from '../stores/chats.ts'
import { announce } from '../ui/announce.ts'
import { copyText } from '../ui/copy.tsx'
import { isOfInputMethod } from '../ui/input-method.ts'
import type { Region } from './app.tsx'
import { strings } from './strings.ts'

const isMac = /Mac|iPhone|iPad/.test(navigator.platform)
const MOD = isMac ? '⌘' : 'Ctrl'

/** What the overview shows; the first combination of a row is the usual one. */
export const shortcutRows = (): readonly { keys: readonly string[]; label: string }[] => [
  { keys: ['Enter'], label: strings.shortcuts.send },
  { keys: ['Shift', 'Enter'], label: strings.shortcuts.newLine },
  { keys: ['Esc'], label: strings.shortcuts.stop },
  { keys: [MOD, 'Shift', 'O'], label: strings.shortcuts.newChat },
  { keys: ['/'], label: strings.shortcuts.focusComposer },
  { keys: [MOD, 'Shift', 'F'], label: strings.shortcuts.searchChats },
  { keys: [MOD, 'F'], label: strings.shortcuts.findInChat },
  { keys: [MOD, 'Shift', 'C'], label: strings.shortcuts.copyLast },
  { keys: ['Alt', '↑'], label: strings.shortcuts.previousChat },
  { keys: ['Alt', '↓'], label: strings.shortcuts.nextChat },
  { keys: [MOD, 'B'], label: strings.shortcuts.toggleChats },
  { keys: [MOD, 'J'], label: strings.shortcuts.toggleInstruments },
  { keys: ['?'], label: strings.shortcuts.overview },
]

interface ShortcutTargets {
  chats: ChatsStore
  focusComposer(): void
  toggle(region: Region): void
  showShortcuts(): void
  searchChats(): void
  findInChat(): void
  /** null when no drawer is open. */
  closeDrawer: (() => void) | null
}

export function useShortcuts(targets: ShortcutTargets): void {
  const latest = useRef(targets)
  latest.current = targets
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.defaultPrevented || isOfInputMethod(event) || document.querySelector('dialog[open]') !== null) return
      const action = find(event, latest.current)
      if (action === null) {
        if (scrollsConversation(event) && scrollConversation(event.key)) event.preventDefault()
        return
      }
      event.preventDefault()
      action()
    }
    window.addEventListener('keydown', onKeyDown)
    return () => window.removeEventListener('keydown', onKeyDown)
  }, [])
}

function find(event: KeyboardEvent, targets: ShortcutTargets): (() => void) | null {
  const { chats } = targets
  const mod = isMac ? event.metaKey : event.ctrlKey
  const key = event.key.toLowerCase()
  if (key === 'escape') {
    if (targets.closeDrawer !== null) return targets.closeDrawer
    return isReplying(chats.state.getState()) ? () => void chats.stop() : null
  }
  if (mod && event.shiftKey && key === 'o') return newChat(targets)
  // Browsers keep this combination to themselves; in the desktop window it arrives.
  if (mod && !event.shiftKey && key === 'n') return newChat(targets)
  if (mod && event.shiftKey && key === 'c') return () => void copyLastReply(chats)
  if (mod && event.shiftKey && key === 'f') return targets.searchChats
  if (mod && !event.shiftKey && !event.altKey && key === 'f') return targets.findInChat
  if (mod && !event.shiftKey && key === 'b') return () => targets.toggle('chats')
  if (mod && !event.shiftKey && key === 'j') return () => targets.toggle('instruments')
  if (event.altKey && !mod && key === 'arrowup') return () => step(chats, -1)
  if (event.altKey && !mod && key === 'arrowdown') return () => step(chats, 1)
  if (isTextField(event.target)) return null
  if (mod && !event.shiftKey && !event.altKey && key === 'a') return document.querySelector('.messages') && selectAll
  if (mod || event.altKey) return null
  if (key === '/') return targets.focusComposer
  if (key === '?') return targets.showShortcuts
  return null
}

const selectAll = () => {
  drawMessagesFrom(0)
  selectConversation()
}

const FAR_KEYS = new Set(['PageUp', 'PageDown', 'Home', 'End'])
/** In these the browser scrolls, or the keys have a meaning of their own. */
const OWN_KEYS = '.conversation-scroller, .chats-list, .instruments, dialog'

/** Keys that nothing has: those on the page itself, and the far ones from controls and from a text field without text. */
function scrollsConversation({ target, key, ctrlKey, metaKey, altKey, shiftKey }: KeyboardEvent): boolean {
  if (ctrlKey || metaKey || altKey || shiftKey) return false
  if (target === document.body) return true
  if (!FAR_KEYS.has(key) || !(target instanceof Element) || target.closest(OWN_KEYS) !== null) return false
  return !isTextField(target) || (target instanceof HTMLTextAreaElement && target.value === '')
}

const newChat = (targets: ShortcutTargets) => () => {
  targets.chats.newChat()
  targets.focusComposer()
}

async function copyLastReply(chats: ChatsStore): Promise<void> {
  const reply = chats.state.getState().chat?.messages.findLast(message => message.role === 'assistant')
  if (reply === undefined || reply.content === '') return announce(strings.announce.nothingToCopy)
  // The button answers to the eye as well; while the reply grows there is none.
  const button = [...document.querySelectorAll<HTMLButtonElement>('[data-copies="reply"]')].at(-1)
  if (button?.closest('.reply')?.getAttribute('data-message') === reply.id) return button.click()
  announce((await copyText(reply.content)) ? strings.reply.copied : strings.reply.copyFailed)
}

function step(chats: ChatsStore, by: -1 | 1): void {
  const { summaries, currentId } = chats.state.getState()
  if (summaries === null || summaries.length === 0) return
  const at = summaries.findIndex(summary => summary.id === currentId)
  const to = at === -1 ? 0 : at + by
  if (to >= 0 && to < summaries.length) chats.open(summaries[to].id)
}

const isTextField = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName))
