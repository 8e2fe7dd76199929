/** The store's thread: does one call after another, so that the host never waits for a disk. */
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import * as v from 'valibot'
import { toErrorData } from '../../../contract/errors.ts'
import { type StoreOpened, storeWorkerDataSchema } from './protocol.ts'

// Said once a process, for a library that we have chosen with its state in mind.
const { emitWarning } = process
process.emitWarning = ((warning: string | Error, ...rest: never[]) => {
  if (!String(warning).includes('SQLite')) emitWarning.call(process, warning, ...rest)
}) as typeof process.emitWarning

const { ChatDatabase } = await import('./chat-database.ts')
const { StateDatabase } = await import('./state-database.ts')
const { recoverChats } = await import('./recovery.ts')
const { storeError } = await import('./store-errors.ts')
const { answer, STATE_BUDGET } = await import('./answer.ts')
const { DatabaseSync } = await import('./sqlite.ts')
const { noteCleanEnd, takeCleanEnd } = await import('./clean-end.ts')

const { folder, maxStateBytes, stamp, nowMs } = v.parse(storeWorkerDataSchema, workerData)
const port = parentPort!
const chatsPath = join(folder, 'chats.db')
const statesPath = join(folder, 'states.db')
const backups = join(folder, 'backups')

try {
  const { chats, opened, checkedAtMs } = openChats()
  const statesCheckedAtMs = takeCleanEnd(statesPath, nowMs)
  const states = new StateDatabase(statesPath, budgetOf(chats.setting(STATE_BUDGET)), statesCheckedAtMs !== null)
  states.keepOnly(messageId => chats.hasMessage(messageId))
  states.trim(() => chats.stateRanks())
  port.on('message', request => {
    const reply = answer(request, { chats, states }, chatsPath)
    if (request.method === 'close' && reply.kind === 'result') {
      noteCleanEnd(chatsPath, checkedAtMs)
      noteCleanEnd(statesPath, statesCheckedAtMs ?? nowMs)
    }
    port.postMessage(reply)
  })
  port.postMessage(opened)
} catch (thrown) {
  port.postMessage({ kind: 'refused', error: toErrorData(storeError.of(chatsPath, thrown)) })
  port.close()
}

/** What stands in the file is as good as what wrote it. */
function budgetOf(setting: unknown): number {
  const parsed = v.safeParse(v.pipe(v.number(), v.minValue(0)), setting)
  return parsed.success ? parsed.output : maxStateBytes
}

function openChats() {
  const backUp = backUpChats
  const cleanSinceMs = takeCleanEnd(chatsPath, nowMs)
  try {
    const chats = new ChatDatabase(chatsPath, backUp)
    if (cleanSinceMs !== null || chats.firstFault() === null) {
      const opened: StoreOpened = { kind: 'opened', recovery: null }
      return { chats, opened, checkedAtMs: cleanSinceMs ?? nowMs }
    }
    chats.close()
  } catch (error) {
    if (toErrorData(error).code !== 'store-damaged') throw error
  }
  const recovery = recoverChats(chatsPath, stamp)
  const opened: StoreOpened = { kind: 'opened', recovery }
  return { chats: new ChatDatabase(chatsPath, backUp), opened, checkedAtMs: nowMs }
}

/** Before a migration: a whole copy, of which the three latest stay. */
function backUpChats(source: InstanceType<typeof DatabaseSync>): void {
  mkdirSync(backups, { recursive: true, mode: 0o700 })
  const target = join(backups, `chats-before-migration-${stamp}.db`)
  if (existsSync(target)) rmSync(target)
  // By the connection that is open: it keeps all others out.
  source.prepare('VACUUM INTO ?').run(target)
  const old = readdirSync(backups).filter(name => name.startsWith('chats-before-migration-'))
  for (const name of old.sort().slice(0, -3)) rmSync(join(backups, name))
}
