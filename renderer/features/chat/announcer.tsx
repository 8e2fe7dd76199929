/** Says to screen readers what happened to a reply and to the engine: once each, never each token. */
import { useEffect } from 'react'
import { useStore } from 'zustand'
import type { ChatMessage } from '../../../contract/app/chats.ts'
import { useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { announce, announcement } from '../../ui/announce.ts'

export function Announcer() {
  const { chats, engine } = useStores()
  const { words, serial } = useStore(announcement)

  useEffect(() => {
    let before = lastReply(chats.state.getState().chat?.messages)
    return chats.state.subscribe(({ chat }) => {
      const now = lastReply(chat?.messages)
      const sameReply = now?.id === before?.id
      if (now !== undefined && now.status !== before?.status && (sameReply || now.status === 'pending'))
        announce(wordsFor(now))
      before = now
    })
  }, [chats])

  useEffect(() => {
    let before = engine.state.getState().status?.phase
    return engine.state.subscribe(({ status }) => {
      if (status?.phase === 'ready' && before !== 'ready') announce(strings.announce.ready(status.loaded.model.name))
      before = status?.phase
    })
  }, [engine])

  return (
    <p className="for-screen-readers" role="status">
      {/* A new element each time: the same words again are news. */}
      <span key={serial}>{words}</span>
    </p>
  )
}

const lastReply = (messages: readonly ChatMessage[] | undefined) =>
  messages?.findLast(message => message.role === 'assistant')

function wordsFor(reply: ChatMessage): string {
  const words = strings.announce
  switch (reply.status) {
    case 'pending':
    case 'streaming':
      return words.replyStarted
    case 'complete':
      return words.replyDone(reply.stats?.generatedTokens ?? 0)
    case 'stopped':
      return words.replyStopped
    case 'interrupted':
      return words.replyInterrupted
    case 'failed':
      return words.replyFailed
  }
}
