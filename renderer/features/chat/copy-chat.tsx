/** Takes a whole chat along, as Markdown: also when nobody but this window has it any more. */
import type { ChatMessage } from '../../../contract/app/chats.ts'
import { useChats, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { CopyButton } from '../../ui/copy.tsx'

/** The branch in sight: a heading for whoever speaks, then the words as they were written. */
export const chatAsMarkdown = (messages: readonly ChatMessage[]): string =>
  messages
    .map(
      ({ role, content }) =>
        `## ${role === 'user' ? strings.conversation.you : strings.app.name}\n\n${content.trim()}\n`,
    )
    .join('\n')

export function CopyChat() {
  const { chats } = useStores()
  const isEmpty = useChats(state => (state.chat?.messages.length ?? 0) === 0)
  if (isEmpty) return null
  return (
    <CopyButton
      label={strings.connection.copyChat}
      text={() => chatAsMarkdown(chats.state.getState().chat?.messages ?? [])}
    />
  )
}
