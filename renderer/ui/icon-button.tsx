import type { ButtonHTMLAttributes } from 'react'
import { Icon, type IconName } from './icons.tsx'

interface IconButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  icon: IconName
  /** Its name for everybody: tooltip and accessible name. */
  label: string
}

/** A square button that is only an icon. */
export function IconButton({ icon, label, title = label, className = '', ...props }: IconButtonProps) {
  return (
    <button type="button" className={`icon-button ${className}`} aria-label={label} title={title} {...props}>
      <Icon name={icon} />
    </button>
  )
}
