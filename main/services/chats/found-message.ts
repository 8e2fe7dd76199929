/** A message that a search found, as it is told. */
import { excerptOf } from '../../../contract/words/find-text.ts'
import type { FoundMessage, MessageNode } from './ports.ts'

/** Two lines of a narrow list. */
const EXCERPT_CHARACTERS = 160

/** What is still being written is found when it has come to its end. */
export const isFindable = ({ status }: Pick<MessageNode, 'status'>): boolean =>
  status !== 'pending' && status !== 'streaming'

export const foundMessage = (
  chatId: string,
  { id, role, createdAtMs, content }: Pick<MessageNode, 'id' | 'role' | 'createdAtMs' | 'content'>,
  words: readonly string[],
): FoundMessage => ({
  chatId,
  messageId: id,
  role,
  createdAtMs,
  excerpt: excerptOf(content, words, EXCERPT_CHARACTERS),
})
