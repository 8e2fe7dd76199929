import { useEffect, useRef } from 'react'
import { IconButton } from '../ui/icon-button.tsx'
import { shortcutRows } from './shortcuts.ts'
import { strings } from './strings.ts'

/** The overview of keys: a native dialog, so that focus stays inside and comes back. */
export function ShortcutsDialog({ open, onClose }: { open: boolean; onClose(): void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    if (open) dialog.current?.showModal()
    else dialog.current?.close()
  }, [open])
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: a click on the backdrop is extra; Escape and the button close it too
    <dialog
      ref={dialog}
      className="dialog"
      aria-labelledby="shortcuts-heading"
      onClose={onClose}
      onClick={event => event.target === event.currentTarget && onClose()}
    >
      <div className="dialog-body">
        <header>
          <h2 id="shortcuts-heading">{strings.shortcuts.heading}</h2>
          <IconButton icon="close" label={strings.shortcuts.close} onClick={onClose} />
        </header>
        <dl className="shortcut-list">
          {shortcutRows().map(({ keys, label }) => (
            <div key={label}>
              <dt>{label}</dt>
              <dd>
                {keys.map(key => (
                  <kbd key={key}>{key}</kbd>
                ))}
              </dd>
            </div>
          ))}
        </dl>
      </div>
    </dialog>
  )
}
