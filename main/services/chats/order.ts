/** How chats are kept in order: pinned, archived, in folders, with tags. */
import { givenTitle } from './titles.ts'

export interface Order {
  isPinned?: boolean | undefined
  isArchived?: boolean | undefined
  folder?: string | null | undefined
  tags?: readonly string[] | undefined
}

/** Names in one line and without what shows nothing; empty ones are none, and no tag stands twice. */
export function tidied({ isPinned, isArchived, folder, tags }: Order) {
  return {
    ...(isPinned === undefined ? {} : { isPinned }),
    ...(isArchived === undefined ? {} : { isArchived }),
    ...(folder === undefined ? {} : { folder: folder === null ? null : givenTitle(folder) }),
    ...(tags === undefined ? {} : { tags: [...new Set(tags.flatMap(tag => givenTitle(tag) ?? []))] }),
  }
}
