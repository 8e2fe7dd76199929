/** The groups of the list of chats: pinned, folders by name, today, earlier, and at last the archive. Pure. */
import type { ChatSummary } from '../../../contract/app/chats.ts'

export interface ListGroup {
  kind: 'pinned' | 'folder' | 'today' | 'earlier' | 'archived'
  /** Of a folder. */
  name: string
  items: readonly ChatSummary[]
}

/** `midnightMs`: when today began. Each chat stands in one group; groups without chats are left out. */
export function listGroups(summaries: readonly ChatSummary[], midnightMs: number): ListGroup[] {
  const archived = summaries.filter(({ isArchived }) => isArchived)
  const shown = summaries.filter(({ isArchived }) => !isArchived)
  const pinned = shown.filter(({ isPinned }) => isPinned)
  const rest = shown.filter(({ isPinned }) => !isPinned)
  const loose = rest.filter(({ folder }) => folder === null)
  const groups: ListGroup[] = [
    { kind: 'pinned', name: '', items: pinned },
    ...foldersOf(rest).map(
      (name): ListGroup => ({ kind: 'folder', name, items: rest.filter(({ folder }) => folder === name) }),
    ),
    { kind: 'today', name: '', items: loose.filter(({ updatedAtMs }) => updatedAtMs >= midnightMs) },
    { kind: 'earlier', name: '', items: loose.filter(({ updatedAtMs }) => updatedAtMs < midnightMs) },
    { kind: 'archived', name: '', items: archived },
  ]
  return groups.filter(({ items }) => items.length > 0)
}

/** Names of folders, in the order of the alphabet. */
export const foldersOf = (summaries: readonly ChatSummary[]): string[] =>
  [...new Set(summaries.flatMap(({ folder }) => folder ?? []))].sort(new Intl.Collator().compare)
