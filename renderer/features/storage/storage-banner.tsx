/** Lines above the conversation when what is written is not kept, or when a damaged file was repaired at the start. */
import { useStorage, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { CopyChat } from '../chat/copy-chat.tsx'

export function StorageBanner() {
  const { storage: store } = useStores()
  const storage = useStorage(state => state.storage)
  const isRead = useStorage(state => state.isRecoveryRead)
  if (storage === null) return null
  const { problem, recovery, path } = storage
  const words = strings.storage
  if (problem !== null)
    return (
      <div className="banner" role="alert">
        <p>
          {path === null ? words.inMemory : words.notKept} {problem.message}
          <span className="banner-detail">{[problem.remedy, problem.actual].filter(Boolean).join(' ')}</span>
        </p>
        <CopyChat />
      </div>
    )
  if (recovery === null || isRead) return null
  return (
    <div className="banner" role="status">
      <p>
        {words.recovered(recovery.chats, recovery.messages)}
        <span className="banner-detail">{words.damagedFile(recovery.damagedPath)}</span>
      </p>
      <button type="button" className="quiet-button" onClick={() => store.dismissRecovery()}>
        {words.dismiss}
      </button>
    </div>
  )
}
