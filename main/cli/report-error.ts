/** Errors as people and programs read them on a command line. Never a stack, unless TERN_DEBUG is set. */
import { type TernErrorData, toErrorData } from '../../contract/errors.ts'
import type { CommandContext } from './command-context.ts'
import { printable, writeJson } from './terminal.ts'

/** On stderr: the message, what was expected and found, what to do. With --json also {"error": ...} on stdout. */
export function reportError(thrown: unknown, context: CommandContext): void {
  const { terminal, wantsJson } = context
  const error = withRemedy(toErrorData(thrown))
  const lines = [`tern: ${error.message}`]
  const differences = [
    error.expected === undefined ? '' : `expected ${error.expected}`,
    error.actual === undefined ? '' : `found ${error.actual}`,
  ].filter(part => part !== '')
  if (differences.length > 0) lines.push(`  ${differences.join(' / ')}`)
  if (error.remedy !== undefined) lines.push(`  ${error.remedy}`)
  terminal.stderr.write(`${printable(lines.join('\n'))}\n`)
  if (wantsJson) writeJson(terminal, { error })
  if (process.env.TERN_DEBUG && thrown instanceof Error) terminal.stderr.write(`${printable(thrown.stack ?? '')}\n`)
}

/** What the operating system ran out of, in words of its own until here. */
function withRemedy(error: TernErrorData): TernErrorData {
  if (error.code !== 'internal' || error.remedy !== undefined) return error
  if (/\b(EMFILE|ENFILE)\b/.test(error.message)) {
    return { ...error, remedy: 'Let more files be open at a time (ulimit -n), or close other programs.' }
  }
  if (/\b(EAGAIN|ENOMEM)\b/.test(error.message)) return { ...error, remedy: 'Close other programs.' }
  return error
}
