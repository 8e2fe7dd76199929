/** The list of chats as all windows see it: whole at first, then what changes. */
import type { ChatSummariesEvent, ChatSummary } from '../../../contract/app/chats.ts'
import type { AbortSignalLike } from '../../../contract/rpc.ts'
import type { ChatRecord } from './ports.ts'

export class Summaries {
  private readonly byId = new Map<string, ChatSummary>()
  private readonly watchers = new Set<(event: ChatSummariesEvent) => void>()

  all(): ChatSummary[] {
    return [...this.byId.values()].sort((a, b) => b.updatedAtMs - a.updatedAtMs)
  }

  set(chat: ChatRecord, messageCount: number, isReplying: boolean): void {
    const { id, title, updatedAtMs, deletedAtMs, isTemporary, isPinned, isArchived, folder } = chat
    const isDeleted = deletedAtMs !== null
    const summary = {
      id,
      title,
      updatedAtMs,
      messageCount,
      isReplying,
      isDeleted,
      isTemporary,
      isPinned,
      isArchived,
      folder,
      tags: [...chat.tags],
    }
    this.byId.set(id, summary)
    this.tell({ kind: 'changed', summary })
  }

  has(chatId: string): boolean {
    return this.byId.has(chatId)
  }

  /** Neither unknown nor deleted. */
  isKept(chatId: string): boolean {
    return this.byId.get(chatId)?.isDeleted === false
  }

  remove(chatId: string): void {
    if (this.byId.delete(chatId)) this.tell({ kind: 'removed', chatId })
  }

  async watch(emit: (event: ChatSummariesEvent) => void, signal: AbortSignalLike): Promise<void> {
    if (signal.aborted) return
    emit({ kind: 'all', summaries: this.all() })
    this.watchers.add(emit)
    await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()))
    this.watchers.delete(emit)
  }

  private tell(event: ChatSummariesEvent): void {
    for (const watcher of [...this.watchers]) watcher(event)
  }
}
