/** The open chat's title, and its renaming where it stands. */
import { type KeyboardEvent, useEffect, useRef, useState } from 'react'
import { focusComposer } from '../features/chat/focus-composer.ts'
import { isShownTemporary } from '../stores/chats.ts'
import { shownTitle } from '../ui/chat-title.ts'
import { IconButton } from '../ui/icon-button.tsx'
import { isOfInputMethod } from '../ui/input-method.ts'
import { useChats, useConnection, useStores } from './stores.ts'
import { strings } from './strings.ts'

export function ChatTitle() {
  const currentId = useChats(state => state.currentId)
  const connected = useConnection(state => state.phase === 'open')
  const title = useChats(state =>
    state.currentId === null
      ? strings.header.newChatTitle
      : shownTitle(state.chat?.title || state.summaries?.find(summary => summary.id === state.currentId)?.title || ''),
  )
  const isTemporary = useChats(isShownTemporary)
  /** The chat that is being renamed: another one that is opened meanwhile is not. */
  const [renaming, setRenaming] = useState<string | null>(null)
  const button = useRef<HTMLDivElement>(null)
  if (currentId !== null && renaming === currentId) {
    const end = () => {
      setRenaming(null)
      // The button is back when the next frame is drawn.
      requestAnimationFrame(() => button.current?.querySelector('button')?.focus())
    }
    return <TitleEditor chatId={currentId} title={title} onEnd={end} />
  }
  return (
    <div className="header-title" ref={button}>
      <h1 dir="auto">{title}</h1>
      {isTemporary ? (
        <span className="temporary-mark" title={strings.temporary.hint}>
          {strings.temporary.label}
        </span>
      ) : null}
      {currentId === null ? null : (
        <IconButton
          icon="edit"
          label={strings.header.rename}
          disabled={!connected}
          onClick={() => setRenaming(currentId)}
        />
      )}
    </div>
  )
}

function TitleEditor({ chatId, title, onEnd }: { chatId: string; title: string; onEnd(): void }) {
  const { chats } = useStores()
  const [text, setText] = useState(title)
  const box = useRef<HTMLInputElement>(null)
  useEffect(() => box.current?.select(), [])
  const keep = () => {
    if (text.trim() !== '' && text !== title) void chats.rename(chatId, text)
    onEnd()
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (isOfInputMethod(event.nativeEvent)) return
    if (event.key === 'Escape') {
      event.stopPropagation()
      onEnd()
    } else if (event.key === 'Enter') {
      // The focus goes on: the key must not arrive there as a new line.
      event.preventDefault()
      keep()
      focusComposer()
    }
  }
  return (
    <input
      ref={box}
      className="header-title-editor"
      dir="auto"
      value={text}
      maxLength={1_000}
      aria-label={strings.header.titleLabel}
      onChange={event => setText(event.target.value)}
      onKeyDown={onKeyDown}
      onBlur={keep}
    />
  )
}
