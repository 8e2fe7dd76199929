/** Copying to the clipboard, with an answer that can be seen and heard. */
import { useEffect, useRef, useState } from 'react'
import { strings } from '../app/strings.ts'
import { announce } from './announce.ts'
import { Icon } from './icons.tsx'

const ANSWER_MS = 1_600

/** Resolves to false where the browser refuses the clipboard. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return false
  }
}

interface CopyButtonProps {
  label: string
  /** Called at the click: large texts are not built before. */
  text: () => string
  className?: string
  /** Without words, for tight places. */
  iconOnly?: boolean
  /** What it copies, for the shortcut that presses it. */
  copies?: 'reply'
}

export function CopyButton({ label, text, className = 'quiet-button', iconOnly = false, copies }: CopyButtonProps) {
  const [answer, setAnswer] = useState<'copied' | 'failed' | null>(null)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  useEffect(() => () => clearTimeout(timer.current), [])

  const copy = async () => {
    const isCopied = await copyText(text())
    setAnswer(isCopied ? 'copied' : 'failed')
    // Where no words change in sight of a screen reader.
    if (iconOnly) announce(isCopied ? strings.reply.copied : strings.reply.copyFailed)
    clearTimeout(timer.current)
    timer.current = setTimeout(() => setAnswer(null), ANSWER_MS)
  }
  const words = answer === 'copied' ? strings.reply.copied : answer === 'failed' ? strings.reply.copyFailed : label
  return (
    <button
      type="button"
      className={className}
      onClick={copy}
      data-copies={copies}
      aria-label={iconOnly ? words : undefined}
      title={label}
    >
      <Icon name={answer === 'copied' ? 'check' : 'copy'} />
      {iconOnly ? null : <span aria-live="polite">{words}</span>}
    </button>
  )
}
