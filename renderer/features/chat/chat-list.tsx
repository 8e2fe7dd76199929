/** The chats of this host, newest first, with a delete that can be undone. */

import { useEffect, useRef, useState } from 'react'
import type { ChatSummary } from '../../../contract/app/chats.ts'
import { PlaceRows } from '../../app/places.tsx'
import { useChats, useConnection, useEngine, useFind, useNavigation, useStorage, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { type AttentionTimer, startAttentionTimer } from '../../ui/attention-timer.ts'
import { shownTitle } from '../../ui/chat-title.ts'
import { IconButton } from '../../ui/icon-button.tsx'
import { Icon } from '../../ui/icons.tsx'
import { Mark } from '../../ui/mark.tsx'
import { Menu, type MenuItem } from '../../ui/menu.tsx'
import { ChatSearch } from '../find/chat-search.tsx'
import { type ListGroup, listGroups } from './list-groups.ts'
import { OrderDialog } from './order-dialog.tsx'
import { useShownRows } from './shown-rows.ts'

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
  const { chats, find } = useStores()
  const isSearching = useFind(state => state.query !== null)
  const isInChat = useNavigation(state => state.place === 'chat')
  const isNew = useChats(state => state.currentId === null)
  const version = useEngine(state => state.info?.version ?? null)
  return (
    <aside className="chats" data-drawer={onClose !== null} aria-label={strings.chats.region} inert={inert}>
      <div className="chats-head">
        <p className="wordmark">
          <Mark />
          {strings.app.name}
        </p>
        {onClose === null ? null : <IconButton icon="close" label={strings.chats.close} onClick={onClose} autoFocus />}
      </div>
      <div className="chats-start">
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
        <IconButton
          icon="search"
          className="search-button"
          label={strings.find.inAll}
          aria-expanded={isSearching}
          data-opens="search"
          onClick={() => (isSearching ? find.close() : find.open())}
        />
      </div>
      {isSearching ? <ChatSearch onPick={onPick} /> : <Summaries onPick={onPick} />}
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
  const groups = listGroups(summaries, new Date().setHours(0, 0, 0, 0))
  return (
    <nav className="chats-list" aria-label={strings.chats.region}>
      {groups.map(group => (
        <Group key={`${group.kind} ${group.name}`} group={group} onPick={onPick} />
      ))}
    </nav>
  )
}

const groupName = ({ kind, name }: ListGroup): string =>
  kind === 'folder' ? name : { pinned: strings.order.pinned, archived: strings.order.archived, ...strings.chats }[kind]

/** Folders fold; the archive is folded until it is asked for, or the open chat is in it. */
function Group({ group, onPick }: { group: ListGroup; onPick(): void }) {
  const currentAt = useChats(state => group.items.findIndex(({ id }) => id === state.currentId))
  const { count, end, showMore } = useShownRows(group.items.length, currentAt)
  const rest = group.items.length - count
  const list = (
    <ul>
      {group.items.slice(0, count).map(summary => (
        <Summary key={summary.id} summary={summary} onPick={onPick} />
      ))}
      {rest === 0 ? null : (
        <li className="chats-rest" ref={end}>
          <button type="button" className="link-button" onClick={showMore}>
            {strings.chats.rest(rest)}
          </button>
        </li>
      )}
    </ul>
  )
  const name = groupName(group)
  if (group.kind !== 'folder' && group.kind !== 'archived') {
    return (
      <section>
        <h2>{name}</h2>
        {list}
      </section>
    )
  }
  const isOpen = group.kind === 'folder' || currentAt !== -1
  return (
    <details className="chats-fold" open={isOpen}>
      <summary>
        <Icon name={group.kind === 'folder' ? 'folder' : 'archive'} />
        <span>{name}</span>
        <span className="chats-fold-count">{group.items.length}</span>
      </summary>
      {list}
    </details>
  )
}

const EXPORTS = ['markdown', 'html', 'json'] as const

function Summary({ summary, onPick }: { summary: ChatSummary; onPick(): void }) {
  const { chats, files } = useStores()
  const isInChat = useNavigation(state => state.place === 'chat')
  const isCurrent = useChats(state => state.currentId === summary.id) && isInChat
  const lost = useConnection(state => state.phase !== 'open')
  const obstacle = lost ? strings.composer.disabled.lost : null
  const [isOrdering, setOrdering] = useState(false)
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
      {summary.tags.length === 0 ? null : (
        <span className="chats-tags">{summary.tags.map(tag => `#${tag}`).join(' ')}</span>
      )}
      {summary.isReplying ? (
        <span className="chats-replying pulse" role="img" aria-label={strings.chats.replying} />
      ) : null}
      <Menu
        label={strings.order.more(title)}
        items={[
          {
            icon: 'pin',
            label: summary.isPinned ? strings.order.unpin : strings.order.pin,
            obstacle,
            onPick: () => void chats.arrange(summary.id, { isPinned: !summary.isPinned }),
          },
          { icon: 'folder', label: strings.order.edit, obstacle, onPick: () => setOrdering(true) },
          {
            icon: 'archive',
            label: summary.isArchived ? strings.order.unarchive : strings.order.archive,
            obstacle,
            onPick: () => void chats.arrange(summary.id, { isArchived: !summary.isArchived }),
          },
          // What is nowhere kept is no file either.
          ...(summary.isTemporary ? [] : EXPORTS).map(
            (format): MenuItem => ({
              icon: 'save',
              label: strings.order.exports[format],
              obstacle,
              onPick: () => void files.export(summary.id, format),
            }),
          ),
        ]}
      />
      {isOrdering ? <OrderDialog summary={summary} onClose={() => setOrdering(false)} /> : null}
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
      ref={strip}
      role="status"
      className="removed-region"
      onFocus={hold}
      onPointerEnter={hold}
      onPointerLeave={release}
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
