/**
 * A damaged file of chats: what can still be read goes into a new one, and the old one is kept beside it. Rows are read one
 * by one, so that a broken page costs what lay on it and no more.
 */
import { existsSync, renameSync, rmSync } from 'node:fs'
import { ChatDatabase } from './chat-database.ts'
import { chatOfRow, messagesOfRows } from './rows.ts'
import { DatabaseSync } from './sqlite.ts'

export interface Recovery {
  /** Where the damaged file is now. */
  damagedPath: string
  chats: number
  messages: number
}

/** Moves the file away and saves what can be read of it. `stamp`: for the name of the damaged one. */
export function recoverChats(path: string, stamp: string): Recovery {
  const damagedPath = `${path}.damaged-${stamp}`
  const freshPath = `${path}.recovered`
  for (const end of ['', '-wal', '-shm']) rmSync(freshPath + end, { force: true })
  const fresh = new ChatDatabase(freshPath)
  let saved = { chats: 0, messages: 0 }
  try {
    saved = copyWhatCanBeRead(path, fresh)
  } finally {
    fresh.close()
  }
  for (const end of ['-wal', '-shm', '']) if (existsSync(path + end)) renameSync(path + end, damagedPath + end)
  renameSync(freshPath, path)
  return { damagedPath, ...saved }
}

function copyWhatCanBeRead(path: string, fresh: ChatDatabase): { chats: number; messages: number } {
  let source: DatabaseSync
  try {
    source = new DatabaseSync(path, { readOnly: true })
  } catch {
    return { chats: 0, messages: 0 }
  }
  const count = { chats: 0, messages: 0 }
  try {
    const messagesByChat = new Map<string, Record<string, unknown>[]>()
    for (const row of readable(source, 'messages', 'position')) {
      const chatId = String(row.chat_id)
      messagesByChat.set(chatId, [...(messagesByChat.get(chatId) ?? []), row])
    }
    const chats = new Map(
      [...readable(source, 'chats', 'id')].flatMap(row => {
        const chat = chatOfRow(row)
        return chat === null ? [] : [[chat.id, chat] as const]
      }),
    )
    for (const chatId of new Set([...chats.keys(), ...messagesByChat.keys()])) {
      const messages = messagesOfRows(messagesByChat.get(chatId) ?? [])
      const createdAtMs = messages[0]?.createdAtMs ?? 0
      const times = { createdAtMs, updatedAtMs: createdAtMs, deletedAtMs: null }
      const activeLeafId = messages.at(-1)?.id ?? null
      const lost = { id: chatId, title: RECOVERED_TITLE, ...times, activeLeafId, isTemporary: false, ...NOT_ORDERED }
      fresh.addChat(chats.get(chatId) ?? lost)
      fresh.addMessages(chatId, messages, {})
      count.chats++
      count.messages += messages.length
    }
  } finally {
    source.close()
  }
  return count
}

const NOT_ORDERED = { isPinned: false, isArchived: false, folder: null, tags: [] }
const RECOVERED_TITLE = 'Recovered chat'

/** Rows from both ends towards the damage: a scan stops at the first broken page. */
function* readable(source: DatabaseSync, table: string, key: string): Generator<Record<string, unknown>> {
  const seen = new Set<unknown>()
  const found: Record<string, unknown>[] = []
  for (const order of ['ASC', 'DESC']) {
    try {
      for (const row of source.prepare(`SELECT * FROM ${table} ORDER BY ${key} ${order}`).iterate()) {
        const record = row as Record<string, unknown>
        if (seen.has(record.id)) continue
        seen.add(record.id)
        found.push(record)
      }
    } catch {
      // Whatever is behind this page is reached from the other end, or lost.
    }
  }
  yield* found.sort((a, b) => Number(a.position ?? 0) - Number(b.position ?? 0))
}
