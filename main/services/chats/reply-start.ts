/** What is told of how a reply's memory began: resumed from a stored state, or read again and why. */
import type { ReplyStart } from '../../../contract/app/chats.ts'
import type { MessageNode } from './message-tree.ts'
import type { FoundSession } from './session-store.ts'

/** `path`: the messages that the session is to have read. null: it went on, or had nothing to go on from. */
export function startOf(found: Omit<FoundSession, 'session'>, path: readonly MessageNode[]): ReplyStart | null {
  const { origin, readUpTo, lack } = found
  const unread = path.length - 1 - path.findIndex(({ id }) => id === readUpTo)
  const known = readUpTo === null ? path.length : unread
  // The last question is read with every reply; all before it has been read once.
  if (known > 1 && lack !== null) return { kind: 'reread', reason: lack }
  return origin.kind === 'snapshot'
    ? { kind: 'resumed', tokenCount: 0, durationMs: origin.durationMs, savedMs: null }
    : null
}

/** What reading so many tokens takes, by the latest measured reading among `messages`; null: none was measured. */
export function readingMs(tokenCount: number, messages: readonly MessageNode[]): number | null {
  const measured = messages.findLast(({ stats }) => (stats?.prefillTokensPerSecond ?? 0) > 0)
  const rate = measured?.stats?.prefillTokensPerSecond
  return typeof rate === 'number' ? (1000 * tokenCount) / rate : null
}
