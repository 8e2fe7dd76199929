/** Chats as files: out and in again without loss, other programs' exports, and files that are none. */
import { strToU8, zipSync } from 'fflate'
import { beforeEach, describe, expect, it } from 'vitest'
import { createRandom, wholeBelow } from '../../engine/seeded-random.ts'
import { chatLibrary } from '../../main/host/chat-library.ts'
import { ChatFiles } from '../../main/services/chat-files/chat-files.ts'
import { orderedTree } from '../../main/services/chat-files/ordered-tree.ts'
import type { ChatLibrary, StoredChat } from '../../main/services/chat-files/ports.ts'
import { fileNameOf } from '../../main/services/chat-files/write-chat-file.ts'
import { Chats } from '../../main/services/chats/chats.ts'
import type { EngineAccess } from '../../main/services/chats/ports.ts'
import { openDiskChatStore } from '../../main/services/store/disk-chat-store.ts'
import { chatRecord, messageNode } from '../messages.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { createTestTime } from '../test-time.ts'

const folder = temporaryFolder()
let library: Map<string, StoredChat>
let files: ChatFiles
const time = createTestTime()

function libraryOf(chats: Map<string, StoredChat>): ChatLibrary {
  return {
    ids: async () => [...chats.keys()],
    has: id => chats.has(id),
    read: async id => chats.get(id) ?? null,
    adopt: async stored => void chats.set(stored.chat.id, stored),
  }
}

beforeEach(() => {
  library = new Map()
  let ids = 0
  files = new ChatFiles(libraryOf(library), time, () => `upload-${ids++}`)
})

const upload = (bytes: Uint8Array, into = files): string => {
  const id = into.begin()
  for (let at = 0; at < bytes.length; at += 1_000)
    into.add(id, Buffer.from(bytes.slice(at, at + 1_000)).toString('base64'))
  return id
}
const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
const zip = (entries: Record<string, unknown>) =>
  zipSync(Object.fromEntries(Object.entries(entries).map(([name, value]) => [name, strToU8(JSON.stringify(value))])))

async function exported(chatId: string | null, format: 'markdown' | 'html' | 'json' | 'archive') {
  const { fileId, fileName, mediaType, pieceCount } = await files.export(chatId, format)
  const pieces = Array.from({ length: pieceCount }, (_, index) => Buffer.from(files.piece(fileId, index), 'base64'))
  expect(() => files.piece(fileId, 0)).toThrow('not here any more')
  const bytes = new Uint8Array(Buffer.concat(pieces))
  return { bytes, text: new TextDecoder().decode(bytes), fileName, mediaType }
}

/** A tree of random messages with all that a message may carry. */
function randomChat(seed: number): StoredChat {
  const random = createRandom(seed)
  const below = (limit: number) => wholeBelow(random, limit)
  const texts = ['', 'Hi', '<script>alert(1)</script>', '# 標題\n\n🐦‍⬛', '"quotes" & \\ \u2028', 'x'.repeat(3_000)]
  const messages = Array.from({ length: 1 + below(12) }, (_, n) =>
    messageNode({
      id: `c${seed}-m${n}`,
      parentId: n === 0 ? null : `c${seed}-m${below(n)}`,
      role: below(2) === 0 ? 'user' : 'assistant',
      content: texts[below(texts.length)],
      status: (['complete', 'stopped', 'interrupted', 'failed'] as const)[below(4)],
      createdAtMs: below(1e9),
      finishReason: below(2) === 0 ? null : 'max-tokens',
      notice: below(2) === 0 ? null : 'It moved.',
    }),
  )
  const chat = chatRecord({
    id: `c${seed}`,
    title: texts[1 + below(3)],
    createdAtMs: below(1e9),
    updatedAtMs: below(1e9),
    activeLeafId: messages.at(-1)!.id,
    isPinned: below(2) === 0,
    isArchived: below(2) === 0,
    folder: below(2) === 0 ? null : 'A folder',
    tags: below(2) === 0 ? [] : ['a', 'b'],
  })
  return { chat, messages }
}

describe('an archive', () => {
  it('holds everything, and is taken in without loss; a second time it adds nothing', async () => {
    for (let seed = 1; seed <= 20; seed++) library.set(`c${seed}`, randomChat(seed))
    const { bytes, fileName, mediaType } = await exported(null, 'archive')
    expect([fileName, mediaType]).toEqual(['tern-chats-2026-01-01.zip', 'application/zip'])
    const elsewhere = new Map<string, StoredChat>()
    let ids = 0
    const there = new ChatFiles(libraryOf(elsewhere), time, () => `${ids++}`)
    const id = upload(bytes, there)
    const messages = [...library.values()].reduce((sum, stored) => sum + stored.messages.length, 0)
    const report = { source: 'tern', chats: 20, messages, knownChats: 0, leftOut: [] }
    expect(there.read(id)).toEqual(report)
    expect(elsewhere.size).toBe(0)
    expect(await there.import(id)).toEqual(report)
    for (const [chatId, stored] of library) expect(elsewhere.get(chatId)).toEqual(orderedTree(stored))
    const again = upload(bytes, there)
    expect(await there.import(again)).toMatchObject({ chats: 0, messages: 0, knownChats: 20 })
  })

  it('takes a reply that was being written as one that was cut off', async () => {
    const messages = [messageNode({ id: 'm', status: 'streaming', content: 'Half' })]
    library.set('c', { chat: chatRecord({ id: 'c', activeLeafId: 'm' }), messages })
    const { text } = await exported('c', 'json')
    expect(JSON.parse(text).messages[0].status).toBe('interrupted')
  })
})

it('a file of many pieces comes whole', async () => {
  const content = '🐦 flies '.repeat(600_000)
  library.set('c', { chat: chatRecord({ id: 'c', activeLeafId: 'm' }), messages: [messageNode({ id: 'm', content })] })
  const { text, bytes } = await exported('c', 'markdown')
  expect(bytes.length).toBeGreaterThan(3 * 2 ** 21)
  expect(text).toContain(content.trim())
})

describe('a chat as a file to read', () => {
  beforeEach(() => {
    const messages = [
      messageNode({ id: 'q', role: 'user', content: 'Is 1 < 2 & <b>so</b>?' }),
      messageNode({ id: 'a', parentId: 'q', content: 'Another branch' }),
      messageNode({ id: 'b', parentId: 'q', content: '**Yes.**' }),
    ]
    library.set('c', { chat: chatRecord({ id: 'c', title: 'A: <title>/?', activeLeafId: 'b' }), messages })
  })

  it('is the branch in sight, as Markdown', async () => {
    expect(await exported('c', 'markdown')).toMatchObject({
      fileName: 'A title.md',
      text: '# A: <title>/?\n\n## You\n\nIs 1 < 2 & <b>so</b>?\n\n## Tern\n\n**Yes.**\n',
    })
  })

  it('is a page in which nothing runs', async () => {
    const { text } = await exported('c', 'html')
    expect(text).toContain('Is 1 &lt; 2 &amp; &lt;b&gt;so&lt;/b&gt;?')
    expect(text).not.toContain('<b>')
    expect(text).toContain("default-src 'none'")
  })

  it('of a chat that is gone is refused', async () => {
    await expect(exported('none', 'json')).rejects.toMatchObject({ data: { code: 'chat-not-found' } })
  })

  it.each([
    ['CON', 'chat.md'],
    ['../../etc/passwd', 'etc passwd.md'],
    ['  ', 'chat.md'],
    ['a\u0000b', 'a b.md'],
    ['ends with dots...', 'ends with dots.md'],
    ['🐦'.repeat(200), `${'🐦'.repeat(80)}.md`],
  ])('the title %j makes a name for every system', (title, name) => {
    expect(fileNameOf(title, 'md')).toBe(name)
  })
})

describe('other programs', () => {
  const nodes = (stored: StoredChat) =>
    stored.messages.map(({ id, parentId, role, content }) => [id, parentId, role, content])

  it('ChatGPT: the tree with its branches; hidden and tool messages are passed over, times are seconds', async () => {
    const message = (role: string, parts: unknown[], over = {}) => ({
      author: { role },
      create_time: 1_700_000_000.5,
      content: { content_type: 'text', parts },
      weight: 1,
      recipient: 'all',
      ...over,
    })
    const conversation = {
      conversation_id: 'abc-1',
      title: 'Trip',
      create_time: 1_700_000_000,
      update_time: 1_700_000_100,
      current_node: 'n5',
      mapping: {
        root: { id: 'root', parent: null, message: null },
        sys: { id: 'sys', parent: 'root', message: message('system', [''], { weight: 0 }) },
        n1: { id: 'n1', parent: 'sys', message: message('user', ['Where to?']) },
        n2: { id: 'n2', parent: 'n1', message: message('assistant', ['search()'], { recipient: 'browser' }) },
        n3: { id: 'n3', parent: 'n2', message: message('tool', ['found']) },
        n4: { id: 'n4', parent: 'n3', message: message('assistant', ['North.', { image: 1 }]) },
        n5: { id: 'n5', parent: 'n1', message: message('assistant', ['South.']) },
      },
    }
    for (const bytes of [
      json([conversation]),
      zip({ 'conversations-000.json': [conversation], 'user.json': { id: 'u' } }),
    ]) {
      library.clear()
      const id = upload(bytes)
      expect(files.read(id)).toEqual({
        source: 'chatgpt',
        chats: 1,
        messages: 3,
        knownChats: 0,
        leftOut: [
          { reason: 'parts-not-text', count: 1 },
          { reason: 'tool-and-system-messages', count: 1 },
        ],
      })
      await files.import(id)
      const stored = library.get('chatgpt-abc-1')!
      expect(nodes(stored)).toEqual([
        ['chatgpt-abc-1-n1', null, 'user', 'Where to?'],
        ['chatgpt-abc-1-n4', 'chatgpt-abc-1-n1', 'assistant', 'North.'],
        ['chatgpt-abc-1-n5', 'chatgpt-abc-1-n1', 'assistant', 'South.'],
      ])
      expect(stored.chat).toMatchObject({
        title: 'Trip',
        createdAtMs: 1_700_000_000_000,
        activeLeafId: 'chatgpt-abc-1-n5',
      })
      expect(files.read(upload(bytes))).toMatchObject({ chats: 0, knownChats: 1 })
    }
  })

  it('Open WebUI: its tree, with branches', async () => {
    const chat = {
      id: 'w1',
      title: 'Web',
      updated_at: 1_700_000_000,
      chat: {
        history: {
          currentId: 'c',
          messages: {
            a: { id: 'a', parentId: null, role: 'user', content: 'Hello', timestamp: 1_700_000_000 },
            b: { id: 'b', parentId: 'a', role: 'assistant', content: 'One' },
            c: { id: 'c', parentId: 'a', role: 'assistant', content: [{ type: 'text', text: 'Two' }] },
          },
        },
      },
    }
    await files.import(upload(json([chat])))
    expect(nodes(library.get('open-webui-w1')!)).toEqual([
      ['open-webui-w1-a', null, 'user', 'Hello'],
      ['open-webui-w1-b', 'open-webui-w1-a', 'assistant', 'One'],
      ['open-webui-w1-c', 'open-webui-w1-a', 'assistant', 'Two'],
    ])
  })

  it('LM Studio: versions are branches, and steps are one text', async () => {
    const conversation = {
      name: 'Local',
      messages: [
        { versions: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }], currentlySelected: 0 },
        {
          versions: [
            { role: 'assistant', steps: [{ content: [{ type: 'text', text: 'First' }] }] },
            {
              role: 'assistant',
              steps: [{ content: [{ type: 'text', text: 'Sec' }] }, { content: [{ type: 'text', text: 'ond' }] }],
            },
          ],
          currentlySelected: 1,
        },
        { versions: [{ role: 'user', content: 'Thanks' }] },
      ],
    }
    const id = upload(zip({ 'x/1700000000000.conversation.json': conversation }))
    expect(files.read(id)).toMatchObject({ source: 'lm-studio', chats: 1, messages: 4 })
    await files.import(id)
    const stored = library.get('lm-studio-1700000000000')!
    expect(stored.chat.createdAtMs).toBe(1_700_000_000_000)
    expect(
      stored.messages.map(({ content, parentId }) => [content, parentId?.split('-').slice(3).join('-') ?? null]),
    ).toEqual([
      ['Hi', null],
      ['First', '0-0'],
      ['Sec\nond', '0-0'],
      ['Thanks', '1-1'],
    ])
  })

  it('Jan: threads and their messages, in seconds or milliseconds', async () => {
    const bytes = zipSync({
      'threads/t1/thread.json': strToU8(
        JSON.stringify({ id: 't1', object: 'thread', title: 'Jan', assistants: [], created: 1_700_000_000 }),
      ),
      'threads/t1/messages.jsonl': strToU8(
        [
          {
            id: 'b',
            thread_id: 't1',
            role: 'assistant',
            created_at: 1_700_000_002_000,
            content: [{ type: 'text', text: { value: 'Yes' } }],
          },
          {
            id: 'a',
            thread_id: 't1',
            role: 'user',
            created_at: 1_700_000_001,
            content: [{ type: 'text', text: { value: 'Well?' } }],
          },
        ]
          .map(line => JSON.stringify(line))
          .join('\n'),
      ),
    })
    await files.import(upload(bytes))
    expect(nodes(library.get('jan-t1')!)).toEqual([
      ['jan-t1-a', null, 'user', 'Well?'],
      ['jan-t1-b', 'jan-t1-a', 'assistant', 'Yes'],
    ])
  })
})

describe('ids of a file', () => {
  const turn = (content: string) => ({ versions: [{ role: 'user', content }], currentlySelected: 0 })
  const webUi = (id: string, messages: Record<string, unknown>) => ({
    id,
    title: id,
    chat: { history: { currentId: null, messages } },
  })

  it('of any script are told apart', async () => {
    const said = { role: 'user', content: 'Hello' }
    await files.import(upload(json([webUi('漢字', { 一: said, 二: said }), webUi('假名', { 一: said })])))
    expect([...library.values()].map(({ messages }) => new Set(messages.map(({ id }) => id)).size)).toEqual([2, 1])
  })

  it('are made for chats without one, and stay the same when the chat goes on', async () => {
    const node = (parent: string | null, role: string, text: string) => ({
      parent,
      message: { author: { role }, content: { parts: [text] } },
    })
    const first = { title: 'One', create_time: 1, mapping: { a: node(null, 'user', 'One?') } }
    const second = { title: 'Two', create_time: 2, mapping: { a: node(null, 'user', 'Two?') } }
    await files.import(upload(json([first, second])))
    expect(library.size).toBe(2)
    const longer = { ...first, mapping: { ...first.mapping, b: node('a', 'assistant', 'One.') } }
    expect(files.read(upload(json([longer])))).toMatchObject({ chats: 0, knownChats: 1 })
  })

  it('that two files of LM Studio share are two chats; the same chat twice is one', async () => {
    const bytes = zip({
      'a/1700000000000.conversation.json': { name: 'A', messages: [turn('One')] },
      'b/1700000000000.conversation.json': { name: 'B', messages: [turn('Two')] },
      'c/1700000000000.conversation.json': { name: 'B', messages: [turn('Two'), turn('Three')] },
    })
    const id = upload(bytes)
    expect(files.read(id)).toMatchObject({ chats: 2, messages: 3, leftOut: [{ reason: 'chats-twice', count: 1 }] })
    await files.import(id)
    expect([...library.values()].map(({ messages }) => messages.map(({ content }) => content))).toEqual([
      ['One'],
      ['Two', 'Three'],
    ])
    expect(files.read(upload(bytes))).toMatchObject({ chats: 0, knownChats: 2 })
  })

  it('of messages that stand in another chat are made new', async () => {
    const store = await openDiskChatStore({ folder: folder.path, stamp: 'now', nowMs: 1e12 })
    const chats = new Chats({} as EngineAccess, store, { time })
    const own = new ChatFiles(chatLibrary(chats, store), time, () => 'upload')
    const chat = (id: string) => {
      const messages = [
        messageNode({ id: 'q', role: 'user', content: id }),
        messageNode({ id: 'a', parentId: 'q', content: `Reply to ${id}` }),
      ]
      return { format: 'tern-chat', version: 1, ...chatRecord({ id, activeLeafId: 'a' }), messages }
    }
    const bytes = json([chat('c1'), chat('c2')])
    expect(await own.import(upload(bytes, own))).toMatchObject({ chats: 2, messages: 4 })
    for (const id of ['c1', 'c2']) {
      const { chat: kept, messages } = (await store.open(id))!
      expect(messages.map(({ content }) => content)).toEqual([id, `Reply to ${id}`])
      expect(messages.map(({ parentId }) => parentId)).toEqual([null, messages[0].id])
      expect(kept.activeLeafId).toBe(messages[1].id)
    }
    expect(await own.import(upload(bytes, own))).toMatchObject({ chats: 0, knownChats: 2 })
    await chats.delete('c1')
    expect(await own.import(upload(bytes, own))).toMatchObject({ chats: 1, messages: 2, knownChats: 1 })
    expect((await store.open('c1'))!.chat.deletedAtMs).toBeNull()
    await chats.settle()
    await store.close()
  })
})

describe('a damaged export', () => {
  it('ChatGPT: a message that cannot be read costs itself, and a chat that cannot is counted', async () => {
    const node = (parent: string | null, text: string) => ({
      parent,
      message: { author: { role: 'user' }, content: { parts: [text] } },
    })
    const conversation = {
      id: 'x',
      mapping: { a: node(null, 'One'), b: { parent: 'a', message: { author: 7 } }, c: node('b', 'Three') },
    }
    const id = upload(json([conversation, { id: 'y', mapping: 7 }, { id: 'z', mapping: null }, { a: 1 }]))
    expect(files.read(id)).toMatchObject({
      chats: 1,
      messages: 2,
      leftOut: [
        { reason: 'damaged-messages', count: 1 },
        { reason: 'damaged-chats', count: 2 },
      ],
    })
    await files.import(id)
    expect(library.get('chatgpt-x')!.messages.map(({ id, parentId }) => [id, parentId])).toEqual([
      ['chatgpt-x-a', null],
      ['chatgpt-x-c', 'chatgpt-x-a'],
    ])
  })

  it('Open WebUI: messages without a tree follow each other', async () => {
    const messages = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Hello' },
    ]
    const id = upload(
      json([
        { id: 'old', chat: { messages } },
        { id: 'broken', chat: 3 },
      ]),
    )
    expect(files.read(id)).toMatchObject({ chats: 1, messages: 2, leftOut: [{ reason: 'damaged-chats', count: 1 }] })
    await files.import(id)
    const { chat, messages: taken } = library.get('open-webui-old')!
    expect(taken[1].parentId).toBe(taken[0].id)
    expect(chat.activeLeafId).toBe(taken[1].id)
  })

  it('Jan: messages are not taken for threads', () => {
    const message = { id: 'm', thread_id: 't', role: 'user', created_at: 1, content: 'Hi' }
    const id = upload(json([{ id: 't', assistants: [] }, message, { id: 'n', thread_id: 't' }]))
    expect(files.read(id)).toMatchObject({
      chats: 1,
      messages: 1,
      leftOut: [{ reason: 'damaged-messages', count: 1 }],
    })
  })
})

describe('a file that is none, or means harm', () => {
  it.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array()],
    ['a text', new TextEncoder().encode('Hello')],
    ['other JSON', json({ a: 1 })],
    ['a broken archive', strToU8('PK\u0003\u0004 and no more')],
    ['an archive of pictures', zip({ 'a.png': 1 })],
  ])('%s is refused with a sentence', (_, bytes) => {
    const id = upload(bytes)
    expect(() => files.read(id)).toThrow(
      expect.objectContaining({
        data: expect.objectContaining({ code: 'format-invalid', remedy: expect.any(String) }),
      }),
    )
  })

  it('an archive that unfolds without end is refused before it does', () => {
    const bomb = zipSync({ 'a.json': new Uint8Array(50) }, { level: 0 })
    // The size that it claims: in the directory at its end, from which it is read.
    const view = new DataView(bomb.buffer, bomb.byteOffset)
    const directory = Buffer.from(bomb).lastIndexOf('PK\u0001\u0002')
    view.setUint32(directory + 24, 0xfffffff0, true)
    expect(() => files.read(upload(bomb))).toThrow(
      expect.objectContaining({ data: expect.objectContaining({ code: 'limit-exceeded' }) }),
    )
  })

  it('a ring of messages is cut, ids that stand twice are one, and a lost parent makes a beginning', () => {
    const messages = [
      messageNode({ id: 'a', parentId: 'b' }),
      messageNode({ id: 'b', parentId: 'a' }),
      messageNode({ id: 'b', parentId: null }),
      messageNode({ id: 'c', parentId: 'lost' }),
    ]
    const { chat, messages: ordered } = orderedTree({ chat: chatRecord({ activeLeafId: 'nowhere' }), messages })
    expect(ordered.map(({ id, parentId }) => [id, parentId])).toEqual([
      ['c', null],
      ['a', null],
      ['b', 'a'],
    ])
    expect(chat.activeLeafId).toBe('b')
  })

  it('an id that would be an address elsewhere is refused, a later version too', () => {
    const good = {
      format: 'tern-chat',
      version: 1,
      id: 'x',
      title: '',
      createdAtMs: 0,
      updatedAtMs: 0,
      activeLeafId: null,
      messages: [],
    }
    const id = upload(json([good, { ...good, id: '../x' }, { ...good, id: 'y', version: 9 }]))
    expect(files.read(id)).toMatchObject({
      chats: 1,
      leftOut: [{ reason: 'damaged-chats', count: 2 }],
    })
  })

  it('500 exports with random damage: chats or a sentence, and never anything else', () => {
    const whole = json(
      [randomChat(1), randomChat(2)].map(({ chat, messages }) => ({
        format: 'tern-chat',
        version: 1,
        ...chat,
        messages,
      })),
    )
    const random = createRandom(7)
    for (let n = 0; n < 500; n++) {
      const bytes = Uint8Array.from(whole)
      for (let damage = 0; damage < 3; damage++) bytes[wholeBelow(random, bytes.length)] = wholeBelow(random, 256)
      try {
        files.read(upload(bytes.slice(0, 1 + wholeBelow(random, bytes.length))))
      } catch (error) {
        expect(error).toMatchObject({ data: { code: 'format-invalid' } })
      }
    }
  })

  it('is forgotten when nobody asks for it', async () => {
    const id = files.begin()
    await time.advance(11 * 60_000)
    expect(() => files.read(id)).toThrow('not here any more')
  })
})
