/** One message: the reader's words, or a reply with its figures and what can be done with it. */
import { memo, useId, useMemo, useRef } from 'react'
import type { ChatMessage, ReplyInFlight } from '../../../contract/app/chats.ts'
import { useConnection, useEngine, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { CopyButton } from '../../ui/copy.tsx'
import { ErrorNotice } from '../../ui/error-notice.tsx'
import { IconButton } from '../../ui/icon-button.tsx'
import { Icon } from '../../ui/icons.tsx'
import { Menu, type MenuItem } from '../../ui/menu.tsx'
import { formatDuration, formatEnergyPerToken, formatEstimate, formatRate } from '../../ui/units.ts'
import { FIRST_TEMPERATURES } from '../branches/temperatures.ts'
import { fileNameOf, saveFile } from '../files/save-file.ts'
import { focusComposer } from './focus-composer.ts'
import { Markdown } from './markdown.tsx'
import { Question } from './question.tsx'
import { type ReadingMark, timeLeftMs } from './reading-cost.ts'
import { roomFor } from './room.ts'
import { VersionSwitch } from './version-switch.tsx'

interface MessageProps {
  message: ChatMessage
  /** Only the last reply can be regenerated or continued. */
  isLast: boolean
  /** Figures of the reply in flight, when it is this one. */
  live: ReplyInFlight | null
}

/** Finished messages keep their identity in the store, so this draws them once. */
export const Message = memo(function Message({ message, isLast, live }: MessageProps) {
  if (message.role === 'assistant') return <Reply message={message} isLast={isLast} live={live} />
  return <Question message={message} />
})

/** Of a reply's footer. */
const FOOTER_REM = 2.5

function Reply({ message, isLast, live }: MessageProps) {
  const inFlight = message.status === 'pending' || message.status === 'streaming'
  const headingId = useId()
  // The last messages are always laid out: only those above need it.
  const room = useMemo(() => (isLast ? undefined : roomFor(message.content, FOOTER_REM)), [isLast, message.content])
  return (
    <article
      className="reply"
      aria-labelledby={headingId}
      aria-busy={inFlight}
      data-status={message.status}
      data-message={message.id}
      style={room}
    >
      <h2 className="for-screen-readers" id={headingId}>
        {strings.conversation.replied}
      </h2>
      <ReplyStartLine start={message.start} />
      {message.content === '' ? null : <Markdown text={message.content} streaming={inFlight} />}
      {inFlight && message.content === '' ? <Waiting live={live} /> : null}
      {message.notice === null ? null : <p className="outcome">{message.notice}</p>}
      {inFlight ? null : <Outcome message={message} />}
      <footer className="reply-footer" data-last={isLast}>
        {inFlight ? <LiveFigures message={message} live={live} /> : <Actions message={message} isLast={isLast} />}
      </footer>
    </article>
  )
}

/** What the memory of this reply began with, where it was not simply there. */
function ReplyStartLine({ start }: { start: ChatMessage['start'] }) {
  if (start === null) return null
  const words = strings.reply
  if (start.kind === 'reread') return <p className="reply-start">{words.reread[start.reason]}</p>
  const { tokenCount, durationMs, savedMs } = start
  // Before the engine has said how many, and where nothing was worth a word.
  if (tokenCount === 0) return null
  return (
    <p className="reply-start">
      {words.resumed(tokenCount, formatDuration(durationMs))}
      {savedMs === null || savedMs < 1_000 ? null : ` · ${words.saved(formatEstimate(savedMs))}`}
    </p>
  )
}

/** Before the first token: what Tern is doing. */
function Waiting({ live }: { live: ReplyInFlight | null }) {
  const ready = useEngine(state => state.status?.phase === 'ready')
  const connected = useConnection(state => state.phase === 'open')
  const prefill = live?.prefill ?? null
  const left = useTimeLeft(prefill)
  if (prefill !== null && prefill.tokensTotal > 0)
    return (
      <div className="waiting">
        <span className="waiting-words">
          {strings.conversation.prefill(prefill.tokensDone, prefill.tokensTotal)}
          {left === null ? null : ` · ${strings.conversation.timeLeft(formatEstimate(left))}`}
        </span>
        <progress aria-label={strings.conversation.prefillLabel} value={prefill.tokensDone} max={prefill.tokensTotal} />
      </div>
    )
  return (
    <p className="waiting">
      <span className="waiting-words pulse">
        {ready && connected ? strings.conversation.thinking : strings.conversation.waitingForEngine}
      </span>
    </p>
  )
}

/** From the pace of this reading so far. */
function useTimeLeft(prefill: ReplyInFlight['prefill']): number | null {
  const first = useRef<ReadingMark | null>(null)
  if (prefill === null) return null
  const now = { atMs: performance.now(), tokensDone: prefill.tokensDone }
  if (first.current === null || first.current.tokensDone > now.tokensDone) first.current = now
  return timeLeftMs(first.current, now, prefill.tokensTotal)
}

/** How a reply ended, where that needs a word. */
function Outcome({ message }: { message: ChatMessage }) {
  const words = strings.reply
  if (message.status === 'failed' && message.error !== null)
    return <ErrorNotice heading={words.failed} error={message.error} quiet />
  const note =
    message.status === 'failed'
      ? words.failed
      : message.status === 'interrupted'
        ? message.content === ''
          ? words.interruptedEmpty
          : words.interrupted
        : message.status === 'stopped'
          ? words.stopped
          : message.finishReason === 'max-tokens'
            ? words.maxTokens
            : message.content === ''
              ? words.empty
              : null
  return note === null ? null : <p className="outcome">{note}</p>
}

function Actions({ message, isLast }: { message: ChatMessage; isLast: boolean }) {
  const { chats, stateFiles } = useStores()
  const phase = useEngine(state => state.status?.phase ?? 'starting')
  const connected = useConnection(state => state.phase === 'open')
  const words = strings.reply
  const obstacle = !connected
    ? strings.composer.disabled.lost
    : phase === 'failed'
      ? strings.composer.disabled.failed
      : undefined
  const failed = message.status === 'failed' || message.content === ''
  /** The reply is in flight then, and these buttons go. */
  const act = (action: () => Promise<void>) => {
    void action()
    focusComposer()
  }
  const compare = () => {
    const messages = chats.state.getState().chat?.messages ?? []
    const question = messages[messages.findIndex(({ id }) => id === message.id) - 1]
    if (question !== undefined) void chats.compare(question.id, FIRST_TEMPERATURES)
  }
  const saveState = async () => {
    const { currentId, chat } = chats.state.getState()
    if (currentId === null) return
    const bytes = await stateFiles.save(currentId, message.id)
    if (bytes !== null) saveFile(fileNameOf(chat?.title ?? '', 'state'), bytes)
  }
  const items: MenuItem[] = [
    { icon: 'columns', label: words.compare, obstacle: obstacle ?? null, onPick: compare },
    { icon: 'save', label: words.saveState, obstacle: obstacle ?? null, onPick: () => void saveState() },
    {
      icon: 'remove',
      label: words.deleteFrom,
      obstacle: obstacle ?? null,
      onPick: () => void chats.deleteFrom(message.id),
    },
  ]
  return (
    <>
      <div className="reply-actions">
        {isLast && message.actions.includes('continue') ? (
          <button
            type="button"
            className="quiet-button emphatic"
            disabled={obstacle !== undefined}
            title={obstacle}
            onClick={() => act(() => chats.continueReply(message.id))}
          >
            <Icon name="continue" />
            {words.continue}
          </button>
        ) : null}
        {message.content === '' ? null : (
          <CopyButton iconOnly className="icon-button" label={words.copy} text={() => message.content} copies="reply" />
        )}
        {!message.actions.includes('regenerate') ? null : failed ? (
          <button
            type="button"
            className="quiet-button"
            disabled={obstacle !== undefined}
            title={obstacle}
            onClick={() => act(() => chats.regenerate(message.id))}
          >
            <Icon name="again" />
            {words.tryAgain}
          </button>
        ) : (
          <IconButton
            icon="again"
            label={words.regenerate}
            disabled={obstacle !== undefined}
            title={obstacle}
            onClick={() => act(() => chats.regenerate(message.id))}
          />
        )}
        {message.content === '' ? null : (
          <IconButton
            icon="branch"
            label={words.branch}
            disabled={!connected}
            title={connected ? words.branchHint : obstacle}
            onClick={() => act(() => chats.branch(message.id))}
          />
        )}
        <Menu label={words.more} items={items} />
        <VersionSwitch message={message} />
      </div>
      <Figures message={message} />
    </>
  )
}

function Figures({ message }: { message: ChatMessage }) {
  const { stats, energy } = message
  if (stats === null || stats.generatedTokens === 0) return null
  return (
    <ul className="figures" aria-label={strings.reply.figures}>
      {stats.decodeTokensPerSecond === null ? null : (
        <li>{strings.reply.rate(formatRate(stats.decodeTokensPerSecond))}</li>
      )}
      <li>{strings.reply.firstToken(formatDuration(stats.ttftMs))}</li>
      {energy === null ? null : (
        <li
          className="energy"
          title={`${strings.power.scopes[energy.scope]}: ${strings.power.qualities[energy.quality]}, ${strings.power.methods[energy.method]}`}
        >
          {formatEnergyPerToken(energy.joules, stats.generatedTokens)}
        </li>
      )}
      <li>{strings.reply.tokens(stats.generatedTokens)}</li>
    </ul>
  )
}

function LiveFigures({ message: { stats }, live }: { message: ChatMessage; live: ReplyInFlight | null }) {
  if (live === null || live.generatedTokens === 0) return null
  return (
    <ul className="figures" aria-label={strings.reply.figures}>
      {live.tokensPerSecond === null ? null : <li>{strings.reply.rate(formatRate(live.tokensPerSecond))}</li>}
      {stats === null ? null : <li>{strings.reply.firstToken(formatDuration(stats.ttftMs))}</li>}
      <li>{strings.reply.tokens(live.generatedTokens)}</li>
    </ul>
  )
}
