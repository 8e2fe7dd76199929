/** What a search finds: chats by their titles, and messages. */
import type { ChatSummary, Found } from '../../../contract/app/chats.ts'
import { hasAll, wordsOf } from '../../../contract/words/find-text.ts'
import type { ChatStore } from './ports.ts'

/** More than anybody reads; the window says that there are more. */
const MAX_TITLES = 50
const MAX_MESSAGES = 100

export async function findChats(query: string, summaries: readonly ChatSummary[], store: ChatStore): Promise<Found> {
  const words = wordsOf(query)
  if (words.length === 0) return { chatIds: [], messages: [], isCut: false }
  const titled = summaries.filter(({ title, isDeleted }) => !isDeleted && hasAll(title, words))
  // One more than is told, to see whether there are more.
  const messages = await store.find(words, MAX_MESSAGES + 1)
  return {
    chatIds: titled.slice(0, MAX_TITLES).map(({ id }) => id),
    messages: messages.slice(0, MAX_MESSAGES).map(message => ({ ...message, excerpt: [...message.excerpt] })),
    isCut: titled.length > MAX_TITLES || messages.length > MAX_MESSAGES,
  }
}
