/** What the stored states take, and how much they may. */
import { useEffect, useState } from 'react'
import type { StateUse } from '../../../contract/app/states.ts'
import { useConnection, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { formatBytes } from '../../ui/units.ts'
import { Setting } from './setting.tsx'

const MIB = 2 ** 20
const BUDGETS = [0, 64 * MIB, 256 * MIB, 512 * MIB, 1024 * MIB, 4096 * MIB, 16_384 * MIB]

export function StatesSetting() {
  const { connection } = useStores()
  const isOpen = useConnection(state => state.phase === 'open')
  const [use, setUse] = useState<StateUse | null>(null)
  useEffect(() => {
    if (!isOpen) return
    let isShown = true
    connection.client.call('states.use', undefined).then(
      now => isShown && setUse(now),
      () => {},
    )
    return () => {
      isShown = false
    }
  }, [connection, isOpen])
  if (use === null) return null
  const words = strings.settings.data
  const choices = BUDGETS.includes(use.maxBytes) ? BUDGETS : [...BUDGETS, use.maxBytes].sort((a, b) => a - b)
  return (
    <Setting
      name={words.states}
      note={words.statesNote}
      control={({ noteId }) => (
        <select
          className="setting-choice"
          aria-label={words.statesBudget}
          aria-describedby={noteId}
          value={use.maxBytes}
          disabled={!isOpen}
          onChange={event => {
            const maxBytes = Number(event.target.value)
            connection.client.call('states.setBudget', { maxBytes }).then(setUse, () => {})
          }}
        >
          {choices.map(bytes => (
            <option key={bytes} value={bytes}>
              {bytes === 0 ? words.noStates : formatBytes(bytes)}
            </option>
          ))}
        </select>
      )}
    >
      <div className="state-use">
        <progress aria-label={words.states} value={Math.min(use.bytes, use.maxBytes)} max={Math.max(use.maxBytes, 1)} />
        <span>{words.statesUse(use.count, formatBytes(use.bytes))}</span>
      </div>
    </Setting>
  )
}
