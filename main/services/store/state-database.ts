/**
 * States of messages, in a file apart from their text: they are many times larger, they can be made anew, and they are the
 * first to go. Whichever was used least recently goes first. Synchronous, for the store's worker.
 */
import { rmSync } from 'node:fs'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { DatabaseSync } from './sqlite.ts'
import { storeError } from './store-errors.ts'

/** `used` counts up: the larger, the later. */
const SCHEMA = `
CREATE TABLE IF NOT EXISTS states (
  id INTEGER PRIMARY KEY,
  message_id TEXT NOT NULL UNIQUE,
  used INTEGER NOT NULL,
  byte_count INTEGER NOT NULL,
  bytes BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS states_by_use ON states (used);
PRAGMA user_version = 1;
`
const VERSION = 1

export class StateDatabase {
  private readonly database: DatabaseSync
  private readonly maxBytes: number
  private bytes: number
  private used: number

  /** A file that is damaged or of another version is made anew: it holds nothing that cannot be. Throws as `guard`. */
  constructor(path: string, maxBytes: number) {
    this.maxBytes = maxBytes
    this.database = storeError.guard(path, () => openStates(path))
    const { bytes, used } = this.database
      .prepare('SELECT coalesce(sum(byte_count), 0) AS bytes, coalesce(max(used), 0) AS used FROM states')
      .get() as { bytes: number; used: number }
    this.bytes = bytes
    this.used = used
  }

  put(messageId: string, state: Uint8Array): void {
    const bytes = zstdCompressSync(state)
    this.delete(messageId)
    this.used++
    this.database
      .prepare('INSERT INTO states (message_id, used, byte_count, bytes) VALUES (?, ?, ?, ?)')
      .run(messageId, this.used, bytes.byteLength, bytes)
    this.bytes += bytes.byteLength
    this.trim()
  }

  /** null: there is none, or it is damaged and gone now. */
  get(messageId: string): Uint8Array | null {
    const row = this.database.prepare('SELECT bytes FROM states WHERE message_id = ?').get(messageId)
    if (row === undefined) return null
    try {
      const state = zstdDecompressSync(row.bytes as Uint8Array)
      this.used++
      this.database.prepare('UPDATE states SET used = ? WHERE message_id = ?').run(this.used, messageId)
      return new Uint8Array(state)
    } catch {
      this.delete(messageId)
      return null
    }
  }

  delete(messageId: string): void {
    const row = this.database.prepare('DELETE FROM states WHERE message_id = ? RETURNING byte_count').get(messageId)
    if (row !== undefined) this.bytes -= Number(row.byte_count)
  }

  /** Those of messages that are gone, as after a crash between two files. */
  keepOnly(messageIds: ReadonlySet<string>): void {
    for (const { message_id } of this.database.prepare('SELECT message_id FROM states').all()) {
      if (!messageIds.has(String(message_id))) this.delete(String(message_id))
    }
  }

  /** Gives the room of what was deleted back, and leaves none of it in the file. */
  compact(): void {
    this.database.exec('PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)')
  }

  close(): void {
    this.database.close()
  }

  private trim(): void {
    while (this.bytes > this.maxBytes) {
      const oldest = this.database.prepare('SELECT message_id FROM states ORDER BY used LIMIT 1').get()
      if (oldest === undefined) return
      this.delete(String(oldest.message_id))
    }
  }
}

function openStates(path: string): DatabaseSync {
  const open = (): DatabaseSync => {
    const database = new DatabaseSync(path)
    try {
      database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL')
      // A state that a power cut takes is made anew.
      database.exec('PRAGMA synchronous = OFF; PRAGMA secure_delete = ON; PRAGMA journal_size_limit = 1048576')
      const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number }
      const { quick_check: check } = database.prepare('PRAGMA quick_check(1)').get() as { quick_check: string }
      if (check !== 'ok' || (version !== 0 && version !== VERSION)) throw new DamagedStates()
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
