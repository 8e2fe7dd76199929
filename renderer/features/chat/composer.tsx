/** Where the reader writes. It keeps a draft for each chat and says why it cannot send when it cannot. */
import { type FormEvent, type KeyboardEvent, type RefObject, useEffect, useState } from 'react'
import type { ChatMessage } from '../../../contract/app/chats.ts'
import { useChats, useConnection, useEngine, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { draftOf, isReplying } from '../../stores/chats.ts'
import { announce } from '../../ui/announce.ts'
import { Icon } from '../../ui/icons.tsx'
import { isOfInputMethod } from '../../ui/input-method.ts'
import { formatEstimate } from '../../ui/units.ts'
import { useMedia } from '../../ui/use-media.ts'
import { Attach } from '../files/attach.tsx'
import { focusComposer } from './focus-composer.ts'
import { MAX_MESSAGE_CHARACTERS } from './limits.ts'
import { readingCostOf } from './reading-cost.ts'

/** Why sending is impossible now, in words; null when it is possible. */
function useObstacle(draft: string): string | null {
  const words = strings.composer.disabled
  const connection = useConnection(state => state.phase)
  const isGone = useChats(state => state.isGone)
  const phase = useEngine(state => state.status?.phase ?? 'starting')
  if (connection === 'lost') return words.lost
  if (connection === 'connecting') return words.connecting
  if (phase === 'failed') return words.failed
  if (isGone) return words.gone
  return draft.length > MAX_MESSAGE_CHARACTERS ? words.tooLong : null
}

/** A message below this costs nothing worth a word. */
const COSTLY_TOKENS = 400
const COSTLY_MS = 5_000

/** What the draft costs to read, in words; null when that is little. */
function useCost(draft: string): string | null {
  const messages = useChats(state => (draft.length < COSTLY_TOKENS ? null : state.chat?.messages)) ?? NO_MESSAGES
  const trained = useEngine(state => state.lastLoaded?.model.trainingContextLength ?? null)
  const { tokens, milliseconds } = readingCostOf(draft, messages)
  if (tokens < COSTLY_TOKENS && (milliseconds ?? 0) < COSTLY_MS) return null
  const words = strings.composer
  const cost = words.cost(tokens, milliseconds === null ? null : formatEstimate(milliseconds))
  return trained !== null && tokens > trained ? `${cost} ${words.beyondTraining(trained)}` : cost
}
const NO_MESSAGES: readonly ChatMessage[] = []

export function Composer({ inputRef }: { inputRef: RefObject<HTMLTextAreaElement | null> }) {
  const { chats } = useStores()
  const draft = useChats(draftOf)
  const replying = useChats(isReplying)
  const obstacle = useObstacle(draft)
  const phase = useEngine(state => state.status?.phase ?? 'starting')
  const isSmall = useEngine(state => (state.lastLoaded?.model.parameterCount ?? Number.POSITIVE_INFINITY) < 300e6)
  const words = strings.composer
  const cost = useCost(draft)
  /** Enter has no Shift on a screen's keyboard: it makes lines there, and the button sends. */
  const isTouch = useMedia('(pointer: coarse)')
  const [refused, setRefused] = useState(false)
  const note =
    obstacle ??
    (replying && refused
      ? words.busy
      : phase === 'starting' || phase === 'loading' || phase === 'restarting'
        ? words.waits[phase]
        : cost !== null
          ? cost
          : isSmall
            ? words.disclaimer
            : '')

  useEffect(focusComposer, [])
  useEffect(() => {
    if (!replying) setRefused(false)
  }, [replying])

  const submit = (event?: FormEvent) => {
    event?.preventDefault()
    if (draft.trim() === '') return
    if (obstacle === null && !replying) {
      void chats.send()
      return
    }
    setRefused(true)
    announce(obstacle ?? words.busy)
  }
  const stop = () => {
    void chats.stop()
    focusComposer()
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || isTouch || isOfInputMethod(event.nativeEvent)) return
    event.preventDefault()
    submit()
  }

  return (
    <form className="composer" onSubmit={submit}>
      <div className="composer-box">
        <Attach />
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
          enterKeyHint={isTouch ? 'enter' : 'send'}
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
        <span className="composer-hint">{replying ? words.busyHint : words.hint}</span>
      </p>
    </form>
  )
}
