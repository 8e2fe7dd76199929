/** Where the reader writes. It keeps a draft for each chat and says why it cannot send when it cannot. */
import { type FormEvent, type KeyboardEvent, type RefObject, useEffect } from 'react'
import { useChats, useConnection, useEngine, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { draftOf, isReplying } from '../../stores/chats.ts'
import { Icon } from '../../ui/icons.tsx'
import { focusComposer } from './focus-composer.ts'

/** chat.send refuses more. */
const LONGEST_MESSAGE = 1_000_000

/** Why sending is impossible now, in words; null when it is possible. */
function useObstacle(draft: string): string | null {
  const words = strings.composer.disabled
  const connection = useConnection(state => state.phase)
  const phase = useEngine(state => state.status?.phase ?? 'starting')
  if (connection === 'lost') return words.lost
  if (connection === 'connecting') return words.connecting
  if (phase === 'failed') return words.failed
  return draft.length > LONGEST_MESSAGE ? words.tooLong : null
}

export function Composer({ inputRef }: { inputRef: RefObject<HTMLTextAreaElement | null> }) {
  const { chats } = useStores()
  const draft = useChats(draftOf)
  const replying = useChats(isReplying)
  const obstacle = useObstacle(draft)
  const phase = useEngine(state => state.status?.phase ?? 'starting')
  const isSmall = useEngine(state => (state.lastLoaded?.model.parameterCount ?? Number.POSITIVE_INFINITY) < 300e6)
  const words = strings.composer
  const note =
    obstacle ??
    (phase === 'starting' || phase === 'loading' || phase === 'restarting'
      ? words.waits[phase]
      : isSmall
        ? words.disclaimer
        : '')

  useEffect(focusComposer, [])

  const submit = (event?: FormEvent) => {
    event?.preventDefault()
    if (obstacle === null && !replying) void chats.send()
  }
  const stop = () => {
    void chats.stop()
    focusComposer()
  }
  const onKeyDown = (event: KeyboardEvent) => {
    // Enter that confirms an input method's word is not an end.
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
    event.preventDefault()
    submit()
  }

  return (
    <form className="composer" onSubmit={submit}>
      <div className="composer-box">
        <textarea
          id="composer"
          ref={inputRef}
          rows={1}
          dir="auto"
          value={draft}
          placeholder={words.placeholder}
          aria-label={words.label}
          aria-describedby="composer-note"
          spellCheck
          onChange={event => chats.setDraft(event.target.value)}
          onKeyDown={onKeyDown}
        />
        {replying ? (
          <button type="button" className="send-button" onClick={stop} aria-label={words.stop} title={words.stop}>
            <Icon name="stop" />
          </button>
        ) : (
          <button
            type="submit"
            className="send-button"
            disabled={obstacle !== null || draft.trim() === ''}
            aria-label={words.send}
            title={obstacle ?? words.send}
          >
            <Icon name="send" />
          </button>
        )}
      </div>
      <p className="composer-note" id="composer-note">
        <span>{note}</span>
        <span className="composer-hint">{words.hint}</span>
      </p>
    </form>
  )
}
