/** A button with a menu of actions: arrows move, Escape and a click elsewhere close it, and the focus goes back. */
import { type KeyboardEvent, useEffect, useId, useRef, useState } from 'react'
import { createPortal } from 'react-dom'
import { IconButton } from './icon-button.tsx'
import { Icon, type IconName } from './icons.tsx'

export interface MenuItem {
  icon: IconName
  label: string
  /** Why it cannot be done now; null: it can. */
  obstacle: string | null
  onPick(): void
}

interface MenuProps {
  /** Of the button and of the menu. */
  label: string
  items: readonly MenuItem[]
  icon?: IconName
}

/** Of the menu from the button, in CSS pixels. */
const GAP = 4
const EDGE = 8

export function Menu({ label, items, icon = 'more' }: MenuProps) {
  const [isOpen, setOpen] = useState(false)
  const button = useRef<HTMLDivElement>(null)
  const id = useId()
  const focusButton = () => button.current?.querySelector('button')?.focus()
  const close = () => {
    setOpen(false)
    focusButton()
  }
  return (
    <div className="menu-anchor" ref={button}>
      <IconButton
        icon={icon}
        label={label}
        aria-haspopup="menu"
        aria-expanded={isOpen}
        aria-controls={isOpen ? id : undefined}
        onClick={() => setOpen(!isOpen)}
      />
      {isOpen ? (
        <MenuList
          id={id}
          label={label}
          items={items}
          anchor={() => button.current}
          onClose={close}
          onLeave={() => setOpen(false)}
        />
      ) : null}
    </div>
  )
}

interface MenuListProps {
  id: string
  label: string
  items: readonly MenuItem[]
  anchor: () => HTMLElement | null
  /** The focus goes back to the button. */
  onClose(): void
  /** It has gone elsewhere. */
  onLeave(): void
}

function MenuList({ id, label, items, anchor, onClose, onLeave }: MenuListProps) {
  const list = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const element = list.current
    const rect = anchor()?.getBoundingClientRect()
    if (element === null || rect === undefined) return
    const { width, height } = element.getBoundingClientRect()
    const isBelow = rect.bottom + GAP + height <= window.innerHeight - EDGE
    element.style.left = `${Math.max(EDGE, Math.min(rect.left, window.innerWidth - width - EDGE))}px`
    element.style.top = `${isBelow ? rect.bottom + GAP : Math.max(EDGE, rect.top - GAP - height)}px`
    element.querySelector<HTMLElement>('[role="menuitem"]')?.focus()
  }, [anchor])
  useEffect(() => {
    const leave = (event: Event) => {
      if (event.target instanceof Node && list.current?.contains(event.target)) return
      onLeave()
    }
    // What lies below scrolls away from it.
    const events = ['pointerdown', 'wheel', 'resize', 'blur'] as const
    for (const name of events) window.addEventListener(name, leave)
    return () => {
      for (const name of events) window.removeEventListener(name, leave)
    }
  }, [onLeave])

  const onKeyDown = (event: KeyboardEvent) => {
    const entries = [...(list.current?.querySelectorAll<HTMLElement>('[role="menuitem"]') ?? [])]
    const at = entries.indexOf(document.activeElement as HTMLElement)
    const to = targetOf(event.key, at, entries)
    // Keys mean nothing else while it is open.
    event.stopPropagation()
    if (event.key === 'Tab') return onLeave()
    if (event.key === 'Escape') {
      event.preventDefault()
      event.nativeEvent.stopImmediatePropagation()
      return onClose()
    }
    if (to === null) return
    event.preventDefault()
    to.focus()
  }
  return createPortal(
    <div className="menu" id={id} role="menu" tabIndex={-1} aria-label={label} ref={list} onKeyDown={onKeyDown}>
      {items.map(item => (
        <button
          key={item.label}
          type="button"
          role="menuitem"
          tabIndex={-1}
          aria-disabled={item.obstacle !== null}
          title={item.obstacle ?? undefined}
          onClick={() => {
            if (item.obstacle !== null) return
            onClose()
            item.onPick()
          }}
        >
          <Icon name={item.icon} />
          {item.label}
        </button>
      ))}
    </div>,
    // Out of what clips it, yet within its landmark.
    anchor()?.closest('main, aside, header') ?? document.body,
  )
}

/** Where an arrow, Home, End or a letter leads; null: nowhere. */
function targetOf(key: string, at: number, entries: readonly HTMLElement[]): HTMLElement | null {
  const { length } = entries
  if (key === 'ArrowDown') return entries[(at + 1) % length] ?? null
  if (key === 'ArrowUp') return entries[(at - 1 + length) % length] ?? null
  if (key === 'Home') return entries[0] ?? null
  if (key === 'End') return entries[length - 1] ?? null
  if (key.length !== 1) return null
  const letter = key.toLowerCase()
  const after = [...entries.slice(at + 1), ...entries.slice(0, at + 1)]
  return after.find(entry => entry.textContent?.toLowerCase().startsWith(letter)) ?? null
}
