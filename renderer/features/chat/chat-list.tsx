/** The chats of this host, newest first, with a delete that can be undone. */

import { useEffect, useRef } from 'react'
import type { ChatSummary } from '../../../contract/app/chats.ts'
import { PlaceRows } from '../../app/places.tsx'
import { useChats, useConnection, useEngine, useNavigation, useStorage, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { type AttentionTimer, startAttentionTimer } from '../../ui/attention-timer.ts'
import { shownTitle } from '../../ui/chat-title.ts'
import { IconButton } from '../../ui/icon-button.tsx'
import { Icon } from '../../ui/icons.tsx'
import { Mark } from '../../ui/mark.tsx'

interface ChatListProps {
  /** Called when a chat was chosen: a drawer closes then. */
  onPick(): void
  /** Called when another place was chosen. */
  onPlace(): void
  /** Given while the region is a drawer. */
  onClose: (() => void) | null
  /** Another drawer covers it. */
  inert: boolean
}

export function ChatList({ onPick, onPlace, onClose, inert }: ChatListProps) {
  const { chats } = useStores()
  const isInChat = useNavigation(state => state.place === 'chat')
  const isNew = useChats(state => state.currentId === null)
  const version = useEngine(state => state.info?.version ?? null)
  return (
    <aside className="chats" aria-label={strings.chats.region} inert={inert}>
      <div className="chats-head">
        <p className="wordmark">
          <Mark />
          {strings.app.name}
        </p>
        {onClose === null ? null : <IconButton icon="close" label={strings.chats.close} onClick={onClose} autoFocus />}
      </div>
      <button
        type="button"
        className="new-chat-button"
        aria-current={isNew && isInChat ? 'page' : undefined}
        onClick={() => {
          chats.newChat()
          onPick()
        }}
      >
        <Icon name="plus" />
        {strings.chats.newChat}
      </button>
      <Summaries onPick={onPick} />
      <Removed />
      <PlaceRows onPick={onPlace} />
      <p className="chats-foot">
        <Kept />
        {version === null ? null : <span>{version}</span>}
      </p>
    </aside>
  )
}

function Summaries({ onPick }: { onPick(): void }) {
  const summaries = useChats(state => state.summaries)
  if (summaries === null) return <p className="chats-note pulse">{strings.chats.loading}</p>
  if (summaries.length === 0) return <p className="chats-note">{strings.chats.empty}</p>
  const midnight = new Date().setHours(0, 0, 0, 0)
  const groups = [
    { name: strings.chats.today, items: summaries.filter(summary => summary.updatedAtMs >= midnight) },
    { name: strings.chats.earlier, items: summaries.filter(summary => summary.updatedAtMs < midnight) },
  ]
  return (
    <nav className="chats-list" aria-label={strings.chats.region}>
      {groups.map(({ name, items }) =>
        items.length === 0 ? null : (
          <section key={name}>
            <h2>{name}</h2>
            <ul>
              {items.map(summary => (
                <Summary key={summary.id} summary={summary} onPick={onPick} />
              ))}
            </ul>
          </section>
        ),
      )}
    </nav>
  )
}

function Summary({ summary, onPick }: { summary: ChatSummary; onPick(): void }) {
  const { chats } = useStores()
  const isInChat = useNavigation(state => state.place === 'chat')
  const isCurrent = useChats(state => state.currentId === summary.id) && isInChat
  const lost = useConnection(state => state.phase !== 'open')
  const item = useRef<HTMLLIElement>(null)
  const title = shownTitle(summary.title)
  useEffect(() => {
    if (isCurrent) item.current?.scrollIntoView({ block: 'nearest' })
  }, [isCurrent])
  const remove = () => {
    // The button goes with its row: the focus goes to the next one.
    if (item.current?.contains(document.activeElement)) rowBeside(item.current)?.focus()
    void chats.remove(summary.id)
  }
  return (
    <li className="chats-item" data-current={isCurrent} ref={item}>
      <button
        type="button"
        className="chats-open"
        dir="auto"
        aria-current={isCurrent ? 'page' : undefined}
        onClick={() => {
          chats.open(summary.id)
          onPick()
        }}
      >
        {title}
      </button>
      {summary.isTemporary ? (
        <span className="temporary-mark" title={strings.temporary.hint}>
          {strings.temporary.label}
        </span>
      ) : null}
      {summary.isReplying ? (
        <span className="chats-replying pulse" role="img" aria-label={strings.chats.replying} />
      ) : null}
      <IconButton
        icon="remove"
        label={strings.chats.remove(title)}
        title={lost ? strings.chats.removeWhenLost : undefined}
        disabled={lost}
        onClick={remove}
      />
    </li>
  )
}

/** What to press next when this row is gone: the row below, else the one above, else a new chat. */
function rowBeside(row: HTMLElement): HTMLElement | null {
  const rows = [...document.querySelectorAll<HTMLElement>('.chats-open')]
  const at = rows.findIndex(open => row.contains(open))
  return rows[at + 1] ?? rows[at - 1] ?? document.querySelector<HTMLElement>('.new-chat-button')
}

function Kept() {
  const storage = useStorage(state => state.storage)
  if (storage?.path == null) return storage === null ? null : <span>{strings.chats.keptInMemory}</span>
  return <span title={strings.chats.keptIn(storage.path)}>{strings.chats.keptOnDisk}</span>
}

/** So long a deleted chat can be brought back from here, the time under the pointer or the focus not counted. */
const UNDO_MS = 20_000

/** A chat that was deleted here. One that another window deleted is told of where it is read. */
function Removed() {
  const { chats } = useStores()
  const removed = useChats(state => (state.removed?.isOurs === true ? state.removed : null))
  const strip = useRef<HTMLDivElement>(null)
  const timer = useRef<AttentionTimer | null>(null)
  const chatId = removed?.chatId
  // It goes by itself, but not from under a hand.
  useEffect(() => {
    if (chatId === undefined) return
    const started = startAttentionTimer(UNDO_MS, () => chats.dismissRemoved(), performance.now.bind(performance))
    timer.current = started
    if (strip.current?.matches(':hover, :focus-within')) started.setHeld(true)
    return () => started.cancel()
  }, [chats, chatId])
  const hold = () => timer.current?.setHeld(true)
  const release = () => {
    if (!strip.current?.matches(':hover, :focus-within')) timer.current?.setHeld(false)
  }
  return (
    <div
      role="status"
      className="removed-region"
      ref={strip}
      onPointerEnter={hold}
      onPointerLeave={release}
      onFocus={hold}
      // The next one has the focus only after this.
      onBlur={() => setTimeout(release)}
    >
      {removed === null ? null : (
        <p className="removed">
          <span>{strings.chats.removed(shownTitle(removed.title))}</span>
          <button type="button" className="link-button" onClick={() => void chats.undoRemove()}>
            {strings.chats.undo}
          </button>
          <IconButton icon="close" label={strings.chats.dismissRemoved} onClick={() => chats.dismissRemoved()} />
        </p>
      )}
    </div>
  )
}
