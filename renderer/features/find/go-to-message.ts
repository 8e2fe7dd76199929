/** Leads the conversation to a message that was found: its branch is shown, and it is brought into sight. */
import { useEffect } from 'react'
import { useChats, useFind, useStores } from '../../app/stores.ts'
import { drawMessagesFrom } from '../chat/drawn-messages.ts'

export function useGoToMessage(): void {
  const { chats, find } = useStores()
  const target = useFind(state => state.target)
  const chat = useChats(state => state.chat)
  useEffect(() => {
    if (target === null || chat?.id !== target.chatId) return
    if (!chat.messages.some(({ id }) => id === target.messageId)) {
      // On another branch, which comes with the next event; or gone meanwhile.
      find.arrived()
      void chats.select(target.messageId).then(() => {
        if (chats.state.getState().chat?.messages.some(({ id }) => id === target.messageId)) {
          find.goTo(target.chatId, target.messageId)
        }
      })
      return
    }
    find.arrived()
    // After the conversation has gone to its end, as it does with every chat that is opened.
    requestAnimationFrame(() => {
      drawMessagesFrom(chat.messages.findIndex(({ id }) => id === target.messageId) - BEFORE_MESSAGES)
      const element = document.querySelector<HTMLElement>(`[data-message="${CSS.escape(target.messageId)}"]`)
      element?.scrollIntoView({ block: 'center' })
      requestAnimationFrame(() => {
        element?.scrollIntoView({ block: 'center' })
        element?.classList.add('is-target')
        setTimeout(() => element?.classList.remove('is-target'), TARGET_MS)
      })
    })
  }, [target, chat, chats, find])
}

/** So many stand above it. */
const BEFORE_MESSAGES = 5

/** So long it is marked as the one that was looked for. */
const TARGET_MS = 2_400
