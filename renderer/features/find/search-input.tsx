/** The line to type what is looked for. */
import type { KeyboardEvent, RefObject } from 'react'

interface SearchInputProps {
  inputRef: RefObject<HTMLInputElement | null>
  label: string
  value: string
  onChange(text: string): void
  onKeyDown(event: KeyboardEvent): void
}

export function SearchInput({ inputRef, label, value, onChange, onKeyDown }: SearchInputProps) {
  return (
    <input
      ref={inputRef}
      type="text"
      value={value}
      placeholder={label}
      aria-label={label}
      spellCheck={false}
      onChange={event => onChange(event.target.value)}
      onKeyDown={onKeyDown}
    />
  )
}
