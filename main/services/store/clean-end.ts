/**
 * Spares a start SQLite's check of the whole file, which grows with it: a file that its last user has closed, and that nobody
 * has touched since, is as it was. It is checked all the same after a week, for disks that lose bits.
 */
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import * as v from 'valibot'

const CHECK_AFTER_MS = 7 * 24 * 3_600_000

const cleanEndSchema = v.object({ bytes: v.number(), modifiedAtMs: v.number(), checkedAtMs: v.number() })

const notePath = (path: string): string => `${path}.closed`

/**
 * When the file was checked last, if it need not be checked again; else null. The note is taken away: whoever ends without
 * `noteCleanEnd` leaves none. A clock that was set back counts as too long ago.
 */
export function takeCleanEnd(path: string, nowMs: number): number | null {
  try {
    const { bytes, modifiedAtMs, checkedAtMs } = v.parse(
      cleanEndSchema,
      JSON.parse(readFileSync(notePath(path), 'utf8')),
    )
    rmSync(notePath(path))
    const { size, mtimeMs } = statSync(path)
    const age = nowMs - checkedAtMs
    // Somebody else has had it open, and has not put everything into it.
    if (existsSync(`${path}-wal`)) return null
    return bytes === size && modifiedAtMs === mtimeMs && age >= 0 && age < CHECK_AFTER_MS ? checkedAtMs : null
  } catch {
    return null
  }
}

/** After the file was closed. Without room or right to write it, the next start checks. */
export function noteCleanEnd(path: string, checkedAtMs: number): void {
  try {
    const { size, mtimeMs } = statSync(path)
    writeFileSync(notePath(path), JSON.stringify({ bytes: size, modifiedAtMs: mtimeMs, checkedAtMs }), { mode: 0o600 })
  } catch {}
}
