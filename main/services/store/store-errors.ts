/** What goes wrong with files of the store, in words that say what is safe and what to do. */
import { TernError } from '../../../contract/errors.ts'

/** SQLite's primary result codes. */
const BUSY = 5
const LOCKED = 6
const READ_ONLY = 8
const IO_ERROR = 10
const CORRUPT = 11
const FULL = 13
const CANNOT_OPEN = 14
const NOT_A_DATABASE = 26

function sqliteCodeOf(error: unknown): number | null {
  const { errcode } = error as { errcode?: unknown }
  return typeof errcode === 'number' ? errcode & 0xff : null
}

export const storeError = {
  /** Runs `work`; what SQLite throws becomes a TernError. */
  guard<T>(path: string, work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw storeError.of(path, error)
    }
  },

  of(path: string, error: unknown): unknown {
    const code = sqliteCodeOf(error)
    if (code === null) return error
    const actual = error instanceof Error ? error.message : String(error)
    switch (code) {
      case BUSY:
      case LOCKED:
        return new TernError({
          code: 'store-busy',
          message: 'Another Tern is using the same chats.',
          actual: path,
          remedy: 'Use that one, or close it first. TERN_HOME names another folder for this one.',
        })
      case FULL:
        return new TernError({
          code: 'disk-full',
          message: 'The disk is full: what is written now is not kept.',
          actual: path,
          remedy: 'Make room, then send again. What was saved before is safe.',
        })
      case CORRUPT:
      case NOT_A_DATABASE:
        return new TernError({
          code: 'store-damaged',
          message: 'The file of your chats is damaged.',
          actual: `${path}: ${actual}`,
          remedy: 'Start Tern again: it saves what can be read, and keeps the damaged file.',
        })
      case READ_ONLY:
      case CANNOT_OPEN:
      case IO_ERROR:
        return new TernError({
          code: 'store-unavailable',
          message: 'The folder of your chats cannot be used.',
          actual: `${path}: ${actual}`,
          remedy: 'Check the disk and the rights of this folder, or name another in the variable TERN_HOME.',
        })
      default:
        return error
    }
  },

  /** Of the file's content. */
  isDamage: (error: unknown): boolean => [CORRUPT, NOT_A_DATABASE].includes(sqliteCodeOf(error) ?? -1),

  newer: (path: string, found: number, known: number): TernError =>
    new TernError({
      code: 'store-unavailable',
      message: 'Your chats were last used by a newer Tern.',
      expected: `version ${known} or older`,
      actual: `${path}: version ${found}`,
      remedy: 'Use the newer Tern. Nothing in the file was touched.',
    }),
}
