/** Replies to one question side by side, from one state, until the reader keeps one of them. */
import { useEffect, useRef } from 'react'
import { type Comparison as Compared, MAX_COMPARED } from '../../../contract/app/chats.ts'
import { useChats, useConnection, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { failureOf, isReplying } from '../../stores/chats.ts'
import { announce } from '../../ui/announce.ts'
import { CopyButton } from '../../ui/copy.tsx'
import { ErrorNotice } from '../../ui/error-notice.tsx'
import { Icon } from '../../ui/icons.tsx'
import { formatDuration, formatRate } from '../../ui/units.ts'
import { focusComposer } from '../chat/focus-composer.ts'
import { Markdown } from '../chat/markdown.tsx'
import { nextTemperature } from './temperatures.ts'

type ComparedReply = Compared['replies'][number]

const letterOf = (index: number) => String.fromCharCode(65 + index)

export function Comparison({ comparison }: { comparison: Compared }) {
  const { chats } = useStores()
  const question = useChats(state => state.chat?.messages.find(({ id }) => id === comparison.questionId)?.content ?? '')
  const failure = useChats(failureOf)
  const replying = useChats(isReplying)
  const connected = useConnection(state => state.phase === 'open')
  const words = strings.comparison
  const { replies } = comparison
  useKeys(comparison)
  useNews(replying)
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => heading.current?.focus(), [])

  const oneMore = () =>
    void chats.compare(comparison.questionId, [nextTemperature(replies.map(({ temperature }) => temperature))])
  const isFull = replies.length >= MAX_COMPARED
  return (
    <section className="comparison" aria-labelledby="comparison-heading">
      <p className="comparison-question" dir="auto">
        {question}
      </p>
      <div className="comparison-bar">
        <h2 id="comparison-heading" ref={heading} tabIndex={-1}>
          {words.heading(replies.length)}
        </h2>
        <p>{words.note}</p>
        <button
          type="button"
          className="quiet-button"
          disabled={!connected || isFull}
          title={isFull ? words.full(MAX_COMPARED) : words.oneMoreHint}
          onClick={oneMore}
        >
          <Icon name="plus" />
          {words.oneMore}
        </button>
        <button
          type="button"
          className="quiet-button"
          disabled={!connected}
          title={words.leaveHint}
          onClick={() => void keep(chats, null)}
        >
          <Icon name="close" />
          {words.leave}
        </button>
      </div>
      {failure === null ? null : (
        <ErrorNotice error={failure}>
          <button type="button" className="quiet-button" onClick={() => chats.dismissFailure()}>
            {strings.failure.dismiss}
          </button>
        </ErrorNotice>
      )}
      <ol className="comparison-columns">
        {replies.map((compared, index) => (
          <Column key={compared.message.id} compared={compared} index={index} />
        ))}
      </ol>
    </section>
  )
}

function Column({ compared, index }: { compared: ComparedReply; index: number }) {
  const { chats } = useStores()
  const connected = useConnection(state => state.phase === 'open')
  const words = strings.comparison
  const { message, temperature, reply } = compared
  const letter = letterOf(index)
  const body = useFollowedEnd(message.content)
  const note =
    message.status === 'stopped'
      ? strings.reply.stopped
      : message.status === 'interrupted'
        ? strings.reply.interrupted
        : message.finishReason === 'max-tokens'
          ? strings.reply.maxTokens
          : null
  return (
    <li className="comparison-column" aria-busy={reply !== null} data-status={message.status}>
      <header>
        <h3>
          <span className="comparison-letter" data-live={reply !== null} aria-hidden="true">
            {letter}
          </span>
          <span className="for-screen-readers">{words.reply(letter)}</span>
        </h3>
        {temperature === null ? null : <span>{words.temperature(temperature)}</span>}
        {message.content === '' ? null : (
          <CopyButton iconOnly className="icon-button" label={strings.reply.copy} text={() => message.content} />
        )}
      </header>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it */}
      <section className="comparison-body" ref={body} tabIndex={0} aria-label={words.reply(letter)}>
        {message.content === '' ? null : <Markdown text={message.content} streaming={reply !== null} />}
        {reply !== null && message.content === '' ? (
          <p className="waiting pulse">{strings.conversation.thinking}</p>
        ) : null}
        {message.error === null ? null : <ErrorNotice heading={strings.reply.failed} error={message.error} quiet />}
        {note === null || message.error !== null ? null : <p className="outcome">{note}</p>}
      </section>
      <footer>
        <Figures compared={compared} />
        <div className="comparison-actions">
          <button
            type="button"
            className="keep-button"
            disabled={!connected || message.content === ''}
            onClick={() => void keep(chats, message.id)}
          >
            {words.keep(letter)}
            <kbd>{index + 1}</kbd>
          </button>
          {reply === null ? null : (
            <button type="button" className="quiet-button" onClick={() => void chats.stop(message.id)}>
              <Icon name="stop" />
              {strings.composer.stop}
            </button>
          )}
        </div>
      </footer>
    </li>
  )
}

function Figures({ compared: { message, reply } }: { compared: ComparedReply }) {
  const { stats } = message
  const rate = reply === null ? stats?.decodeTokensPerSecond : reply.tokensPerSecond
  const tokens = reply === null ? stats?.generatedTokens : reply.generatedTokens
  return (
    <dl className="comparison-figures">
      <div>
        <dt>{strings.comparison.speed}</dt>
        <dd>{rate == null ? formatRate(null) : strings.reply.rate(formatRate(rate))}</dd>
      </div>
      <div>
        <dt>{strings.comparison.firstToken}</dt>
        <dd>{formatDuration(stats?.ttftMs)}</dd>
      </div>
      <div>
        <dt>{strings.comparison.length}</dt>
        <dd>{strings.reply.tokens(tokens ?? 0)}</dd>
      </div>
    </dl>
  )
}

async function keep(chats: ReturnType<typeof useStores>['chats'], messageId: string | null): Promise<void> {
  await chats.keep(messageId)
  // The message box is back when the next frame is drawn.
  requestAnimationFrame(focusComposer)
}

/** 1 to 4 keep a reply; Escape leaves once nothing is written any more (before that it stops what is). */
function useKeys({ replies }: Compared): void {
  const { chats } = useStores()
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return
      if (document.querySelector('dialog[open], .scrim') !== null || event.target instanceof HTMLInputElement) return
      if (event.key === 'Escape' && !isReplying(chats.state.getState())) {
        event.preventDefault()
        return void keep(chats, null)
      }
      const compared = replies[Number(event.key) - 1]
      if (compared === undefined || compared.message.content === '') return
      event.preventDefault()
      void keep(chats, compared.message.id)
    }
    window.addEventListener('keydown', onKeyDown)
    return () => window.removeEventListener('keydown', onKeyDown)
  }, [chats, replies])
}

function useNews(replying: boolean): void {
  const before = useRef<boolean | null>(null)
  useEffect(() => {
    if (before.current === replying) return
    announce(replying ? strings.comparison.started : strings.comparison.done)
    before.current = replying
  }, [replying])
}

/** Stays at the end of a text that grows, unless the reader has scrolled away from it. */
function useFollowedEnd(text: string) {
  const box = useRef<HTMLElement>(null)
  const isAtEnd = useRef(true)
  useEffect(() => {
    const element = box.current
    if (element === null) return
    const onScroll = () => {
      isAtEnd.current = element.scrollHeight - element.scrollTop - element.clientHeight < 24
    }
    element.addEventListener('scroll', onScroll, { passive: true })
    return () => element.removeEventListener('scroll', onScroll)
  }, [])
  // biome-ignore lint/correctness/useExhaustiveDependencies: the text is the occasion
  useEffect(() => {
    const element = box.current
    if (element !== null && isAtEnd.current) element.scrollTop = element.scrollHeight
  }, [text])
  return box
}
