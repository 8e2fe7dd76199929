import { expect, it } from 'vitest'
import type { ChatSummary } from '../../contract/app/chats.ts'
import { foldersOf, listGroups } from '../../renderer/features/chat/list-groups.ts'
import { shownChat, summaryOf } from '../messages.ts'

const summary = (id: string, over: Partial<ChatSummary> = {}): ChatSummary => ({
  ...summaryOf(shownChat({ id })),
  ...over,
})

it('each chat stands in one group, and groups without chats are left out', () => {
  const summaries = [
    summary('new', { updatedAtMs: 10 }),
    summary('pinned', { isPinned: true, folder: 'Work' }),
    summary('work', { folder: 'Work', updatedAtMs: 10 }),
    summary('art', { folder: 'Ärger' }),
    summary('put away', { isArchived: true, isPinned: true, folder: 'Old' }),
    summary('old', { updatedAtMs: 9 }),
  ]
  expect(listGroups(summaries, 10).map(({ kind, name, items }) => [kind, name, items.map(({ id }) => id)])).toEqual([
    ['pinned', '', ['pinned']],
    ['folder', 'Ärger', ['art']],
    ['folder', 'Work', ['work']],
    ['today', '', ['new']],
    ['earlier', '', ['old']],
    ['archived', '', ['put away']],
  ])
  expect(foldersOf(summaries)).toEqual(['Ärger', 'Old', 'Work'])
  expect(listGroups([], 0)).toEqual([])
})
