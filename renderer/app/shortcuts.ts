/** The window's keys. Nothing here deletes, and plain letters act only outside of text fields. */
import { useEffect, useRef } from 'react'
import { type ChatsStore, isReplying } from '../stores/chats.ts'
import { copyText } from '../ui/copy.tsx'
import type { Region } from './app.tsx'
import { strings } from './strings.ts'

const isMac = /Mac|iPhone|iPad/.test(navigator.platform)
const MOD = isMac ? '⌘' : 'Ctrl'

/** What the overview shows; the first combination of a row is the usual one. */
export const SHORTCUTS: readonly { keys: readonly string[]; label: string }[] = [
  { keys: ['Enter'], label: strings.shortcuts.send },
  { keys: ['Shift', 'Enter'], label: strings.shortcuts.newLine },
  { keys: ['Esc'], label: strings.shortcuts.stop },
  { keys: [MOD, 'Shift', 'O'], label: strings.shortcuts.newChat },
  { keys: ['/'], label: strings.shortcuts.focusComposer },
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
  /** null when no drawer is open. */
  closeDrawer: (() => void) | null
}

export function useShortcuts(targets: ShortcutTargets): void {
  const latest = useRef(targets)
  latest.current = targets
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.isComposing || document.querySelector('dialog[open]') !== null) return
      const action = find(event, latest.current)
      if (action === null) return
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
  if (mod && !event.shiftKey && key === 'b') return () => targets.toggle('chats')
  if (mod && !event.shiftKey && key === 'j') return () => targets.toggle('instruments')
  if (event.altKey && !mod && key === 'arrowup') return () => step(chats, -1)
  if (event.altKey && !mod && key === 'arrowdown') return () => step(chats, 1)
  if (mod || event.altKey || isTextField(event.target)) return null
  if (key === '/') return targets.focusComposer
  if (key === '?') return targets.showShortcuts
  return null
}

const newChat = (targets: ShortcutTargets) => () => {
  targets.chats.newChat()
  targets.focusComposer()
}

async function copyLastReply(chats: ChatsStore): Promise<void> {
  const reply = chats.state.getState().chat?.messages.findLast(message => message.role === 'assistant')
  if (reply !== undefined) await copyText(reply.content)
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
