/**
 * States of messages, in a file apart from their text: they are many times larger, they can be made anew, and they are the
 * first to go: by their rank, and within it whichever was used least recently. Synchronous, for the store's worker.
 */
import { rmSync } from 'node:fs'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { StateUse } from '../chats/ports.ts'
import { DatabaseSync } from './sqlite.ts'
import { storeError } from './store-errors.ts'

/** `used` counts up: the larger, the later. */
const SCHEMA = `
CREATE TABLE IF NOT EXISTS states (
  id INTEGER PRIMARY KEY,
  message_id TEXT NOT NULL,
  model_key TEXT NOT NULL,
  used INTEGER NOT NULL,
  byte_count INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  UNIQUE (message_id, model_key)
) STRICT;
CREATE INDEX IF NOT EXISTS states_by_use ON states (used);
PRAGMA user_version = 2;
`
const VERSION = 2
/** Above the budget, this much of it goes at once: what is to go is looked for less often. */
const TRIMMED_SHARE = 1 / 32

export class StateDatabase {
  private readonly database: DatabaseSync
  private maxBytes: number
  private bytes: number
  private used: number

  /** A file that is damaged or of another version is made anew: it holds nothing that cannot be. Throws as `guard`. */
  /** `isKnownWhole`: it need not be checked. */
  constructor(path: string, maxBytes: number, isKnownWhole = false) {
    this.maxBytes = maxBytes
    this.database = storeError.guard(path, () => openStates(path, isKnownWhole))
    const { bytes, used } = this.database
      .prepare('SELECT coalesce(sum(byte_count), 0) AS bytes, coalesce(max(used), 0) AS used FROM states')
      .get() as { bytes: number; used: number }
    this.bytes = bytes
    this.used = used
  }

  /** Of compressed states, without what SQLite needs around them. */
  get use(): StateUse {
    const { n } = this.database.prepare('SELECT count(*) AS n FROM states').get() as { n: number }
    return { bytes: this.bytes, count: n, maxBytes: this.maxBytes }
  }

  setBudget(maxBytes: number): void {
    this.maxBytes = maxBytes
  }

  put(messageId: string, modelKey: string, state: Uint8Array): void {
    const bytes = zstdCompressSync(state)
    this.delete(messageId, modelKey)
    this.used++
    this.database
      .prepare('INSERT INTO states (message_id, model_key, used, byte_count, bytes) VALUES (?, ?, ?, ?, ?)')
      .run(messageId, modelKey, this.used, bytes.byteLength, bytes)
    this.bytes += bytes.byteLength
  }

  /** null: there is none, or it is damaged and gone now. */
  get(messageId: string, modelKey: string): Uint8Array | null {
    const row = this.database
      .prepare('SELECT id, bytes FROM states WHERE message_id = ? AND model_key = ?')
      .get(messageId, modelKey)
    if (row === undefined) return null
    try {
      const state = zstdDecompressSync(row.bytes as Uint8Array)
      this.used++
      this.database.prepare('UPDATE states SET used = ? WHERE id = ?').run(this.used, Number(row.id))
      return new Uint8Array(state)
    } catch {
      this.delete(messageId, modelKey)
      return null
    }
  }

  /** In the order of their names. */
  models(messageId: string): string[] {
    const rows = this.database.prepare('SELECT model_key FROM states WHERE message_id = ? ORDER BY model_key')
    return rows.all(messageId).map(({ model_key }) => String(model_key))
  }

  /** null: of all models. */
  delete(messageId: string, modelKey: string | null): void {
    const rows = this.database
      .prepare('DELETE FROM states WHERE message_id = ?1 AND (?2 IS NULL OR model_key = ?2) RETURNING byte_count')
      .all(messageId, modelKey)
    for (const { byte_count } of rows) this.bytes -= Number(byte_count)
  }

  /** Those of messages that are gone, as after a crash between two files. */
  keepOnly(isKept: (messageId: string) => boolean): void {
    for (const { message_id } of this.database.prepare('SELECT DISTINCT message_id FROM states').all()) {
      if (!isKept(String(message_id))) this.delete(String(message_id), null)
    }
  }

  /** Gives the room of what was deleted back, and leaves none of it in the file. */
  compact(): void {
    this.database.exec('PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)')
  }

  close(): void {
    this.database.close()
  }

  /** Makes room when the budget is exceeded. `ranksOf`: asked only then; the larger, the longer a message's state stays. */
  trim(ranksOf: () => ReadonlyMap<string, number>): void {
    if (this.bytes <= this.maxBytes) return
    const ranks = ranksOf()
    const rankOf = (row: Record<string, unknown>): number => ranks.get(String(row.message_id)) ?? 0
    const rows = this.database.prepare('SELECT id, message_id, byte_count FROM states ORDER BY used').all()
    rows.sort((a, b) => rankOf(a) - rankOf(b))
    const remove = this.database.prepare('DELETE FROM states WHERE id = ?')
    this.database.exec('BEGIN')
    for (const { id, byte_count } of rows) {
      if (this.bytes <= this.maxBytes * (1 - TRIMMED_SHARE)) break
      remove.run(Number(id))
      this.bytes -= Number(byte_count)
    }
    this.database.exec('COMMIT')
  }
}

function openStates(path: string, isKnownWhole: boolean): DatabaseSync {
  const open = (): DatabaseSync => {
    const database = new DatabaseSync(path)
    try {
      database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL')
      // A state that a power cut takes is made anew.
      database.exec('PRAGMA synchronous = OFF; PRAGMA secure_delete = ON; PRAGMA journal_size_limit = 1048576')
      const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number }
      if (version !== 0 && version !== VERSION) throw new DamagedStates()
      if (!isKnownWhole) {
        const { quick_check: check } = database.prepare('PRAGMA quick_check(1)').get() as { quick_check: string }
        if (check !== 'ok') throw new DamagedStates()
      }
      database.exec(SCHEMA)
      return database
    } catch (error) {
      database.close()
      throw error
    }
  }
  try {
    return open()
  } catch (error) {
    if (!(error instanceof DamagedStates) && !storeError.isDamage(error)) throw error
    for (const end of ['', '-wal', '-shm']) rmSync(path + end, { force: true })
    return open()
  }
}

class DamagedStates extends Error {}
