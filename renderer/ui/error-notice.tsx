/** An error as the contract carries it: what happened, what was expected and found, what to do. */
import type { ReactNode } from 'react'
import type { TernErrorData } from '../../contract/errors.ts'
import { strings } from '../app/strings.ts'
import { CopyButton } from './copy.tsx'
import { Icon } from './icons.tsx'

interface ErrorNoticeProps {
  heading?: string
  error: TernErrorData
  /** true: it stands in a text that somebody else announces. */
  quiet?: boolean
  /** Buttons. */
  children?: ReactNode
}

export function ErrorNotice({ heading, error, quiet = false, children }: ErrorNoticeProps) {
  const words = strings.engine
  return (
    <div className="error-notice" role={quiet ? undefined : 'alert'}>
      <Icon name="alert" />
      <div className="error-notice-body">
        {heading === undefined ? null : <h2>{heading}</h2>}
        <p>{error.message}</p>
        <dl>
          {error.expected === undefined ? null : <Row name={words.expected} value={error.expected} />}
          {error.actual === undefined ? null : <Row name={words.actual} value={error.actual} />}
          {error.remedy === undefined ? null : <Row name={words.remedy} value={error.remedy} />}
          <Row name={words.code} value={error.code} />
        </dl>
        <div className="error-notice-actions">
          {children}
          <CopyButton label={words.copyDetails} text={() => detailsOf(error)} />
        </div>
      </div>
    </div>
  )
}

/** For a report: everything that is known, a line each. */
const detailsOf = ({ code, message, expected, actual, remedy }: TernErrorData): string => {
  const words = strings.engine
  const rows = [
    [words.expected, expected],
    [words.actual, actual],
    [words.remedy, remedy],
    [words.code, code],
  ]
  return [message, ...rows.flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`]))].join('\n')
}

function Row({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  )
}
