/**
 * What has the focus may go away: a notice is dismissed, a button has done its work. The focus would fall to the page and the
 * next Tab start at its top; it goes on to where the reader writes instead, or on touch screens, where that would bring the
 * keyboard up, to the conversation. Where there is a better place, whoever removes the element sets the focus first.
 */
import { focusComposer } from '../features/chat/focus-composer.ts'
import { conversationScroller } from '../features/chat/scroll-keys.ts'

/** Watches until the returned function is called. */
export function keepFocus(root: HTMLElement): () => void {
  let holder: Element | null = null
  const onFocusIn = ({ target }: FocusEvent) => {
    holder = target instanceof Element ? target : null
  }
  const onFocusOut = ({ target }: FocusEvent) => {
    // Left by the reader, unless it is gone.
    queueMicrotask(() => {
      if (holder === target && holder?.isConnected === true && document.activeElement === document.body) holder = null
    })
  }
  const observer = new MutationObserver(() => {
    if (holder === null || holder.isConnected || document.activeElement !== document.body) return
    holder = null
    focusComposer()
    if (document.activeElement === document.body) conversationScroller()?.focus({ preventScroll: true })
  })
  root.addEventListener('focusin', onFocusIn)
  root.addEventListener('focusout', onFocusOut)
  observer.observe(root, { childList: true, subtree: true })
  return () => {
    root.removeEventListener('focusin', onFocusIn)
    root.removeEventListener('focusout', onFocusOut)
    observer.disconnect()
  }
}
