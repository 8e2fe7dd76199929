/** Finding in the chat that is open: hits are marked, and one after another is shown. */
import { type KeyboardEvent, useEffect, useRef, useState } from 'react'
import { folded } from '../../../contract/words/find-text.ts'
import { useChats } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { IconButton } from '../../ui/icon-button.tsx'
import { drawMessagesFrom } from '../chat/drawn-messages.ts'
import { focusComposer } from '../chat/focus-composer.ts'
import { paint, rangesIn, showRange } from './highlights.ts'
import { SearchInput } from './search-input.tsx'

/** More are not marked. */
const MAX_HITS = 5_000
/** After the text has changed. */
const SETTLE_MS = 120

export function FindBar({ onClose }: { onClose(): void }) {
  const messages = useChats(state => state.chat?.messages ?? null)
  const [query, setQuery] = useState('')
  const [ranges, setRanges] = useState<readonly Range[]>([])
  const [isCut, setCut] = useState(false)
  const [at, setAt] = useState(0)
  const input = useRef<HTMLInputElement>(null)
  const words = strings.find

  useEffect(() => input.current?.select(), [])
  // biome-ignore lint/correctness/useExhaustiveDependencies: messages that change have other hits
  useEffect(() => {
    const timer = setTimeout(() => {
      const text = folded(query.trim())
      if (text !== '') drawMessagesFrom(0)
      const elements = document.querySelectorAll('.messages .question-text, .messages .prose')
      const all = text === '' ? [] : rangesIn(elements, [text])
      const found = all.slice(0, MAX_HITS)
      setRanges(found)
      setCut(all.length > MAX_HITS)
      setAt(before => Math.min(before, Math.max(0, found.length - 1)))
    }, SETTLE_MS)
    return () => clearTimeout(timer)
  }, [query, messages])
  useEffect(() => {
    const now = ranges[at] ?? null
    paint(ranges, now)
    if (now !== null) showRange(now)
  }, [ranges, at])
  useEffect(() => () => paint([], null), [])

  const step = (by: number) => {
    if (ranges.length > 0) setAt((at + by + ranges.length) % ranges.length)
  }
  const close = () => {
    onClose()
    focusComposer()
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Escape') {
      event.preventDefault()
      close()
    } else if (event.key === 'Enter') {
      event.preventDefault()
      step(event.shiftKey ? -1 : 1)
    }
  }
  return (
    <search className="find-bar">
      <SearchInput
        inputRef={input}
        label={words.inChat}
        value={query}
        onChange={text => {
          setQuery(text)
          setAt(0)
        }}
        onKeyDown={onKeyDown}
      />
      <span className="find-count" role="status">
        {query.trim() === '' ? '' : words.hit(ranges.length === 0 ? 0 : at + 1, ranges.length, isCut)}
      </span>
      <IconButton icon="before" label={words.previous} onClick={() => step(-1)} />
      <IconButton icon="after" label={words.next} onClick={() => step(1)} />
      <IconButton icon="close" label={words.close} onClick={close} />
    </search>
  )
}
