/** The button beside the message box that opens a file, and what files dropped on the window do. */
import { useCallback, useRef } from 'react'
import { useConnection, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import type { DroppedFile } from '../../stores/state-files.ts'
import { IconButton } from '../../ui/icon-button.tsx'
import { useDroppedFiles } from './dropped-files.ts'

const ACCEPTED = '.state'

export function Attach() {
  const { stateFiles } = useStores()
  const isOpen = useConnection(state => state.phase === 'open')
  const input = useRef<HTMLInputElement>(null)
  const take = useCallback(
    (files: readonly DroppedFile[]) => {
      const [first] = files
      if (first !== undefined) void stateFiles.open(first)
    },
    [stateFiles],
  )
  const isOver = useDroppedFiles(take)
  const words = strings.stateFiles
  return (
    <>
      <IconButton
        icon="attach"
        label={words.open}
        title={words.openHint}
        disabled={!isOpen}
        onClick={() => input.current?.click()}
      />
      <input
        ref={input}
        type="file"
        hidden
        accept={ACCEPTED}
        onChange={event => {
          take([...(event.target.files ?? [])])
          event.target.value = ''
        }}
      />
      {isOver ? <div className="drop-here">{words.dropHere}</div> : null}
    </>
  )
}
