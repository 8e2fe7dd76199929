/** The chats on the disk when something goes wrong: killed, damaged, full, newer, in use, not to be written. */
import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { folded, wordsOf } from '../../contract/words/find-text.ts'
import { createRandom, wholeBelow } from '../../engine/seeded-random.ts'
import { openAppStorage } from '../../main/host/app-storage.ts'
import { ChatDatabase } from '../../main/services/store/chat-database.ts'
import { dataFolder, makeDataFolder } from '../../main/services/store/data-folder.ts'
import { type DiskChatStore, openDiskChatStore } from '../../main/services/store/disk-chat-store.ts'
import { CHATS } from '../../main/services/store/migrations/001-chats.ts'
import { DatabaseSync } from '../../main/services/store/sqlite.ts'
import { StateDatabase } from '../../main/services/store/state-database.ts'
import { chatRecord, messageNode } from '../messages.ts'
import { allBytesIn, codeOf, temporaryFolder } from '../temporary-folder.ts'

const folder = temporaryFolder()
const { at } = folder
const open = () => openDiskChatStore({ folder: folder.path, stamp: 'now', nowMs: 1e12 })

const chat = (id: string) => chatRecord({ id, title: `Chat ${id}` })

/** Chats of messages; message n of a chat answers the one before it. */
async function fill(
  store: DiskChatStore,
  chats: number,
  messages: number,
  text = (n: number) => `Message ${n}. `.repeat(40),
) {
  for (let c = 0; c < chats; c++) {
    await store.addChat(chat(`c${c}`))
    const list = Array.from({ length: messages }, (_, n) =>
      messageNode({ id: `c${c}-m${n}`, parentId: n === 0 ? null : `c${c}-m${n - 1}`, content: text(n) }),
    )
    await store.addMessages(`c${c}`, list, { activeLeafId: `c${c}-m${messages - 1}` })
  }
}

describe('a killed process', () => {
  it('loses nothing that it was told is stored, at 60 moments', async () => {
    const random = createRandom(0x6b17)
    const writer = fileURLToPath(new URL('../store-writer.ts', import.meta.url))
    for (let n = 0; n < 60; n++) {
      const child = spawn(process.execPath, [writer, folder.path, String(n)], { stdio: ['ignore', 'pipe', 'inherit'] })
      let output = ''
      const lines = 1 + wholeBelow(random, 70)
      await new Promise<void>(resolve => {
        child.stdout.on('data', (chunk: Buffer) => {
          output += chunk
          if (output.split('\n').length > lines) child.kill('SIGKILL')
        })
        child.once('close', () => resolve())
      })
      const store = await open()
      expect(store.recovery).toBeNull()
      const stored = await store.open(`chat-${n}`)
      expect(stored?.chat.title).toBe('Killed')
      const message = (id: string) => stored!.messages.find(found => found.id === `chat-${n}-${id}`)
      for (const line of output.split('\n').slice(0, -1)) {
        const [what, which, length] = line.split(' ')
        if (what === 'asked') expect(message(`q${which}`)?.content).toBe(`question ${which}`)
        if (what === 'text') expect(message(`r${which}`)!.content.length).toBeGreaterThanOrEqual(Number(length))
        if (what === 'done') {
          expect(message(`r${which}`)?.status).toBe('complete')
          expect(await store.getSnapshot(`chat-${n}-r${which}`, 'model')).toEqual(
            new Uint8Array(40_000).fill(Number(which)),
          )
        }
      }
      await store.close()
    }
  }, 240_000)
})

describe('the check of the whole file at a start', () => {
  /** On a page that no list and no opening of a chat reads: found by the check alone. */
  const isChecked = async (between: () => void): Promise<boolean> => {
    const path = at('chats.db')
    const first = await open()
    await fill(first, 3, 300)
    await first.close()
    const { atime, mtime } = statSync(path)
    const bytes = readFileSync(path)
    bytes.fill(0xa5, 4096 * 30, 4096 * 31)
    writeFileSync(path, bytes)
    // As a disk that loses bits: without a trace.
    utimesSync(path, atime, mtime)
    const note = JSON.parse(readFileSync(`${path}.closed`, 'utf8'))
    writeFileSync(`${path}.closed`, JSON.stringify({ ...note, modifiedAtMs: statSync(path).mtimeMs }))
    between()
    const second = await open()
    await second.close()
    return second.recovery !== null
  }
  const changeNote = (change: (note: Record<string, number>) => object) => {
    const path = `${at('chats.db')}.closed`
    writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')))))
  }
  const WEEK_MS = 7 * 24 * 3_600_000

  it.each<[string, boolean, () => void]>([
    ['is spared when it was closed and is untouched', false, () => {}],
    ['is made after a kill', true, () => rmSync(`${at('chats.db')}.closed`)],
    ['is made when the note cannot be read', true, () => writeFileSync(`${at('chats.db')}.closed`, '{')],
    ['is made when somebody has written', true, () => utimesSync(at('chats.db'), 1, 1)],
    ['is made when somebody has not put all into it', true, () => writeFileSync(`${at('chats.db')}-wal`, '')],
    ['is made after a week', true, () => changeNote(n => ({ ...n, checkedAtMs: n.checkedAtMs - WEEK_MS - 1 }))],
    [
      'is made when the clock was set back',
      true,
      () => changeNote(n => ({ ...n, checkedAtMs: n.checkedAtMs + WEEK_MS })),
    ],
  ])('%s', async (_, expected, between) => {
    expect(await isChecked(between)).toBe(expected)
  })

  it('is made again after a host that was killed', async () => {
    const store = await open()
    await store.close()
    expect(existsSync(`${at('chats.db')}.closed`)).toBe(true)
    const again = await open()
    expect(existsSync(`${at('chats.db')}.closed`)).toBe(false)
    await again.close()
  })
})

describe('a damaged file', () => {
  const damage = (change: (bytes: Buffer) => void) => {
    const bytes = readFileSync(at('chats.db'))
    change(bytes)
    writeFileSync(at('chats.db'), bytes)
  }

  it('gives what can be read of it, and is kept', async () => {
    const store = await open()
    await fill(store, 5, 200)
    await store.close()
    const size = statSync(at('chats.db')).size
    damage(bytes => bytes.fill(0xa5, 4096 * 30, 4096 * 31))
    const again = await open()
    expect(again.recovery!.damagedPath).toBe(`${at('chats.db')}.damaged-now`)
    expect(statSync(again.recovery!.damagedPath).size).toBe(size)
    const list = await again.list()
    expect(again.recovery).toMatchObject({
      chats: list.length,
      messages: list.reduce((sum, { messageCount }) => sum + messageCount, 0),
    })
    expect(list).toHaveLength(5)
    // A page of four kilobytes holds less than ten of these.
    expect(again.recovery!.messages).toBeGreaterThan(980)
    for (const { chat: found } of list) {
      for (const { id, content } of (await again.open(found.id))!.messages) {
        expect(content).toBe(`Message ${id.split('-m')[1]}. `.repeat(40))
      }
    }
    await again.addChat(chat('new'))
    await again.close()
    const third = await open()
    expect(third.recovery).toBeNull()
    expect(await third.list()).toHaveLength(6)
    await third.close()
  })

  it.each([
    ['cut in the middle', () => truncateSync(at('chats.db'), 4096 * 20)],
    ['cut to nothing that SQLite knows', () => truncateSync(at('chats.db'), 100)],
    ['overwritten with text', () => writeFileSync(at('chats.db'), 'no database at all '.repeat(1_000))],
    ['with a broken header', () => damage(bytes => bytes.fill(0, 0, 100))],
  ])('%s: the app starts, and the file is kept', async (_, harm) => {
    const store = await open()
    await fill(store, 3, 100)
    await store.close()
    harm()
    const again = await open()
    expect(again.recovery).not.toBeNull()
    expect(existsSync(again.recovery!.damagedPath)).toBe(true)
    await again.addChat(chat('new'))
    expect((await again.list()).map(({ chat: { id } }) => id)).toContain('new')
    await again.close()
  })

  it('an empty file is a new one', async () => {
    writeFileSync(at('chats.db'), '')
    const store = await open()
    expect(store.recovery).toBeNull()
    await store.close()
  })

  it('of states is made anew: nothing in it is lost for good', async () => {
    const store = await open()
    await fill(store, 1, 2)
    await store.putSnapshot('c0', 'c0-m0', 'model', Uint8Array.of(1, 2, 3))
    await store.close()
    writeFileSync(at('states.db'), 'broken')
    const again = await open()
    expect(again.recovery).toBeNull()
    expect(await again.getSnapshot('c0-m0', 'model')).toBeNull()
    await again.putSnapshot('c0', 'c0-m0', 'model', Uint8Array.of(4))
    expect(await again.getSnapshot('c0-m0', 'model')).toEqual(Uint8Array.of(4))
    await again.close()
  })

  it('one bad row costs that row: the chat opens, and the message says so', async () => {
    const store = await open()
    await fill(store, 1, 3)
    await store.close()
    const database = new DatabaseSync(at('chats.db'))
    database.function('folded', text => folded(String(text)))
    database.exec(`UPDATE messages SET status = 'flying', stats_json = '{' WHERE id = 'c0-m1'`)
    database.exec(
      `INSERT INTO messages (id, chat_id, parent_id, role, content, status, created_at_ms) VALUES ('lost', 'c0', 'nobody', 'user', 'Hello', 'complete', 1)`,
    )
    database.close()
    const again = await open()
    const { messages } = (await again.open('c0'))!
    expect(messages.map(({ id, parentId, status }) => [id, parentId, status])).toEqual([
      ['c0-m0', null, 'complete'],
      ['c0-m1', 'c0-m0', 'failed'],
      ['c0-m2', 'c0-m1', 'complete'],
      ['lost', 'c0-m2', 'complete'],
    ])
    expect(messages[1]).toMatchObject({ content: 'Message 1. '.repeat(40), error: { code: 'store-damaged' } })
    await again.close()
  })
})

describe('what is deleted', () => {
  it('is gone from the disk, text and states, at once', async () => {
    const store = await open()
    await fill(store, 2, 20, n => `SECRET-OF-${n} `.repeat(50))
    // Not compressible, so that it would be found.
    const state = Uint8Array.from({ length: 20_000 }, (_, n) => (n * 7919 * (n % 97)) & 255)
    await store.putSnapshot('c0', 'c0-m3', 'model', state)
    await store.purge('c0')
    await store.purge('c1')
    expect(allBytesIn(folder.path)).not.toContain('SECRET-OF')
    expect(allBytesIn(folder.path)).not.toContain('c0-m3')
    await store.close()
    expect(allBytesIn(folder.path)).not.toContain('SECRET-OF')
    expect(statSync(at('chats.db')).size + statSync(at('states.db')).size).toBeLessThan(160_000)
  })

  it('and a message alone: not even its words are left in the index', async () => {
    const store = await open()
    await fill(store, 1, 3, n => (n === 2 ? 'Xylophonquartz'.repeat(20) : `Message ${n} stays.`))
    expect(await store.find(['xylophonquartz'], 10)).toHaveLength(1)
    expect(allBytesIn(folder.path)).toContain('phon')
    await store.removeMessages('c0', ['c0-m2'], {})
    expect(await store.find(['xylophonquartz'], 10)).toEqual([])
    // Both as it was typed and the pieces of three under which it was found.
    for (const piece of ['Xylo', 'phon', 'rtzx', 'quartz']) expect(allBytesIn(folder.path)).not.toContain(piece)
    await store.close()
  })

  it('in a crash between the two files leaves no state behind', async () => {
    const store = await open()
    await fill(store, 1, 1)
    await store.putSnapshot('c0', 'c0-m0', 'model', Uint8Array.of(1))
    await store.close()
    const chats = new ChatDatabase(at('chats.db'))
    chats.purge('c0')
    chats.close()
    await (await open()).close()
    const states = new StateDatabase(at('states.db'), 1_000)
    expect(states.get('c0-m0', 'model')).toBeNull()
    states.close()
  })
})

describe('a search', () => {
  it('finds capitals, accents, other forms and parts of words, in any script, the latest first', async () => {
    const store = await open()
    const texts = [
      'Crème brûlée',
      'CREME',
      'ＡＢＣ１２３',
      'Straßenbahn',
      '東京タワーに行く',
      'نَصٌّ عربي',
      'Việt Nam',
      'a"b OR c*',
    ]
    await fill(store, 1, texts.length, n => texts[n])
    const found = async (query: string) => (await store.find(wordsOf(query), 10)).map(({ messageId }) => messageId)
    expect(await found('creme')).toEqual(['c0-m1', 'c0-m0'])
    expect(await found('BRÛL')).toEqual(['c0-m0'])
    expect(await found('rul')).toEqual(['c0-m0'])
    expect(await found('abc123')).toEqual(['c0-m2'])
    expect(await found('strassen')).toEqual([])
    expect(await found('straße')).toEqual(['c0-m3'])
    expect(await found('タワー')).toEqual(['c0-m4'])
    expect(await found('京')).toEqual(['c0-m4'])
    expect(await found('نص عرب')).toEqual(['c0-m5'])
    expect(await found('viet nam')).toEqual(['c0-m6'])
    expect(await found('a"b OR')).toEqual(['c0-m7'])
    for (const nothing of ['', ' ', '\0', '"', '*', 'AND', 'NEAR(', 'x'.repeat(10_000)]) await found(nothing)
    await store.close()
  })

  it('does not find what is being written, nor chats that are deleted', async () => {
    const store = await open()
    await store.addChat(chat('a'))
    await store.addMessages('a', [messageNode({ id: 'm', status: 'streaming', content: 'unfinished' })], {})
    expect(await store.find(['unfinished'], 9)).toEqual([])
    await store.appendText('m', ' business', 10)
    await store.setMessage('m', { status: 'complete' })
    expect(await store.find(['business'], 9)).toMatchObject([{ chatId: 'a', messageId: 'm', role: 'assistant' }])
    await store.setMessage('m', { content: 'other words' })
    expect(await store.find(['business'], 9)).toEqual([])
    await store.setChat('a', { deletedAtMs: 1 })
    expect(await store.find(['other'], 9)).toEqual([])
    await store.close()
  })

  it('finds what was stored by the version that knew no search', async () => {
    const old = new DatabaseSync(at('chats.db'))
    old.exec(`${CHATS}; PRAGMA user_version = 1`)
    old.exec(`INSERT INTO chats (id, title, created_at_ms, updated_at_ms) VALUES ('a', 'Old', 1, 1)`)
    old.exec(
      `INSERT INTO messages (id, chat_id, role, content, status, created_at_ms) VALUES ('m', 'a', 'user', 'An old question', 'complete', 1)`,
    )
    old.close()
    const store = await open()
    expect((await store.find(['question'], 9)).map(({ messageId }) => messageId)).toEqual(['m'])
    expect(await store.list()).toMatchObject([{ chat: { isPinned: false, folder: null, tags: [] } }])
    expect(readdirSync(at('backups'))).toEqual(['chats-before-migration-now.db'])
    await store.close()
  })
})

describe('states', () => {
  const noise = (seed: number, length = 3_000) => {
    const random = createRandom(seed)
    return Uint8Array.from({ length }, () => wholeBelow(random, 256))
  }
  const none = () => new Map<string, number>()

  it('go when there are too many, those used longest ago first', () => {
    const states = new StateDatabase(at('states.db'), 10_000)
    for (const n of [0, 1, 2]) states.put(`m${n}`, 'model', noise(n))
    expect(states.get('m0', 'model')).toEqual(noise(0))
    states.put('m3', 'model', noise(3))
    states.trim(none)
    expect(states.get('m1', 'model')).toBeNull()
    for (const n of [0, 2, 3]) expect(states.get(`m${n}`, 'model'), `m${n}`).toEqual(noise(n))
    states.put('m3', 'model', noise(9))
    expect(states.get('m3', 'model')).toEqual(noise(9))
    states.close()
    const again = new StateDatabase(at('states.db'), 10_000)
    expect(again.get('m3', 'model')).toEqual(noise(9))
    again.close()
  })

  it('of two models stand beside each other', () => {
    const states = new StateDatabase(at('states.db'), 100_000)
    states.put('m', 'one', noise(1))
    states.put('m', 'other', noise(2))
    expect(states.get('m', 'one')).toEqual(noise(1))
    expect(states.get('m', 'other')).toEqual(noise(2))
    expect(states.models('m')).toEqual(['one', 'other'])
    states.delete('m', 'one')
    expect(states.models('m')).toEqual(['other'])
    states.close()
  })

  it('stay longest of pinned chats, of the ends of chats and of where they branch; the budget outlives a restart', async () => {
    const store = await open()
    await fill(store, 2, 6)
    await store.addMessages('c0', [messageNode({ id: 'c0-other', parentId: 'c0-m1' })], { activeLeafId: 'c0-m5' })
    await store.addChat(chatRecord({ id: 'pinned', isPinned: true }))
    await store.addMessages('pinned', [messageNode({ id: 'p0' }), messageNode({ id: 'p1', parentId: 'p0' })], {})
    const ids = ['p0', 'p1', 'c0-m1', 'c0-m5', 'c0-m4', 'c1-m5', 'c1-m4', ...[0, 2, 3].map(n => `c0-m${n}`)]
    for (const [n, id] of ids.entries()) await store.putSnapshot('any', id, 'model', noise(n))
    const stand = async () => {
      const kept: string[] = []
      for (const id of ids) if ((await store.snapshotModels(id)).length > 0) kept.push(id)
      return kept
    }
    const { bytes, count } = await store.stateUse()
    expect(count).toBe(10)
    const each = bytes / count
    // Room for this many.
    const shrink = async (n: number) => store.setStateBudget((each * n) / (1 - 1 / 32) + 100)
    await shrink(7)
    expect(await stand()).toEqual(ids.slice(0, 7))
    await shrink(6)
    expect(await stand()).toEqual(['p0', 'p1', 'c0-m5', 'c0-m4', 'c1-m5', 'c1-m4'])
    await shrink(2)
    expect(await stand()).toEqual(['p0', 'p1'])
    await store.setStateBudget(5_000)
    expect(await store.stateUse()).toEqual({ bytes: each, count: 1, maxBytes: 5_000 })
    await store.close()
    const again = await open()
    expect((await again.stateUse()).maxBytes).toBe(5_000)
    await again.setStateBudget(0)
    expect(await again.stateUse()).toEqual({ bytes: 0, count: 0, maxBytes: 0 })
    expect(await again.open('pinned')).toMatchObject({ messages: { length: 2 } })
    await again.close()
  })
})

describe('a folder that cannot be used', () => {
  it('by two at once: the second says so, and has its own chats in memory', async () => {
    const first = await openAppStorage({ folder: folder.path })
    await first.chats.addChat(chat('a'))
    expect(await codeOf(open())).toBe('store-busy')
    const second = await openAppStorage({ folder: folder.path })
    const seen: unknown[] = []
    const stop = new AbortController()
    const watching = second.watch(storage => seen.push(storage), stop.signal)
    expect(seen).toEqual([{ path: null, problem: expect.objectContaining({ code: 'store-busy' }), recovery: null }])
    stop.abort()
    await watching
    expect(await second.chats.list()).toEqual([])
    await second.close()
    await first.close()
    const third = await openAppStorage({ folder: folder.path })
    expect(await third.chats.list()).toHaveLength(1)
    await third.close()
  })

  it('by a newer version is refused and left as it is', async () => {
    await (await open()).close()
    const database = new DatabaseSync(at('chats.db'))
    database.exec('PRAGMA user_version = 99')
    database.close()
    const before = readFileSync(at('chats.db'))
    await expect(open()).rejects.toMatchObject({
      data: { code: 'store-unavailable', actual: expect.stringContaining('version 99') },
    })
    expect(readFileSync(at('chats.db')).equals(before)).toBe(true)
  })

  it('because a file stands in its place', async () => {
    writeFileSync(at('file'), 'x')
    const storage = await openAppStorage({ folder: at('file/inner') })
    const seen: { path: string | null; problem: { code: string; remedy?: string } | null }[] = []
    const stop = new AbortController()
    const watching = storage.watch(now => seen.push(now as never), stop.signal)
    expect(seen[0]).toMatchObject({ path: null, problem: { code: 'store-unavailable' } })
    expect(seen[0].problem!.remedy).toContain('TERN_HOME')
    stop.abort()
    await watching
    await storage.chats.addChat(chat('a'))
  })

  it.skipIf(process.getuid?.() === 0 || process.platform === 'win32')('because it is read-only', async () => {
    mkdirSync(at('locked'))
    chmodSync(at('locked'), 0o500)
    expect(await codeOf(openDiskChatStore({ folder: at('locked'), stamp: 'now', nowMs: 1e12 }))).toBe(
      'store-unavailable',
    )
    chmodSync(at('locked'), 0o700)
  })

  it('because the disk is full: the call fails with a sentence, and what was stored stays', () => {
    const chats = new ChatDatabase(at('chats.db'))
    chats.addChat(chat('a'))
    chats.addMessages('a', [messageNode({ id: 'm', content: 'kept' })], {})
    chats.close()
    const small = new ChatDatabase(at('chats.db'), () => {}, 16)
    const fillUp = () => {
      for (let n = 0; n < 100; n++) small.appendText('m', 'x'.repeat(2_000), 4 + 2_000 * n)
    }
    expect(fillUp).toThrow(expect.objectContaining({ errcode: 13 }))
    const { content } = small.open('a')!.messages[0]
    expect(content.startsWith('kept')).toBe(true)
    expect((content.length - 4) % 2_000).toBe(0)
    small.setChat('a', { title: 'Still here' })
    small.close()
  })
})

it('the data folder is where the system wants it, and the user’s alone', async () => {
  expect(dataFolder({ TERN_HOME: '/x/y' }, 'linux', '/home/u')).toBe('/x/y')
  expect(dataFolder({}, 'linux', '/home/u')).toBe('/home/u/.local/share/tern')
  expect(dataFolder({ XDG_DATA_HOME: '/data' }, 'linux', '/home/u')).toBe('/data/tern')
  expect(dataFolder({ XDG_DATA_HOME: 'relative' }, 'linux', '/home/u')).toBe('/home/u/.local/share/tern')
  expect(dataFolder({}, 'darwin', '/Users/u')).toBe('/Users/u/Library/Application Support/Tern')
  await makeDataFolder(at('deep/er'))
  if (process.platform !== 'win32') expect(statSync(at('deep/er')).mode & 0o777).toBe(0o700)
})
