/** ‹ 2/3 ›: which version of a message is shown, and the ways to the others. */
import type { ChatMessage } from '../../../contract/app/chats.ts'
import { useChats, useConnection, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { isReplying } from '../../stores/chats.ts'
import { announce } from '../../ui/announce.ts'
import { IconButton } from '../../ui/icon-button.tsx'

export function VersionSwitch({ message }: { message: ChatMessage }) {
  const { chats } = useStores()
  const connected = useConnection(state => state.phase === 'open')
  const replying = useChats(isReplying)
  const { versions } = message
  if (versions.length < 2) return null
  const at = versions.indexOf(message.id)
  const words = strings.conversation
  const disabled = !connected || replying
  const show = (index: number) => () => {
    announce(words.version(index + 1, versions.length))
    void chats.select(versions[index])
  }
  return (
    // One key for all versions: the button that was pressed keeps the focus when another version takes the place.
    <fieldset className="versions">
      <legend className="for-screen-readers">{words.version(at + 1, versions.length)}</legend>
      <IconButton
        icon="before"
        label={words.versionBefore}
        aria-disabled={disabled || at === 0}
        onClick={disabled || at === 0 ? undefined : show(at - 1)}
      />
      <span aria-hidden="true">
        {at + 1}/{versions.length}
      </span>
      <IconButton
        icon="after"
        label={words.versionAfter}
        aria-disabled={disabled || at === versions.length - 1}
        onClick={disabled || at === versions.length - 1 ? undefined : show(at + 1)}
      />
    </fieldset>
  )
}
