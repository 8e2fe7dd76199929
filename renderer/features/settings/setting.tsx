/** One setting: its name, its control, and a sentence about it. */
import { type ReactNode, useId } from 'react'

interface SettingProps {
  name: string
  note?: ReactNode
  /** Given the ids of what names and describes it. */
  control: (ids: { labelId: string; noteId: string | undefined }) => ReactNode
  /** Below both, over the whole width. */
  children?: ReactNode
}

export function Setting({ name, note, control, children }: SettingProps) {
  const labelId = useId()
  const noteId = useId()
  return (
    <div className="setting">
      <div className="setting-line">
        <span className="setting-name" id={labelId}>
          {name}
        </span>
        {control({ labelId, noteId: note === undefined ? undefined : noteId })}
      </div>
      {note === undefined ? null : (
        <p className="setting-note" id={noteId}>
          {note}
        </p>
      )}
      {children}
    </div>
  )
}

interface SwitchProps {
  isOn: boolean
  labelId: string
  noteId: string | undefined
  disabled?: boolean
  onChange(isOn: boolean): void
}

export function Switch({ isOn, labelId, noteId, disabled, onChange }: SwitchProps) {
  return (
    <button
      type="button"
      className="switch"
      role="switch"
      aria-checked={isOn}
      aria-labelledby={labelId}
      aria-describedby={noteId}
      disabled={disabled}
      onClick={() => onChange(!isOn)}
    />
  )
}

interface SegmentsProps<T extends string> {
  value: T
  choices: readonly { value: T; label: string }[]
  labelId: string
  onChange(value: T): void
}

/** One of a few. */
export function Segments<T extends string>({ value, choices, labelId, onChange }: SegmentsProps<T>) {
  const name = useId()
  return (
    <div className="segments" role="radiogroup" aria-labelledby={labelId}>
      {choices.map(choice => (
        <label key={choice.value} data-chosen={choice.value === value}>
          <input
            type="radio"
            className="for-screen-readers"
            name={name}
            checked={choice.value === value}
            onChange={() => onChange(choice.value)}
          />
          {choice.label}
        </label>
      ))}
    </div>
  )
}
