/** The search over all chats, in place of the list: a line to type in, and what was found as it is typed. */
import { type KeyboardEvent, useEffect, useRef } from 'react'
import type { ChatSummary, Found } from '../../../contract/app/chats.ts'
import { type MarkedPart, markedParts, marksIn, wordsOf } from '../../../contract/words/find-text.ts'
import { useChats, useFind, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { shownTitle } from '../../ui/chat-title.ts'
import { ErrorNotice } from '../../ui/error-notice.tsx'
import { IconButton } from '../../ui/icon-button.tsx'
import { Icon } from '../../ui/icons.tsx'
import { isOfInputMethod } from '../../ui/input-method.ts'
import { SearchInput } from './search-input.tsx'

interface ChatSearchProps {
  /** Called when something was chosen. */
  onPick(): void
}

export function ChatSearch({ onPick }: ChatSearchProps) {
  const { find } = useStores()
  const query = useFind(state => state.query ?? '')
  const found = useFind(state => state.found)
  const failure = useFind(state => state.failure)
  const input = useRef<HTMLInputElement>(null)
  const words = strings.find
  useEffect(() => input.current?.select(), [])

  const close = () => {
    find.close()
    requestAnimationFrame(() => document.querySelector<HTMLElement>('[data-opens="search"]')?.focus())
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (isOfInputMethod(event.nativeEvent)) return
    if (event.key === 'Escape') {
      event.preventDefault()
      close()
    } else if (event.key === 'ArrowDown' || event.key === 'Enter') {
      event.preventDefault()
      const first = document.querySelector<HTMLElement>('.found-open')
      if (event.key === 'Enter') first?.click()
      else first?.focus()
    }
  }
  return (
    <search className="chat-search">
      <div className="chat-search-field">
        <Icon name="search" />
        <SearchInput
          inputRef={input}
          label={words.inAll}
          value={query}
          onChange={text => void find.setQuery(text)}
          onKeyDown={onKeyDown}
        />
        <IconButton icon="close" label={words.close} onClick={close} />
      </div>
      {failure === null ? null : <ErrorNotice error={failure} quiet />}
      {found === null ? <p className="chats-note">{words.hint}</p> : <Results found={found} onPick={onPick} />}
    </search>
  )
}

function Results({ found, onPick }: { found: Found; onPick(): void }) {
  const summaries = useChats(state => state.summaries)
  const foundFor = useFind(state => state.foundFor)
  const searched = wordsOf(foundFor)
  const words = strings.find
  const byId = new Map(summaries?.map(summary => [summary.id, summary]))
  const titled = found.chatIds.flatMap(id => byId.get(id) ?? [])
  const messages = found.messages.flatMap(message => {
    const summary = byId.get(message.chatId)
    return summary === undefined ? [] : [{ message, summary }]
  })
  const chatCount = new Set([...titled.map(({ id }) => id), ...messages.map(({ summary }) => summary.id)]).size
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: arrows lead from row to row, which are buttons
    <div className="chats-list" onKeyDown={moveFocus}>
      <p className="found-count" role="status">
        {chatCount === 0 ? words.nothing : words.count(titled.length + messages.length, chatCount, found.isCut)}
      </p>
      {titled.length === 0 ? null : (
        <section>
          <h2>{words.inTitles}</h2>
          <ul>
            {titled.map(summary => (
              <li key={summary.id}>
                <FoundChat summary={summary} words={searched} onPick={onPick} />
              </li>
            ))}
          </ul>
        </section>
      )}
      {messages.length === 0 ? null : (
        <section>
          <h2>{words.inMessages}</h2>
          <ul>
            {messages.map(({ message, summary }) => (
              <li key={message.messageId}>
                <FoundMessage message={message} summary={summary} onPick={onPick} />
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  )
}

function FoundChat({ summary, words, onPick }: { summary: ChatSummary; words: readonly string[]; onPick(): void }) {
  const { chats } = useStores()
  const title = shownTitle(summary.title)
  const open = () => {
    chats.open(summary.id)
    onPick()
  }
  return <FoundRow title={markedParts(title, marksIn(title, words))} atMs={summary.updatedAtMs} onOpen={open} />
}

function FoundMessage({
  message,
  summary,
  onPick,
}: {
  message: Found['messages'][number]
  summary: ChatSummary
  onPick(): void
}) {
  const { chats, find } = useStores()
  const open = () => {
    chats.open(summary.id)
    find.goTo(summary.id, message.messageId)
    onPick()
  }
  const title = [{ text: shownTitle(summary.title), isHit: false }]
  return <FoundRow title={title} atMs={message.createdAtMs} excerpt={message.excerpt} onOpen={open} />
}

interface FoundRowProps {
  title: readonly MarkedPart[]
  atMs: number
  excerpt?: readonly MarkedPart[]
  onOpen(): void
}

function FoundRow({ title, atMs, excerpt, onOpen }: FoundRowProps) {
  return (
    <button type="button" className="found-open" onClick={onOpen}>
      <span className="found-title">
        <Marked parts={title} />
        <When atMs={atMs} />
      </span>
      {excerpt === undefined ? null : (
        <span className="found-excerpt" dir="auto">
          <Marked parts={excerpt} />
        </span>
      )}
    </button>
  )
}

const Marked = ({ parts }: { parts: readonly MarkedPart[] }) => (
  <span>
    {parts.map(({ text, isHit }, index) =>
      // biome-ignore lint/suspicious/noArrayIndexKey: parts have no other identity
      isHit ? <mark key={index}>{text}</mark> : <span key={index}>{text}</span>,
    )}
  </span>
)

function When({ atMs }: { atMs: number }) {
  const date = new Date(atMs)
  return <time dateTime={date.toISOString()}>{strings.find.date(date)}</time>
}

/** From row to row; above the first one is the line to type in. */
function moveFocus(event: KeyboardEvent<HTMLDivElement>): void {
  if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return
  const rows = [...event.currentTarget.querySelectorAll<HTMLElement>('.found-open')]
  const at = rows.indexOf(document.activeElement as HTMLElement)
  if (at === -1) return
  event.preventDefault()
  const to = at + (event.key === 'ArrowDown' ? 1 : -1)
  if (to < 0) document.querySelector<HTMLElement>('.chat-search-field input')?.focus()
  else rows[to]?.focus()
}
