/**
 * The chats on the disk: one SQLite file, one writer. Everything here is synchronous and runs in the store's worker.
 * A call that returns is in the file: a killed process loses nothing of it.
 */

import { TernError } from '../../../contract/errors.ts'
import { folded, hasAll } from '../../../contract/words/find-text.ts'
import type { ChatPatch, ChatRecord, FoundMessage, MessageNode, MessagePatch } from '../chats/ports.ts'
import { MIGRATIONS } from './migrations/index.ts'
import { chatOfRow, foundOfRow, messagesOfRows } from './rows.ts'
import { DatabaseSync, type SQLInputValue, type StatementSync } from './sqlite.ts'
import { storeError } from './store-errors.ts'

const CHAT_COLUMNS = {
  title: 'title',
  updatedAtMs: 'updated_at_ms',
  deletedAtMs: 'deleted_at_ms',
  activeLeafId: 'active_leaf_id',
  isPinned: 'is_pinned',
  isArchived: 'is_archived',
  folder: 'folder',
  tags: 'tags_json',
} as const satisfies Record<keyof ChatPatch, string>

const MESSAGE_COLUMNS = {
  content: 'content',
  status: 'status',
  finishReason: 'finish_reason',
  stats: 'stats_json',
  energy: 'energy_json',
  error: 'error_json',
  notice: 'notice',
} as const satisfies Record<keyof MessagePatch, string>

export class ChatDatabase {
  private readonly database: DatabaseSync
  private readonly statements = new Map<string, StatementSync>()

  /**
   * Opens or makes the file and brings it up to date. `backUp` is called before a migration of a file that holds something.
   * `maxPages`: of the file; null: as many as the disk holds.
   * Throws a TernError: `store-busy`, `store-unavailable`, `store-damaged`, `disk-full`.
   */
  constructor(path: string, backUp: (database: DatabaseSync) => void = () => {}, maxPages: number | null = null) {
    this.database = storeError.guard(path, () => new DatabaseSync(path, { enableForeignKeyConstraints: true }))
    try {
      storeError.guard(path, () => {
        // One process at a time: the lock ends with the process that holds it, however that ends.
        this.database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
        this.database.exec(
          'PRAGMA secure_delete = ON; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_size_limit = 1048576',
        )
        this.database.function('folded', { deterministic: true }, text => folded(String(text)))
        this.migrate(path, backUp)
        if (maxPages !== null) this.database.exec(`PRAGMA max_page_count = ${maxPages}`)
        // Takes the lock now, not at the first message.
        this.database.exec('BEGIN IMMEDIATE; COMMIT')
      })
    } catch (error) {
      this.database.close()
      throw error
    }
  }

  /** SQLite's own check of the whole file: the first thing that is wrong, or null. */
  firstFault(): string | null {
    const row = this.database.prepare('PRAGMA quick_check(1)').get() as { quick_check: string } | undefined
    return row === undefined || row.quick_check === 'ok' ? null : row.quick_check
  }

  /** Those whose rows make sense. */
  list(): { chat: ChatRecord; messageCount: number }[] {
    const rows = this.all(
      'SELECT *, (SELECT count(*) FROM messages WHERE chat_id = chats.id) AS message_count FROM chats ORDER BY updated_at_ms',
    )
    return rows.flatMap(row => {
      const chat = chatOfRow(row)
      return chat === null ? [] : [{ chat, messageCount: Number(row.message_count) }]
    })
  }

  open(chatId: string): { chat: ChatRecord; messages: MessageNode[] } | null {
    const [row] = this.all('SELECT * FROM chats WHERE id = ?', chatId)
    const chat = row === undefined ? null : chatOfRow(row)
    if (chat === null) return null
    return {
      chat,
      messages: messagesOfRows(this.all('SELECT * FROM messages WHERE chat_id = ? ORDER BY position', chatId)),
    }
  }

  addChat({ id, createdAtMs, isTemporary: _, ...patch }: ChatRecord): void {
    const { columns, values } = columnsOf(CHAT_COLUMNS, patch)
    const marks = ', ?'.repeat(columns.length)
    this.run(`INSERT INTO chats (id, created_at_ms, ${columns.join(', ')}) VALUES (?, ?${marks})`, [
      id,
      createdAtMs,
      ...values,
    ])
  }

  setChat(chatId: string, patch: ChatPatch): void {
    const { assignments, values } = assignmentsOf(CHAT_COLUMNS, patch)
    // Without a change it is still told when there is no such chat.
    const change = assignments === '' ? 'id = id' : assignments
    if (this.run(`UPDATE chats SET ${change} WHERE id = ?`, [...values, chatId]) === 0) throw noChat()
  }

  addMessages(chatId: string, messages: readonly MessageNode[], patch: ChatPatch): void {
    this.inTransaction(() => {
      if (!this.hasChat(chatId)) throw noChat()
      for (const message of messages) this.addMessage(chatId, message)
      this.setChat(chatId, patch)
    })
  }

  setMessage(messageId: string, patch: MessagePatch): void {
    const { assignments, values } = assignmentsOf(MESSAGE_COLUMNS, patch)
    const change = assignments === '' ? 'id = id' : assignments
    if (this.run(`UPDATE messages SET ${change} WHERE id = ?`, [...values, messageId]) === 0) throw noMessage()
  }

  /** `atOffset`: in UTF-16 units. */
  appendText(messageId: string, text: string, atOffset: number): void {
    this.inTransaction(() => {
      const [row] = this.all('SELECT content FROM messages WHERE id = ?', messageId)
      if (row === undefined) throw noMessage()
      const content = String(row.content)
      if (content.length !== atOffset) {
        throw new TernError({
          code: 'internal',
          message: 'Text does not fit where it was to be stored.',
          expected: `offset ${content.length}`,
          actual: `offset ${atOffset}`,
        })
      }
      this.run('UPDATE messages SET content = ? WHERE id = ?', [content + text, messageId])
    })
  }

  /** Those of the chat among them; returns their ids. Gone from the file too, as after `purge`. */
  removeMessages(chatId: string, messageIds: readonly string[], patch: ChatPatch): string[] {
    const removed: string[] = []
    this.inTransaction(() => {
      this.setChat(chatId, patch)
      for (const id of messageIds) {
        if (this.run('DELETE FROM messages WHERE id = ? AND chat_id = ?', [id, chatId]) > 0) removed.push(id)
      }
    })
    this.compact()
    return removed
  }

  /** As `ChatStore.find`. */
  find(words: readonly string[], limit: number): FoundMessage[] {
    const rows = words.some(word => Array.from(word).length >= TRIGRAM)
      ? this.indexed(words, limit)
      : this.scanned(words)
    const found = rows.filter(({ content }) => hasAll(String(content), words)).slice(0, limit)
    return found.flatMap(row => foundOfRow(row, words) ?? [])
  }

  private indexed(words: readonly string[], limit: number): Record<string, unknown>[] {
    const long = words.filter(word => Array.from(word).length >= TRIGRAM)
    const query = long.map(word => `"${word.replaceAll('"', '""')}"`).join(' AND ')
    // Shorter words are looked for in what the longer ones find.
    const rows = long.length === words.length ? limit : MAX_SCANNED
    return this.all(
      `${FOUND} WHERE message_index MATCH ? AND deleted_at_ms IS NULL ORDER BY message_index.rowid DESC LIMIT ?`,
      query,
      rows,
    )
  }

  /** One or two characters have no place in the index: the latest messages are looked through. */
  private scanned([word]: readonly string[]): Record<string, unknown>[] {
    if (word === undefined) return []
    return this.all(SCANNED, word, MAX_SCANNED)
  }

  /** Gone from the file too: freed pages are overwritten, the log is emptied. */
  purge(chatId: string): void {
    this.run('DELETE FROM chats WHERE id = ?', [chatId])
    this.compact()
  }

  private compact(): void {
    this.database.exec('PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)')
  }

  private hasChat(chatId: string): boolean {
    return this.all('SELECT 1 FROM chats WHERE id = ?', chatId).length > 0
  }

  hasMessage(messageId: string): boolean {
    return this.all('SELECT 1 FROM messages WHERE id = ?', messageId).length > 0
  }

  /**
   * Which states stay longest, the larger the longer: those of pinned chats, then where each chat stands now (its last
   * message and what that answers), then where a chat branches. All others are 0 and left out.
   */
  stateRanks(): Map<string, number> {
    const ranks = new Map<string, number>()
    for (const { id, rank } of this.all(STATE_RANKS)) ranks.set(String(id), Number(rank))
    return ranks
  }

  /** null: not set, or not to be read. */
  setting(name: string): unknown {
    const [row] = this.all('SELECT value_json FROM settings WHERE name = ?', name)
    if (row === undefined) return null
    try {
      return JSON.parse(String(row.value_json))
    } catch {
      return null
    }
  }

  setSetting(name: string, value: unknown): void {
    const sql = 'INSERT INTO settings VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value_json = excluded.value_json'
    this.run(sql, [name, JSON.stringify(value)])
  }

  close(): void {
    this.database.close()
  }

  private migrate(path: string, backUp: (database: DatabaseSync) => void): void {
    const { user_version: version } = this.database.prepare('PRAGMA user_version').get() as { user_version: number }
    if (version > MIGRATIONS.length) throw storeError.newer(path, version, MIGRATIONS.length)
    if (version === MIGRATIONS.length) return
    if (version > 0) backUp(this.database)
    for (const [offset, sql] of MIGRATIONS.slice(version).entries()) {
      this.inTransaction(() => this.database.exec(`${sql}; PRAGMA user_version = ${version + offset + 1}`))
    }
  }

  private addMessage(chatId: string, message: MessageNode): void {
    const { id, parentId, role, createdAtMs, ...patch } = message
    const { columns, values } = columnsOf(MESSAGE_COLUMNS, patch)
    const marks = ', ?'.repeat(columns.length)
    this.run(
      `INSERT INTO messages (id, chat_id, parent_id, role, created_at_ms, ${columns.join(', ')}) VALUES (?, ?, ?, ?, ?${marks})`,
      [id, chatId, parentId, role, createdAtMs, ...values],
    )
  }

  private inTransaction(work: () => void): void {
    this.database.exec('BEGIN IMMEDIATE')
    try {
      work()
      this.database.exec('COMMIT')
    } catch (error) {
      // A full disk has rolled it back already.
      if (this.database.isTransaction) this.database.exec('ROLLBACK')
      throw error
    }
  }

  private all(sql: string, ...values: SQLInputValue[]): Record<string, unknown>[] {
    return this.prepared(sql).all(...values) as Record<string, unknown>[]
  }

  /** Rows changed. */
  private run(sql: string, values: SQLInputValue[]): number {
    return Number(this.prepared(sql).run(...values).changes)
  }

  private prepared(sql: string): StatementSync {
    const known = this.statements.get(sql)
    if (known !== undefined) return known
    const statement = this.database.prepare(sql)
    this.statements.set(sql, statement)
    return statement
  }
}

const STATE_RANKS = `
  SELECT parent_id AS id, 1 AS rank FROM messages WHERE parent_id IS NOT NULL GROUP BY parent_id HAVING count(*) > 1
  UNION ALL SELECT parent_id, 2 FROM chats JOIN messages ON messages.id = active_leaf_id WHERE parent_id IS NOT NULL
  UNION ALL SELECT active_leaf_id, 2 FROM chats WHERE active_leaf_id IS NOT NULL
  UNION ALL SELECT messages.id, 3 FROM chats JOIN messages ON chat_id = chats.id WHERE is_pinned = 1
  ORDER BY rank`

/** Characters of the shortest word in the index. */
const TRIGRAM = 3
/** Messages that are looked through for words of one or two characters. */
const MAX_SCANNED = 2_000

const FOUND = `SELECT messages.id, chat_id, role, messages.content, messages.created_at_ms
  FROM message_index JOIN messages ON messages.position = message_index.rowid JOIN chats ON chats.id = messages.chat_id`
const SCANNED = `SELECT messages.id, chat_id, role, messages.content, messages.created_at_ms
  FROM messages JOIN chats ON chats.id = messages.chat_id
  WHERE instr(folded(messages.content), ?) > 0 AND messages.status NOT IN ('pending', 'streaming') AND deleted_at_ms IS NULL
  ORDER BY messages.position DESC LIMIT ?`

/** Objects as JSON, truth as a number. */
function columnOf(value: unknown): SQLInputValue {
  if (typeof value === 'boolean') return value ? 1 : 0
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : (value as SQLInputValue)
}

function columnsOf(names: Record<string, string>, patch: object) {
  const entries = Object.entries(patch).filter(([key, value]) => value !== undefined && Object.hasOwn(names, key))
  return { columns: entries.map(([key]) => names[key]), values: entries.map(([, value]) => columnOf(value)) }
}

function assignmentsOf(names: Record<string, string>, patch: object) {
  const { columns, values } = columnsOf(names, patch)
  return { assignments: columns.map(column => `${column} = ?`).join(', '), values }
}

const noChat = () => new TernError({ code: 'chat-not-found', message: 'This chat does not exist any more.' })
const noMessage = () => new TernError({ code: 'message-not-found', message: 'This message does not exist any more.' })
