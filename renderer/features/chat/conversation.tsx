/** The open chat as one column of text, or what stands in its place: empty, opening, engine loading, engine failed. */
import { useEffect } from 'react'
import type { ChatMessage } from '../../../contract/app/chats.ts'
import { useChats, useConnection, useEngine, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { failureOf, isReplying, replyOf } from '../../stores/chats.ts'
import { shownTitle } from '../../ui/chat-title.ts'
import { ErrorNotice } from '../../ui/error-notice.tsx'
import { Icon } from '../../ui/icons.tsx'
import { EngineFailed, EngineLoading } from '../engine/states.tsx'
import { useGoToMessage } from '../find/go-to-message.ts'
import { CopyChat } from './copy-chat.tsx'
import { useDrawnFrom } from './drawn-messages.ts'
import { EmptyChat } from './empty.tsx'
import { focusComposer } from './focus-composer.ts'
import { useFollow } from './follow.ts'
import { Message } from './message.tsx'

export function Conversation() {
  const { scroller, content, atEnd, jumpToEnd } = useFollow()
  const chatId = useChats(state => state.currentId)
  const lastQuestionId = useChats(
    state => state.chat?.messages.findLast(message => message.role === 'user')?.id ?? null,
  )
  useGoToMessage()
  // A new question, and another chat, start at the end.
  // biome-ignore lint/correctness/useExhaustiveDependencies: these two are the occasions
  useEffect(jumpToEnd, [chatId, lastQuestionId, jumpToEnd])

  const jump = () => {
    jumpToEnd()
    // The button goes.
    focusComposer()
  }

  return (
    <div className="conversation">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it */}
      <section className="conversation-scroller" ref={scroller} aria-label={strings.conversation.messages} tabIndex={0}>
        <div className="conversation-content" ref={content}>
          <Messages />
          <DeletedMessages />
          <RemovedElsewhere />
          <Gone />
          <Failure />
        </div>
      </section>
      <button type="button" className="jump-button" data-shown={!atEnd} tabIndex={atEnd ? -1 : 0} onClick={jump}>
        <Icon name="down" />
        {strings.conversation.jumpToLatest}
      </button>
    </div>
  )
}

function Messages() {
  const messages = useChats(state => state.chat?.messages ?? null)
  const isNew = useChats(state => state.currentId === null)
  const lost = useConnection(state => state.phase === 'lost')
  const phase = useEngine(state => state.status?.phase ?? 'starting')
  const everLoaded = useEngine(state => state.lastLoaded !== null)

  if (phase === 'failed' && (messages === null || messages.length === 0)) return <EngineFailed />
  if (isNew || messages?.length === 0)
    return (phase === 'starting' || phase === 'loading') && !everLoaded ? <EngineLoading /> : <EmptyChat />
  if (messages === null)
    return <p className="opening">{lost ? strings.conversation.notFetched : strings.conversation.opening}</p>
  return (
    <>
      <MessageLog messages={messages} />
      {phase === 'failed' ? <EngineFailed /> : null}
    </>
  )
}

function MessageLog({ messages }: { messages: readonly ChatMessage[] }) {
  const chatId = useChats(state => state.chat?.id ?? '')
  const reply = useChats(replyOf)
  const from = useDrawnFrom(chatId, messages.length)
  const last = messages.at(-1)
  return (
    <div className="messages" role="log" aria-live="off" aria-label={strings.conversation.region}>
      {messages.slice(from).map(message => (
        <Message
          // All versions of a message share a place: what is pressed in one keeps the focus in the next.
          key={message.versions[0]}
          message={message}
          isLast={message === last}
          live={reply?.messageId === message.id ? reply : null}
        />
      ))}
    </div>
  )
}

/** Messages that were deleted, while they can be brought back. */
function DeletedMessages() {
  const { chats } = useStores()
  const count = useChats(state => state.chat?.deleted?.messageCount ?? 0)
  const replying = useChats(isReplying)
  if (count === 0) return null
  return (
    <div className="conversation-notice" role="status">
      <p>{strings.conversation.deleted(count)}</p>
      <div className="conversation-notice-actions">
        <button
          type="button"
          className="quiet-button emphatic"
          disabled={replying}
          title={replying ? strings.composer.busy : undefined}
          onClick={() => void chats.restoreMessages()}
        >
          {strings.conversation.undo}
        </button>
      </div>
    </div>
  )
}

/** Another window deleted the chat that is read here: it stays in sight while it can be brought back. */
function RemovedElsewhere() {
  const { chats } = useStores()
  const removed = useChats(state => (state.removed?.isOurs === false ? state.removed : null))
  if (removed === null) return null
  return (
    <div className="conversation-notice" role="status">
      <p>{strings.chats.removedElsewhere(shownTitle(removed.title))}</p>
      <div className="conversation-notice-actions">
        <button type="button" className="quiet-button emphatic" onClick={() => void chats.undoRemove()}>
          {strings.chats.undo}
        </button>
        <CopyChat />
      </div>
    </div>
  )
}

/** The host lost the chat, and this window has the last copy. */
function Gone() {
  const isGone = useChats(state => state.isGone)
  if (!isGone) return null
  return (
    <div className="conversation-notice" role="status">
      <p>{strings.conversation.gone}</p>
      <div className="conversation-notice-actions">
        <CopyChat />
      </div>
    </div>
  )
}

/** The last action that did not work. */
function Failure() {
  const { chats } = useStores()
  const failure = useChats(failureOf)
  if (failure === null) return null
  return (
    <ErrorNotice error={failure}>
      <button type="button" className="quiet-button" onClick={() => chats.dismissFailure()}>
        {strings.failure.dismiss}
      </button>
    </ErrorNotice>
  )
}
