/** The folder and the tags of a chat. */
import { type FormEvent, useEffect, useId, useRef, useState } from 'react'
import type { ChatSummary } from '../../../contract/app/chats.ts'
import { useChats, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { shownTitle } from '../../ui/chat-title.ts'
import { foldersOf } from './list-groups.ts'

export function OrderDialog({ summary, onClose }: { summary: ChatSummary; onClose(): void }) {
  const { chats } = useStores()
  const summaries = useChats(state => state.summaries)
  const [folder, setFolder] = useState(summary.folder ?? '')
  const [tags, setTags] = useState(summary.tags.join(', '))
  const dialog = useRef<HTMLDialogElement>(null)
  const ids = { heading: useId(), folders: useId(), folderHint: useId(), tagsHint: useId() }
  const words = strings.order
  useEffect(() => dialog.current?.showModal(), [])

  const save = (event: FormEvent) => {
    event.preventDefault()
    const names = tags.split(',').map(tag => tag.trim())
    void chats.arrange(summary.id, { folder: folder.trim() || null, tags: names.filter(tag => tag !== '') })
    onClose()
  }
  return (
    <dialog ref={dialog} className="dialog" aria-labelledby={ids.heading} onClose={onClose}>
      <form className="dialog-body order-form" onSubmit={save}>
        <h2 id={ids.heading}>{words.heading(shownTitle(summary.title))}</h2>
        <label>
          {words.folder}
          <input
            type="text"
            value={folder}
            maxLength={100}
            list={ids.folders}
            aria-describedby={ids.folderHint}
            onChange={event => setFolder(event.target.value)}
          />
        </label>
        <datalist id={ids.folders}>
          {foldersOf(summaries ?? []).map(name => (
            <option key={name} value={name} />
          ))}
        </datalist>
        <p id={ids.folderHint}>{words.folderHint}</p>
        <label>
          {words.tags}
          <input
            type="text"
            value={tags}
            aria-describedby={ids.tagsHint}
            onChange={event => setTags(event.target.value)}
          />
        </label>
        <p id={ids.tagsHint}>{words.tagsHint}</p>
        <div className="order-actions">
          <button type="submit" className="primary-button">
            {words.save}
          </button>
          <button type="button" className="quiet-button" onClick={onClose}>
            {words.cancel}
          </button>
        </div>
      </form>
    </dialog>
  )
}
