/** All chats as one archive, and the archives of other programs taken in: what a file holds is told before anything is done. */
import { useRef } from 'react'
import { useStore } from 'zustand'
import { useConnection, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { ErrorNotice } from '../../ui/error-notice.tsx'
import { Setting } from './setting.tsx'

export function ChatFilesSetting() {
  const { files } = useStores()
  const connected = useConnection(state => state.phase === 'open')
  const { phase, fileName, report, failure } = useStore(files.state)
  const input = useRef<HTMLInputElement>(null)
  const words = strings.settings.files
  const isBusy = phase === 'reading' || phase === 'taking'
  return (
    <Setting
      name={words.name}
      note={words.note}
      control={() => (
        <span className="setting-buttons">
          <button
            type="button"
            className="quiet-button"
            disabled={!connected}
            onClick={() => void files.export(null, 'archive')}
          >
            {words.exportAll}
          </button>
          <button
            type="button"
            className="quiet-button"
            disabled={!connected || isBusy}
            onClick={() => input.current?.click()}
          >
            {words.import}
          </button>
        </span>
      )}
    >
      <input
        ref={input}
        type="file"
        hidden
        accept=".zip,.json"
        aria-label={words.import}
        onChange={event => {
          const [file] = event.target.files ?? []
          if (file !== undefined) void files.choose(file)
          // The same file can be chosen again.
          event.target.value = ''
        }}
      />
      <div role="status">
        {phase === 'reading' ? <p className="setting-note">{words.reading(fileName)}</p> : null}
        {phase === 'taking' ? <p className="setting-note">{words.taking}</p> : null}
        {report === null ? null : (
          <div className="setting-report">
            <p>
              {phase === 'done'
                ? words.taken(report.chats, report.messages)
                : words.found(words.sources[report.source], report.chats, report.messages)}
            </p>
            {report.knownChats === 0 ? null : <p>{words.known(report.knownChats)}</p>}
            {report.leftOut.map(({ reason, count }) => (
              <p key={reason}>{words.leftOut[reason](count)}</p>
            ))}
            {phase === 'asking' ? (
              <span className="setting-buttons">
                {report.chats === 0 ? null : (
                  <button type="button" className="primary-button" onClick={() => void files.take()}>
                    {words.take(report.chats)}
                  </button>
                )}
                <button type="button" className="quiet-button" onClick={() => files.forget()}>
                  {words.cancel}
                </button>
              </span>
            ) : null}
          </div>
        )}
      </div>
      {failure === null ? null : <ErrorNotice error={failure} quiet />}
    </Setting>
  )
}
