/** What the reader said, and other words for it: an edit is another version, with a reply of its own. */
import { type KeyboardEvent, useEffect, useRef, useState } from 'react'
import type { ChatMessage } from '../../../contract/app/chats.ts'
import { useChats, useConnection, useEngine, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { isReplying } from '../../stores/chats.ts'
import { CopyButton } from '../../ui/copy.tsx'
import { Icon } from '../../ui/icons.tsx'
import { isOfInputMethod } from '../../ui/input-method.ts'
import { Menu } from '../../ui/menu.tsx'
import { useMedia } from '../../ui/use-media.ts'
import { focusComposer } from './focus-composer.ts'
import { MAX_MESSAGE_CHARACTERS } from './limits.ts'
import { roomFor } from './room.ts'
import { VersionSwitch } from './version-switch.tsx'

export function Question({ message }: { message: ChatMessage }) {
  const isEditing = useChats(state => state.edits[message.id] !== undefined)
  return (
    <article
      className="question"
      data-message={message.id}
      aria-label={strings.conversation.youSaid}
      style={roomFor(message.content)}
    >
      {isEditing ? <Editor message={message} /> : <Asked message={message} />}
    </article>
  )
}

/** Longer questions fold to their first lines. */
const FOLD_LINES = 14
const FOLD_CHARACTERS = 1_400

function Asked({ message }: { message: ChatMessage }) {
  const { chats } = useStores()
  const text = message.content
  const [open, setOpen] = useState(false)
  const obstacle = useEditObstacle()
  const isLong = text.length > FOLD_CHARACTERS || text.split('\n', FOLD_LINES + 1).length > FOLD_LINES
  return (
    <>
      <p
        dir="auto"
        className={`question-text ${isLong ? 'question-long' : ''} ${isLong && !open ? 'question-folded' : ''}`}
      >
        {text}
      </p>
      {isLong ? (
        <button type="button" className="link-button" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? strings.conversation.showLess : strings.conversation.showAll}
        </button>
      ) : null}
      <div className="question-actions" data-versions={message.versions.length > 1}>
        <VersionSwitch message={message} />
        {message.actions.includes('edit') ? (
          <button
            type="button"
            className="quiet-button"
            data-edits={message.id}
            disabled={obstacle !== null}
            title={obstacle ?? strings.question.editHint}
            onClick={() => chats.setEdit(message.id, text)}
          >
            <Icon name="edit" />
            {strings.question.edit}
          </button>
        ) : null}
        <CopyButton label={strings.question.copy} text={() => text} />
        <Menu
          label={strings.question.more}
          items={[
            {
              icon: 'remove',
              label: strings.question.deleteFrom,
              obstacle,
              onPick: () => void chats.deleteFrom(message.id),
            },
          ]}
        />
      </div>
    </>
  )
}

/** Why other words cannot be sent now; null when they can. */
function useEditObstacle(): string | null {
  const words = strings.composer
  const isConnected = useConnection(state => state.phase === 'open')
  const hasFailed = useEngine(state => state.status?.phase === 'failed')
  const isGone = useChats(state => state.isGone)
  const replying = useChats(isReplying)
  if (!isConnected) return words.disabled.lost
  if (hasFailed) return words.disabled.failed
  if (isGone) return words.disabled.gone
  return replying ? words.busy : null
}

function Editor({ message }: { message: ChatMessage }) {
  const { chats } = useStores()
  const text = useChats(state => state.edits[message.id] ?? '')
  const box = useRef<HTMLTextAreaElement>(null)
  const isTouch = useMedia('(pointer: coarse)')
  const obstacle = useEditObstacle()
  const words = strings.question
  const tooLong = text.length > MAX_MESSAGE_CHARACTERS ? strings.composer.disabled.tooLong : null
  const note = tooLong ?? obstacle ?? words.editNote
  const canSend = tooLong === null && obstacle === null && text.trim() !== ''

  useEffect(() => {
    const element = box.current
    element?.focus()
    element?.setSelectionRange(element.value.length, element.value.length)
  }, [])

  const cancel = () => {
    chats.setEdit(message.id, null)
    // The button that opened this is back when the next frame is drawn.
    requestAnimationFrame(() => {
      document.querySelector<HTMLElement>(`[data-edits="${CSS.escape(message.id)}"]`)?.focus()
    })
  }
  const send = async () => {
    if (!canSend) return
    await chats.sendEdit(message.id)
    if (chats.state.getState().edits[message.id] === undefined) focusComposer()
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (isOfInputMethod(event.nativeEvent)) return
    if (event.key === 'Escape') {
      event.preventDefault()
      cancel()
    } else if (event.key === 'Enter' && !event.shiftKey && !isTouch) {
      event.preventDefault()
      void send()
    }
  }

  return (
    <form
      className="question-editor"
      onSubmit={event => {
        event.preventDefault()
        void send()
      }}
    >
      <textarea
        ref={box}
        dir="auto"
        rows={1}
        value={text}
        aria-label={words.editLabel}
        aria-describedby={`edit-note-${message.id}`}
        onChange={event => chats.setEdit(message.id, event.target.value)}
        onKeyDown={onKeyDown}
      />
      <p className="question-editor-note" id={`edit-note-${message.id}`}>
        {note}
      </p>
      <div className="question-editor-actions">
        <button type="submit" className="primary-button" disabled={!canSend}>
          {words.send}
        </button>
        <button type="button" className="quiet-button" onClick={cancel}>
          {words.cancel}
        </button>
      </div>
    </form>
  )
}
