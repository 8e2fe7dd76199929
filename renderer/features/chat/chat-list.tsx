/** The chats of this host, newest first, with a delete that can be undone. */
import type { ChatSummary } from '../../../contract/app/chats.ts'
import { useChats, useEngine, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { IconButton } from '../../ui/icon-button.tsx'
import { Icon } from '../../ui/icons.tsx'
import { Mark } from '../../ui/mark.tsx'

/** `onPick` is called when a chat was chosen: a drawer closes then. `onClose` is given while the region is a drawer. */
export function ChatList({ onPick, onClose }: { onPick(): void; onClose: (() => void) | null }) {
  const { chats } = useStores()
  const isNew = useChats(state => state.currentId === null)
  const version = useEngine(state => state.info?.version ?? null)
  return (
    <aside className="chats" aria-label={strings.chats.region}>
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
        aria-current={isNew ? 'page' : undefined}
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
      <p className="chats-foot">
        {strings.chats.kept}
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
  const isCurrent = useChats(state => state.currentId === summary.id)
  const title = summary.title || strings.chats.untitled
  return (
    <li className="chats-item" data-current={isCurrent}>
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
      <IconButton icon="remove" label={strings.chats.remove(title)} onClick={() => void chats.remove(summary.id)} />
    </li>
  )
}

function Removed() {
  const { chats } = useStores()
  const removed = useChats(state => state.removed)
  const words = removed?.isOurs === false ? strings.chats.removedElsewhere : strings.chats.removed
  return (
    <div role="status" className="removed-region">
      {removed === null ? null : (
        <p className="removed">
          <span>{words(removed.title || strings.chats.untitled)}</span>
          <button type="button" className="link-button" onClick={() => void chats.undoRemove()}>
            {strings.chats.undo}
          </button>
        </p>
      )}
    </div>
  )
}
