/**
 * Names of files that are being written, which tell who writes them: a process that finds one of a dead process may remove
 * it, and no other.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'

/** NAME.unfinished-MACHINE-PID-START-RANDOM */
const UNFINISHED = /\.unfinished-([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{12}$/
/** File systems allow 255; the ending takes at most 66. */
const MAX_NAME_BYTES = 180
/** Of another machine, or another container, on a shared disk: nobody here can tell whether its process lives. */
const FOREIGN_AGE_MS = 24 * 3600 * 1000

/** Where the file that will be `path` is written, in the same folder; a new name at every call. */
export function unfinishedPath(path: string): string {
  const owner = `${machine()}-${process.pid}-${startOf(process.pid) ?? 0}`
  return join(dirname(path), `${shortened(basename(path))}.unfinished-${owner}-${randomBytes(6).toString('hex')}`)
}

/** Removes the unfinished files of dead processes. A folder that cannot be read is left alone. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const [, where, pid, start] = UNFINISHED.exec(name) ?? []
    if (pid === undefined) continue
    const path = join(folder, name)
    const isDead = where === machine() ? !isRunning(Number(pid), Number(start)) : await isOld(path)
    if (isDead) await rm(path, { force: true }).catch(() => {})
  }
}

async function isOld(path: string): Promise<boolean> {
  const status = await stat(path).catch(() => null)
  return status !== null && Date.now() - status.mtimeMs > FOREIGN_AGE_MS
}

/** `start`: 0 where it was not known. When in doubt, it runs. */
function isRunning(pid: number, start: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    // EPERM: it runs, as another user.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  // Process ids are used again.
  const startNow = startOf(pid)
  return start === 0 || startNow === null || startNow === start
}

/** Clock ticks between the start of the system and of the process; null where the system does not tell. */
function startOf(pid: number): number | null {
  try {
    // The second field is the program's name in brackets, which may hold anything.
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(')').at(-1)!.trim().split(' ')
    const ticks = Number(fields[19])
    return Number.isSafeInteger(ticks) ? ticks : null
  } catch {
    return null
  }
}

let knownMachine: string | null = null

/** Process ids mean something within one machine, and on Linux within one namespace of them. */
function machine(): string {
  knownMachine ??= createHash('sha256').update(`${hostname()} ${pidNamespace()}`).digest('hex').slice(0, 8)
  return knownMachine
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return ''
  }
}

function shortened(name: string): string {
  let short = name
  while (Buffer.byteLength(short) > MAX_NAME_BYTES) short = [...short].slice(0, -1).join('')
  return short
}
