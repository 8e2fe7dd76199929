/** The keys that scroll the conversation when nothing else wants them. */

const PAGE = 0.9
const LINE_PX = 48

export const conversationScroller = (): HTMLElement | null => document.querySelector('.conversation-scroller')

/** Scrolls by what the key means. false: this key scrolls nothing. */
export function scrollConversation(key: string): boolean {
  const scroller = conversationScroller()
  if (scroller === null) return false
  const page = scroller.clientHeight * PAGE
  switch (key) {
    case 'PageUp':
      scroller.scrollBy({ top: -page })
      return true
    case 'PageDown':
    case ' ':
      scroller.scrollBy({ top: page })
      return true
    case 'ArrowUp':
      scroller.scrollBy({ top: -LINE_PX })
      return true
    case 'ArrowDown':
      scroller.scrollBy({ top: LINE_PX })
      return true
    case 'Home':
      scroller.scrollTo({ top: 0 })
      return true
    case 'End':
      scroller.scrollTo({ top: scroller.scrollHeight })
      return true
    default:
      return false
  }
}

/** Selects the messages and nothing of the window around them. false: there are none. */
export function selectConversation(): boolean {
  const messages = document.querySelector('.messages')
  if (messages === null) return false
  document.getSelection()?.selectAllChildren(messages)
  return true
}
