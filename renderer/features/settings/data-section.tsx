/** Where chats are kept. */
import { useStorage } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { CopyButton } from '../../ui/copy.tsx'
import { ChatFilesSetting } from './chat-files-setting.tsx'
import { Setting } from './setting.tsx'
import { StatesSetting } from './states-setting.tsx'

export function DataSection() {
  const path = useStorage(state => state.storage?.path ?? null)
  const problem = useStorage(state => state.storage?.problem ?? null)
  const words = strings.settings.data
  return (
    <>
      <Setting
        name={words.folder}
        note={problem === null ? (path === null ? strings.chats.keptInMemory : words.folderNote) : problem.message}
        control={() => (path === null ? null : <CopyButton label={words.copyPath} text={() => path} />)}
      >
        {path === null ? null : <p className="setting-path">{path}</p>}
      </Setting>
      <ChatFilesSetting />
      <StatesSetting />
    </>
  )
}
