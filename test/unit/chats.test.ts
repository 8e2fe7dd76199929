/** Chats over a fake engine: replies, states around them, and what is left when things go wrong. The clock is turned by hand. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Chat, ChatEvent, ChatMessage, ChatSummary } from '../../contract/app/chats.ts'
import { type EngineApi, engineApi } from '../../contract/engine-api.ts'
import { TernError, toErrorData } from '../../contract/errors.ts'
import { type Client, createClient, createTransportPair, type Server, serve } from '../../contract/rpc.ts'
import { Chats, KEEP_DELETED_MS } from '../../main/services/chats/chats.ts'
import { createMemoryChatStore } from '../../main/services/chats/memory-chat-store.ts'
import type { ChatStore, EngineConnection } from '../../main/services/chats/ports.ts'
import { MAX_LIVE_SESSIONS } from '../../main/services/chats/session-store.ts'
import { createFakeEngine, FAKE_COMMANDS, type FakeEngine } from '../fake-engine.ts'
import { createTestTime, settled, type TestTime } from '../test-time.ts'

const TOKEN_MS = 10
const REPLY_WORDS = 20

/** An engine that can be lost and comes back empty, as a new process would. */
class FakeAccess {
  engine!: FakeEngine
  failure: TernError | null = null
  replyWords = REPLY_WORDS
  private connection: EngineConnection | null = null
  private client!: Client<EngineApi>
  private server!: Server
  private waiting: (() => void)[] = []
  private readonly time: TestTime

  constructor(time: TestTime) {
    this.time = time
  }

  async start(modelKey = 'fake') {
    const [near, far] = createTransportPair()
    this.engine = createFakeEngine({
      tokenMs: TOKEN_MS,
      replyWords: this.replyWords,
      loadMs: 0,
      onCrash: () => this.lose(),
      time: this.time,
    })
    this.server = serve(engineApi, far, this.engine.handlers)
    this.client = createClient(engineApi, near)
    const loading = this.client.subscribe('model.load', { path: '/models/fake.gguf', backend: 'auto' }, () => {}).ended
    await this.time.advance(0)
    await loading
    this.connection = { client: this.client, modelKey }
    for (const wake of this.waiting.splice(0)) wake()
    await settled()
  }

  lose() {
    this.connection = null
    this.client.close({ code: 'engine-lost', message: 'The engine process ended.', remedy: 'It restarts by itself.' })
    this.server.close()
  }

  async whenReady(signal?: { aborted: boolean; addEventListener(type: 'abort', listener: () => void): void }) {
    while (this.connection === null) {
      if (this.failure !== null) throw this.failure
      if (signal?.aborted) throw new TernError({ code: 'cancelled', message: 'Cancelled.' })
      await new Promise<void>(resolve => {
        this.waiting.push(resolve)
        signal?.addEventListener('abort', resolve)
      })
    }
    return this.connection
  }
}

/** What one window holds after the events it got: the chat, built from them alone. */
class Window {
  chat: Chat | null = null
  readonly events: ChatEvent[] = []
  isEnded = false
  private readonly controller = new AbortController()

  constructor(chats: Chats, chatId: string) {
    void chats
      .watch(chatId, event => this.receive(structuredClone(event)), this.controller.signal)
      .then(() => {
        this.isEnded = true
      })
  }
  close() {
    this.controller.abort()
  }
  get last(): ChatMessage {
    return this.chat!.messages.at(-1)!
  }
  private setReply(messageId: string, reply: Chat['reply']) {
    const { comparison } = this.chat!
    const replies = comparison?.replies.map(one => (one.message.id === messageId ? { ...one, reply } : one)) ?? []
    const isShown = this.last.id === messageId
    this.chat = { ...this.chat!, ...(isShown ? { reply } : {}), comparison: comparison && { ...comparison, replies } }
  }
  private receive(event: ChatEvent) {
    this.events.push(event)
    if (event.kind === 'chat') this.chat = event.chat
    if (this.chat === null) return
    const change = (id: string, next: (message: ChatMessage) => ChatMessage) => {
      const { messages, comparison } = this.chat!
      const changed = (message: ChatMessage) => (message.id === id ? next(message) : message)
      this.chat = {
        ...this.chat!,
        messages: messages.map(changed),
        comparison: comparison && {
          ...comparison,
          replies: comparison.replies.map(one => ({ ...one, message: changed(one.message) })),
        },
      }
    }
    if (event.kind === 'message') change(event.message.id, () => event.message)
    if (event.kind === 'append') change(event.messageId, old => ({ ...old, content: old.content + event.text }))
    if (event.kind === 'reply') this.setReply(event.messageId, event.reply)
  }
}

let time: TestTime
let access: FakeAccess
let chats: Chats
let store: ChatStore
let nextId: number
const windows: Window[] = []

async function setUp(maxSnapshotBytes?: number) {
  time = createTestTime()
  access = new FakeAccess(time)
  store = createMemoryChatStore(maxSnapshotBytes)
  nextId = 0
  startHost()
  await access.start()
}
/** A host over the store as it is. */
function startHost() {
  chats = new Chats(access, store, { time, newId: () => `id-${nextId++}` })
}
beforeEach(() => setUp())
afterEach(() => {
  for (const window of windows.splice(0)) window.close()
  access.lose()
})

const open = async (chatId: string): Promise<Window> => {
  const window = new Window(chats, chatId)
  windows.push(window)
  await settled()
  return window
}
const newChat = async (isTemporary = false): Promise<Window> => open((await chats.create(isTemporary)).id)
const idOf = (window: Window) => window.chat!.id
/** Turns the clock until the reply has ended. */
async function finish(window: Window): Promise<ChatMessage> {
  for (let i = 0; i < 200 && window.chat?.reply != null; i++) await time.advance(TOKEN_MS)
  expect(window.chat?.reply).toBeNull()
  return window.last
}
async function ask(window: Window, text: string, maxTokens?: number): Promise<ChatMessage> {
  await chats.send(idOf(window), text, maxTokens === undefined ? {} : { maxTokens })
  return finish(window)
}
/** Turns the clock until so many words of the reply are there. */
async function untilWords(window: Window, words: number) {
  for (let i = 0; i < 500 && window.last.content.split(' ').length <= words; i++) await time.advance(1)
}
const failure = (work: Promise<unknown>) => work.then(() => null, toErrorData)
const summaries = async (): Promise<ChatSummary[]> => {
  let all: ChatSummary[] = []
  const controller = new AbortController()
  void chats.watchSummaries(event => {
    if (event.kind === 'all') all = event.summaries
  }, controller.signal)
  await settled()
  controller.abort()
  return all
}
const stored = async (chatId: string) => (await store.open(chatId))!.messages

describe('a chat', () => {
  it('streams a reply, and says how it went', async () => {
    const window = await newChat()
    const reply = await ask(window, 'Hello tern')
    expect(reply).toMatchObject({ role: 'assistant', status: 'complete', finishReason: 'end-of-text', error: null })
    expect(reply.content.trim().split(' ')).toHaveLength(REPLY_WORDS)
    // The fake reads a prompt in the time of a token, then writes one token after another.
    expect(reply.stats).toEqual({
      promptTokens: 4,
      generatedTokens: REPLY_WORDS,
      ttftMs: 2 * TOKEN_MS,
      prefillTokensPerSecond: 1000,
      decodeTokensPerSecond: 1000 / TOKEN_MS,
    })
    expect(reply.actions).toEqual(['regenerate'])
    // The time to the first token is told with the first token, not at the end.
    const first = window.events.find(event => event.kind === 'message' && event.message.status === 'streaming')
    expect(first).toMatchObject({ message: { stats: { ttftMs: 2 * TOKEN_MS, generatedTokens: 0 } } })
    // Batched to one a frame, with the figures of the moment.
    const appends = window.events.filter(event => event.kind === 'append')
    expect(appends.length).toBeGreaterThan(5)
    expect(appends.length).toBeLessThan(REPLY_WORDS)
    const phases = window.events.flatMap(event => (event.kind === 'reply' ? [event.reply?.phase ?? 'none'] : []))
    expect([...new Set(phases)]).toEqual(['reading', 'writing', 'none'])
    const figures = window.events.findLast(event => event.kind === 'reply' && event.reply !== null)
    expect(figures).toMatchObject({ reply: { generatedTokens: REPLY_WORDS, tokensPerSecond: 1000 / TOKEN_MS } })
    // What a window put together is what the host has, and what is stored.
    expect((await open(idOf(window))).chat).toEqual(window.chat)
    expect((await stored(idOf(window))).map(({ content }) => content)).toEqual(['Hello tern', reply.content])
  })

  it('is named after the first words of the user', async () => {
    const window = await newChat()
    expect(window.chat!.title).toBe('New chat')
    await ask(window, '  What is a tern?\nTell me more.', 1)
    expect(window.chat!.title).toBe('What is a tern?')
    await ask(window, 'Another question', 1)
    expect(window.chat!.title).toBe('What is a tern?')
  })

  it('reads only what is new: the state has the rest', async () => {
    const window = await newChat()
    await ask(window, 'first')
    await ask(window, 'second')
    const reads = access.engine.reads.filter(({ kind }) => kind === 'messages')
    expect(reads).toHaveLength(2)
    expect(reads[1]!.read).toContain('second')
    expect(reads[1]!.read).not.toContain('first')
    expect(reads[1]!.reused).toBe(23)
  })

  it('takes one message at a time', async () => {
    const window = await newChat()
    const id = idOf(window)
    const first = chats.send(id, 'one')
    // Not even in the same moment.
    expect((await failure(chats.send(id, 'two')))?.code).toBe('chat-busy')
    await first
    for (const work of [
      chats.send(id, 'two'),
      chats.regenerate(id, window.last.id),
      chats.continue(id, window.last.id),
      chats.edit(id, window.chat!.messages[0]!.id, 'x'),
      chats.select(id, window.last.id),
    ]) {
      expect((await failure(work))?.code).toBe('chat-busy')
    }
    await finish(window)
    expect(await failure(chats.send(id, 'two'))).toBeNull()
    await finish(window)
  })

  it('that does not exist, or has no such message, says so', async () => {
    const window = await newChat()
    const id = idOf(window)
    expect((await failure(chats.send('no-such-chat', 'x')))?.code).toBe('chat-not-found')
    expect((await failure(chats.watch('no-such-chat', () => {}, new AbortController().signal)))?.code).toBe(
      'chat-not-found',
    )
    expect((await failure(chats.regenerate(id, 'no-such-message')))?.code).toBe('message-not-found')
    expect(await failure(chats.stop(id))).toBeNull()
    await ask(window, 'x', 1)
    expect((await failure(chats.regenerate(id, window.chat!.messages[0]!.id)))?.code).toBe('message-not-found')
    expect((await failure(chats.edit(id, window.last.id, 'x')))?.code).toBe('message-not-found')
  })
})

describe('stop, continue', () => {
  it('stop keeps the text so far; continue goes on after it, without reading anything again', async () => {
    const window = await newChat()
    await chats.send(idOf(window), 'Hello')
    await untilWords(window, 4)
    await chats.stop(idOf(window))
    const stopped = await finish(window)
    expect(stopped).toMatchObject({ status: 'stopped', finishReason: 'cancelled', error: null })
    expect(stopped.actions).toContain('continue')
    const readsBefore = access.engine.reads.length
    await chats.continue(idOf(window), stopped.id)
    const whole = await finish(window)
    expect(whole.content.startsWith(stopped.content)).toBe(true)
    expect(whole.content.trim().split(' ')).toHaveLength(REPLY_WORDS)
    expect(whole.stats).toMatchObject({ generatedTokens: REPLY_WORDS, ttftMs: stopped.stats!.ttftMs })
    expect(access.engine.reads.slice(readsBefore).every(({ read }) => read === '')).toBe(true)
  })

  it('a reply that came to its end cannot be gone on with', async () => {
    const window = await newChat()
    const reply = await ask(window, 'Hello')
    expect(await failure(chats.continue(idOf(window), reply.id))).toMatchObject({
      code: 'invalid-argument',
      remedy: expect.any(String),
    })
  })

  it('stop while the engine is away ends the wait', async () => {
    const window = await newChat()
    access.lose()
    await chats.send(idOf(window), 'Hello')
    await settled()
    expect(window.chat!.reply).toMatchObject({ phase: 'waiting' })
    await chats.stop(idOf(window))
    await settled()
    expect(window.last).toMatchObject({ status: 'stopped', content: '' })
    await access.start()
    expect(await ask(window, 'Again')).toMatchObject({ status: 'complete' })
    // The empty reply is no part of the conversation.
    expect(access.engine.reads.findLast(({ kind }) => kind === 'messages')!.read).not.toMatch(/<assistant>\s+<user>/)
  })

  it('max tokens end a reply that can be continued', async () => {
    const window = await newChat()
    expect(await ask(window, 'Hello', 5)).toMatchObject({ status: 'complete', finishReason: 'max-tokens' })
    await chats.continue(idOf(window), window.last.id)
    expect(await finish(window)).toMatchObject({ finishReason: 'end-of-text', stats: { generatedTokens: 20 } })
  })
})

describe('versions', () => {
  it('regenerate writes another reply from the state before it, and the old one stays', async () => {
    const window = await newChat()
    await ask(window, 'first')
    const old = await ask(window, 'second')
    const readsBefore = access.engine.reads.length
    await chats.regenerate(idOf(window), old.id)
    await settled()
    expect(window.last).toMatchObject({ content: '', stats: null, versions: [old.id, window.last.id] })
    const fresh = await finish(window)
    expect(fresh).toMatchObject({ status: 'complete', content: old.content })
    expect(fresh.id).not.toBe(old.id)
    expect(access.engine.reads.slice(readsBefore).map(({ read }) => read)).toEqual([''])
    await chats.select(idOf(window), old.id)
    expect(window.last).toMatchObject({ id: old.id, content: old.content, status: 'complete' })
    // And the next message goes on after the version that is shown, reading only itself.
    await ask(window, 'third')
    expect(access.engine.reads.findLast(({ kind }) => kind === 'messages')!.read).not.toContain('second')
    expect(window.chat!.messages[3]!.id).toBe(old.id)
  })

  it('stopped before its first word, the version before comes back', async () => {
    const window = await newChat()
    const old = await ask(window, 'first')
    await chats.regenerate(idOf(window), old.id)
    await chats.stop(idOf(window))
    await finish(window)
    expect(window.last).toMatchObject({ id: old.id, content: old.content, versions: [old.id] })
    expect(await stored(idOf(window))).toHaveLength(2)
    expect((await store.open(idOf(window)))!.chat.activeLeafId).toBe(old.id)
  })

  it('stopped after a word, both stay', async () => {
    const window = await newChat()
    const old = await ask(window, 'first')
    await chats.regenerate(idOf(window), old.id)
    await untilWords(window, 1)
    await chats.stop(idOf(window))
    const fresh = await finish(window)
    expect(fresh.versions).toEqual([old.id, fresh.id])
    expect(fresh.status).toBe('stopped')
  })

  it('edit asks the question in other words, in a branch of its own; the other is a selection away', async () => {
    const window = await newChat()
    await ask(window, 'first')
    await ask(window, 'second')
    const [question, , secondQuestion] = window.chat!.messages
    await chats.edit(idOf(window), question!.id, 'another first')
    await finish(window)
    expect(window.chat!.messages.map(({ content }) => content)).toEqual(['another first', window.last.content])
    expect(window.chat!.messages[0]!.versions).toHaveLength(2)
    await chats.select(idOf(window), question!.id)
    // As it was last seen: down to its leaf.
    expect(window.chat!.messages).toHaveLength(4)
    expect(window.chat!.messages[2]!.id).toBe(secondQuestion!.id)
  })
})

describe('a branch', () => {
  it('is a chat of its own with all up to a message, and reads nothing again', async () => {
    const window = await newChat()
    await ask(window, 'first')
    const [, reply] = window.chat!.messages
    await ask(window, 'second')
    await chats.rename(idOf(window), '  My \n chat  ')
    expect(window.chat!.title).toBe('My chat')
    const branch = await chats.branch(idOf(window), reply!.id)
    expect(branch.title).toBe('My chat')
    expect(branch.messages.map(({ content }) => content)).toEqual(['first', reply!.content])
    expect(branch.messages.map(({ id }) => id)).not.toContain(reply!.id)
    const other = await open(branch.id)
    await ask(other, 'third')
    // The old one's state at the reply was taken along: only what is new was read.
    expect(access.engine.reads.at(-1)!.read).not.toContain('first')
    expect(window.chat!.messages).toHaveLength(4)
    await chats.delete(idOf(window))
    await time.advance(KEEP_DELETED_MS)
    await settled()
    expect(await stored(branch.id)).toHaveLength(4)
    expect(await store.getSnapshot(other.chat!.messages[1]!.id, 'fake')).not.toBeNull()
  })

  it('has no title that shows nothing', async () => {
    const window = await newChat()
    for (const title of ['', '  ', '\u200b', '\n']) {
      await expect(chats.rename(idOf(window), title)).rejects.toMatchObject({ data: { code: 'invalid-argument' } })
    }
    await chats.rename(idOf(window), `\u202e${'x'.repeat(300)}`)
    expect(window.chat!.title).toBe('x'.repeat(200))
  })
})

describe('a model that moves in mid-reply', () => {
  it('is told once, and the reply goes on to its end', async () => {
    const window = await newChat()
    expect(await ask(window, FAKE_COMMANDS.move)).toMatchObject({
      status: 'complete',
      finishReason: 'end-of-text',
      notice: 'The device was lost. The reply goes on elsewhere.',
      stats: { generatedTokens: REPLY_WORDS },
    })
    // What the window put together holds nothing twice.
    expect(window.last.content).toBe((await stored(idOf(window)))[1]!.content)
  })
})

describe('a store that fails for a while', () => {
  it('in mid-reply: the reply goes on, it is told, and all of the text is stored once it works again', async () => {
    const told: (string | null)[] = []
    chats = new Chats(access, store, {
      time,
      newId: () => `id-${nextId++}`,
      onStoreFailure: error => told.push(error?.code ?? null),
    })
    const window = await newChat()
    await chats.send(idOf(window), 'Hello')
    await untilWords(window, 3)
    const { appendText } = store
    store.appendText = () => Promise.reject(new TernError({ code: 'disk-full', message: 'Full.' }))
    await untilWords(window, 8)
    await time.advance(1_000)
    await settled()
    expect(told).toEqual(['disk-full', null])
    store.appendText = appendText
    const reply = await finish(window)
    expect(reply.status).toBe('complete')
    expect((await stored(idOf(window)))[1]).toMatchObject({ content: reply.content, status: 'complete' })
    expect(told.at(-1)).toBeNull()
  })

  it('before a question: it is refused with the reason, and nothing has changed', async () => {
    const window = await newChat()
    const { addMessages } = store
    store.addMessages = () => Promise.reject(new TernError({ code: 'disk-full', message: 'Full.' }))
    await expect(chats.send(idOf(window), 'Hello')).rejects.toMatchObject({ data: { code: 'disk-full' } })
    expect(window.chat!.messages).toEqual([])
    store.addMessages = addMessages
    await ask(window, 'Hello')
    expect(await stored(idOf(window))).toHaveLength(2)
  })
})

describe('an engine that is lost', () => {
  it('in mid-reply: the text stands, the message says what happened, continue goes on after it', async () => {
    const window = await newChat()
    await chats.send(idOf(window), 'please CRASH now')
    const lost = await finish(window)
    expect(lost).toMatchObject({ status: 'interrupted', error: { code: 'engine-lost', remedy: expect.any(String) } })
    expect(lost.content.trim().split(' ')).toHaveLength(5)
    expect(lost.stats).toMatchObject({ generatedTokens: 5, decodeTokensPerSecond: null })
    expect((await stored(idOf(window)))[1]).toMatchObject({ content: lost.content, status: 'interrupted' })

    await access.start()
    // The fake crashes at the fifth token of a run: this one is shorter.
    await chats.continue(idOf(window), lost.id, { maxTokens: 4 })
    const whole = await finish(window)
    expect(whole).toMatchObject({ status: 'complete', finishReason: 'max-tokens', error: null })
    expect(whole.stats).toMatchObject({ generatedTokens: 9, ttftMs: lost.stats!.ttftMs })
    expect(whole.content.startsWith(lost.content)).toBe(true)
    // From the state before the reply: only the reply's own words were read.
    expect(access.engine.reads[0]!.read.trim()).toBe(lost.content.trim())
  })

  it('a second time, after a continue: nothing older is taken for the state of the text', async () => {
    const window = await newChat()
    await ask(window, 'Hello', 5)
    await chats.continue(idOf(window), window.last.id)
    await untilWords(window, 9)
    access.lose()
    const lost = await finish(window)
    expect(lost.status).toBe('interrupted')
    await access.start()
    await chats.continue(idOf(window), lost.id)
    await finish(window)
    expect(access.engine.reads[0]!.read.trim()).toBe(lost.content.trim())
    expect(window.last.content.startsWith(lost.content)).toBe(true)
  })

  it('between replies: the next message, or another version, goes on from the snapshot', async () => {
    const window = await newChat()
    await ask(window, 'first')
    access.lose()
    await access.start()
    expect(await ask(window, 'second')).toMatchObject({ status: 'complete' })
    expect(access.engine.reads[0]).toMatchObject({ kind: 'messages', reused: 23 })
    // The clock of this test stands while a state is read, and the fake reads 1,000 tokens/s.
    expect(window.last.start).toEqual({ kind: 'resumed', tokenCount: 23, durationMs: 0, savedMs: 23 })
    access.lose()
    await access.start()
    await chats.regenerate(idOf(window), window.last.id)
    await finish(window)
    expect(access.engine.reads.map(({ read }) => read)).toEqual([''])
  })

  it('while a message waits: it waits on, and is answered by the next engine', async () => {
    access.lose()
    const window = await newChat()
    await chats.send(idOf(window), 'Hello')
    await access.start()
    expect((await finish(window)).status).toBe('complete')
  })

  it('for good: the message fails with the reason and a remedy', async () => {
    access.lose()
    access.failure = new TernError({ code: 'out-of-memory', message: 'No memory.', remedy: 'Close programs.' })
    const window = await newChat()
    expect(await ask(window, 'Hello')).toMatchObject({
      status: 'failed',
      error: { code: 'out-of-memory', remedy: 'Close programs.' },
    })
  })
})

describe('an engine that refuses', () => {
  it('fails the message and keeps the chat usable', async () => {
    const window = await newChat()
    const reply = await ask(window, 'please FAIL')
    expect(reply).toMatchObject({ status: 'failed', error: { code: 'backend-failed', remedy: 'Ask another way.' } })
    expect(reply.content).not.toBe('')
    expect(await ask(window, 'better?')).toMatchObject({ status: 'complete' })
  })

  it('a state of another model is dropped and the conversation is read again', async () => {
    const window = await newChat()
    await ask(window, 'first')
    access.lose()
    await access.start()
    access.engine.refuseStates = true
    expect(await ask(window, 'second')).toMatchObject({ status: 'complete' })
    expect(access.engine.reads[0]).toMatchObject({ reused: 0 })
    expect(access.engine.reads[0]!.read).toContain('first')
  })
})

describe('sessions and snapshots', () => {
  it('few sessions live, also after many replies at once; a chat beyond them goes on from its snapshot', async () => {
    const many: Window[] = []
    for (let i = 0; i < 12; i++) many.push(await newChat())
    await Promise.all(many.map((window, i) => chats.send(idOf(window), `chat ${i}`)))
    for (const window of many) await finish(window)
    await settled()
    expect(access.engine.sessionCount).toBeLessThanOrEqual(MAX_LIVE_SESSIONS)
    access.engine.reads.length = 0
    await ask(many[0]!, 'again')
    expect(access.engine.reads[0]!.reused).toBeGreaterThan(0)
    expect(access.engine.sessionCount).toBeLessThanOrEqual(MAX_LIVE_SESSIONS)
  })

  it('without room for snapshots, text is read again and nothing is lost', async () => {
    await setUp(0)
    const window = await newChat()
    const first = await ask(window, 'first')
    access.lose()
    await access.start()
    expect(await ask(window, 'second')).toMatchObject({ status: 'complete' })
    expect(access.engine.reads[0]!.read).toContain(first.content.trim())
    expect(window.last.start).toEqual({ kind: 'reread', reason: 'none' })
    expect((await ask(window, 'third')).start).toBeNull()
  })

  it('each model has its own: back with the first one, its states are still there', async () => {
    const window = await newChat()
    await ask(window, 'first')
    access.lose()
    await access.start('other')
    expect((await ask(window, 'second')).start).toEqual({ kind: 'reread', reason: 'other-model' })
    access.lose()
    await access.start()
    expect((await ask(window, 'third')).start).toEqual({ kind: 'reread', reason: 'other-model' })
    access.lose()
    await access.start('other')
    await chats.select(idOf(window), window.chat!.messages[3]!.id)
    access.engine.reads.length = 0
    await chats.regenerate(idOf(window), window.chat!.messages[3]!.id)
    expect((await finish(window)).start).toMatchObject({ kind: 'resumed' })
    expect(access.engine.reads.map(({ read }) => read)).toEqual([''])
  })

  it('chats do not mix: two replies at the same time', async () => {
    const [a, b] = [await newChat(), await newChat()]
    await Promise.all([chats.send(idOf(a), 'alpha'), chats.send(idOf(b), 'beta')])
    await finish(a)
    await finish(b)
    await Promise.all([chats.send(idOf(a), 'more'), chats.send(idOf(b), 'more')])
    await finish(a)
    await finish(b)
    const reads = access.engine.reads.filter(({ read }) => read.includes('more'))
    expect(reads).toHaveLength(2)
    expect(reads.every(({ reused }) => reused === 23)).toBe(true)
  })
})

describe('a state file', () => {
  it('begins a chat of the same messages that goes on without reading, also where the first chat is gone', async () => {
    const window = await newChat()
    await ask(window, 'first')
    const before = window.chat!.messages.map(({ role, content }) => ({ role, content }))
    const file = await chats.saveState(idOf(window), window.last.id)
    await chats.delete(idOf(window))
    await time.advance(KEEP_DELETED_MS)
    const opened = await chats.openState(file, false)
    const again = await open((opened as { chatId: string }).chatId)
    expect(again.chat!.messages.map(({ role, content }) => ({ role, content }))).toEqual(before)
    expect(again.chat!.title).toBe('first')
    access.engine.reads.length = 0
    expect(await ask(again, 'second')).toMatchObject({ status: 'complete', start: { kind: 'resumed', tokenCount: 23 } })
    expect(access.engine.reads[0]).toMatchObject({ reused: 23 })
  })

  it('of a message whose state is not kept is read for it', async () => {
    await setUp(0)
    const window = await newChat()
    const first = await ask(window, 'first')
    await ask(window, 'second')
    access.engine.reads.length = 0
    const saving = chats.saveState(idOf(window), first.id)
    await time.advance(100)
    const file = await saving
    expect(access.engine.reads).toHaveLength(1)
    expect(access.engine.reads[0]!.read).toContain('first')
    expect(access.engine.reads[0]!.read).not.toContain('second')
    expect(await chats.openState(file, false)).toMatchObject({ kind: 'opened' })
  })

  it('of another model is explained, and read again when that is asked for', async () => {
    const window = await newChat()
    await ask(window, 'first')
    const file = await chats.saveState(idOf(window), window.last.id)
    access.engine.refuseStates = true
    const count = (await summaries()).length
    expect(await chats.openState(file, false)).toMatchObject({
      kind: 'misfit',
      error: { code: 'state-mismatch' },
      tokenCount: 23,
    })
    expect(await summaries()).toHaveLength(count)
    const opened = await chats.openState(file, true)
    const again = await open((opened as { chatId: string }).chatId)
    access.engine.reads.length = 0
    await ask(again, 'second')
    expect(access.engine.reads[0]).toMatchObject({ reused: 0 })
    expect(access.engine.reads[0]!.read).toContain('first')
    expect(again.last.start).toEqual({ kind: 'reread', reason: 'none' })
  })
})

describe('a deleted chat', () => {
  it('is hidden everywhere, in mid-reply too, and comes back whole when it is restored', async () => {
    const window = await newChat()
    await ask(window, 'first')
    const other = await open(idOf(window))
    await chats.send(idOf(window), 'second')
    await untilWords(window, 2)
    await chats.delete(idOf(window))
    await finish(window)
    // The other window is told, and not thrown out.
    expect(other.chat).toMatchObject({ isDeleted: true })
    expect(other.isEnded).toBe(false)
    expect(await summaries()).toMatchObject([{ isDeleted: true, isReplying: false }])
    await time.advance(KEEP_DELETED_MS - 1_000)
    await chats.restore(idOf(window))
    await time.advance(KEEP_DELETED_MS * 2)
    expect(other.chat).toMatchObject({ isDeleted: false, messages: { length: 4 } })
    expect(await summaries()).toMatchObject([{ isDeleted: false }])
  })

  it('is gone for good after a while, with its session, its states and its watchers', async () => {
    const window = await newChat()
    const reply = await ask(window, 'first')
    expect(await store.getSnapshot(reply.id, 'fake')).not.toBeNull()
    const id = idOf(window)
    await chats.delete(id)
    await time.advance(KEEP_DELETED_MS)
    expect(window.isEnded).toBe(true)
    expect(await summaries()).toEqual([])
    expect((await failure(chats.send(id, 'x')))?.code).toBe('chat-not-found')
    expect(await store.getSnapshot(reply.id, 'fake')).toBeNull()
    expect(access.engine.sessionCount).toBe(0)
  })

  it('that somebody writes in is restored by that: what was written stays', async () => {
    const window = await newChat()
    await ask(window, 'first')
    await chats.delete(idOf(window))
    const reply = await ask(window, 'important new message')
    await time.advance(KEEP_DELETED_MS * 2)
    expect(window.chat).toMatchObject({ isDeleted: false, messages: { length: 4 } })
    expect(window.last).toEqual(reply)
  })
})

describe('the list', () => {
  it('tells every window what changes, latest first', async () => {
    const heard: string[] = []
    const controller = new AbortController()
    void chats.watchSummaries(event => {
      if (event.kind === 'all') heard.push(`all ${event.summaries.length}`)
      else if (event.kind === 'changed')
        heard.push(
          `${event.summary.title}, ${event.summary.messageCount}, ${event.summary.isReplying ? 'busy' : 'idle'}`,
        )
      else heard.push('removed')
    }, controller.signal)
    const [a, b] = [await newChat(), await newChat()]
    await ask(b, 'b', 1)
    await ask(a, 'a', 1)
    expect(heard).toEqual([
      'all 0',
      ...['New chat, 0, idle', 'New chat, 0, idle'],
      ...['b, 2, busy', 'b, 2, idle', 'a, 2, busy', 'a, 2, idle'],
    ])
    expect((await summaries()).map(({ title }) => title)).toEqual(['a', 'b'])
    controller.abort()
    await ask(a, 'a', 1)
    expect(heard).toHaveLength(7)
  })
})

describe('windows', () => {
  it('that come in mid-reply get the whole with its figures, then the rest, and nothing twice', async () => {
    const early = await newChat()
    await chats.send(idOf(early), 'Hello')
    await untilWords(early, 12)
    const late = await open(idOf(early))
    expect(late.events).toHaveLength(1)
    expect(late.chat!.reply).toMatchObject({ phase: 'writing', tokensPerSecond: 100 })
    await finish(early)
    expect(late.chat).toEqual(early.chat)
    expect(late.last.content.trim().split(' ')).toHaveLength(REPLY_WORDS)
  })

  it('that close hear nothing more', async () => {
    const window = await newChat()
    window.close()
    await settled()
    await chats.send(window.chat!.id, 'Hello')
    await time.advance(1_000)
    expect(window.events).toHaveLength(1)
    expect(window.isEnded).toBe(true)
  })
})

describe('a host that ends', () => {
  it('killed in mid-reply, the next one has the text but for the last moments, and goes on after it', async () => {
    access.lose()
    access.replyWords = 200
    await access.start()
    const window = await newChat()
    const id = idOf(window)
    await chats.send(id, 'Hello')
    await time.advance(TOKEN_MS * 77)
    const shown = window.last.content
    // Nothing is told to the old host any more; the store is what it is.
    startHost()
    const next = await open(id)
    expect(next.last).toMatchObject({ status: 'interrupted', actions: ['regenerate', 'continue'] })
    expect(next.last.content).not.toBe('')
    expect(shown.startsWith(next.last.content)).toBe(true)
    // At most a quarter of a second of it.
    expect((shown.split(' ').length - next.last.content.split(' ').length) * TOKEN_MS).toBeLessThanOrEqual(250)
    expect(next.chat!.reply).toBeNull()
    expect(await summaries()).toMatchObject([{ title: 'Hello', isReplying: false }])
  })

  it('between replies, the next one goes on from the snapshots', async () => {
    const window = await newChat()
    const id = idOf(window)
    await ask(window, 'first')
    startHost()
    access.lose()
    await access.start()
    const next = await open(id)
    expect(next.chat).toEqual(window.chat)
    await ask(next, 'second')
    expect(access.engine.reads[0]).toMatchObject({ reused: 23 })
  })

  it('with deleted chats: they are gone', async () => {
    const window = await newChat()
    await ask(window, 'first', 1)
    await chats.delete(idOf(window))
    startHost()
    expect(await summaries()).toEqual([])
    expect(await store.open(idOf(window))).toBeNull()
  })
})

describe('a store that fails', () => {
  it('a message that cannot be stored is not sent, and the chat is as before', async () => {
    const window = await newChat()
    await ask(window, 'first', 1)
    const before = structuredClone(window.chat)
    const addMessages = store.addMessages
    store.addMessages = async () => {
      throw new TernError({ code: 'disk-full', message: 'The disk is full.', remedy: 'Free some space.' })
    }
    expect((await failure(chats.send(idOf(window), 'second')))?.code).toBe('disk-full')
    expect(window.chat).toEqual(before)
    store.addMessages = addMessages
    expect(await ask(window, 'second', 1)).toMatchObject({ status: 'complete' })
  })
})

describe('a temporary chat', () => {
  it('is written, branched and listed like any other, and gone with the host', async () => {
    const window = await newChat(true)
    await chats.send(idOf(window), 'Hello')
    await finish(window)
    expect(window.chat).toMatchObject({ isTemporary: true, messages: [{ content: 'Hello' }, { status: 'complete' }] })
    expect(await chats.branch(idOf(window), window.last.id)).toMatchObject({ isTemporary: true })
    expect(await summaries()).toMatchObject([{ isTemporary: true }, { isTemporary: true }])
    expect(await store.list()).toEqual([])
    startHost()
    expect(await summaries()).toEqual([])
  })
})

describe('replies side by side', () => {
  /** A chat of one question with its reply. */
  const answered = async () => {
    const window = await newChat()
    await chats.send(idOf(window), 'Which way?')
    await finish(window)
    return { window, chatId: idOf(window), question: window.chat!.messages[0].id, first: window.last.id }
  }
  const finishAll = async (window: Window) => {
    for (let i = 0; i < 200 && window.chat?.comparison?.replies.some(({ reply }) => reply !== null); i++) {
      await time.advance(TOKEN_MS)
    }
  }

  it('are written at once from one state, which is read no second time', async () => {
    const { window, chatId, question, first } = await answered()
    await chats.compare(chatId, question, [{ temperature: 0.2 }, { temperature: 0.5 }, { temperature: 1 }])
    await time.advance(3 * TOKEN_MS)
    const { comparison, messages, reply } = window.chat!
    expect({ messages: messages.map(({ id }) => id), reply }).toEqual({ messages: [question], reply: null })
    expect(comparison).toMatchObject({
      questionId: question,
      replies: [0.2, 0.5, 1].map(temperature => ({ temperature, reply: { phase: 'writing' } })),
    })
    await finishAll(window)
    const replies = window.chat!.comparison!.replies
    expect(replies.map(({ message }) => message.status)).toEqual(['complete', 'complete', 'complete'])
    expect(replies.map(({ message }) => message.stats!.promptTokens)).toEqual([0, 0, 0])
    // Until one is kept, a restart shows what was there before.
    expect((await store.open(chatId))!.chat.activeLeafId).toBe(first)
    await chats.keep(chatId, replies[1].message.id)
    expect(window.chat).toMatchObject({ comparison: null, reply: null })
    expect(window.last).toMatchObject({ id: replies[1].message.id, versions: { length: 4 } })
    expect((await store.open(chatId))!.chat.activeLeafId).toBe(replies[1].message.id)
    await chats.send(chatId, 'And then?')
    await finish(window)
    expect(window.chat!.messages).toHaveLength(4)
  })

  it('one is kept while all are written: it goes on, the others are stopped where they are', async () => {
    const { window, chatId, question } = await answered()
    await chats.compare(chatId, question, [{}, {}])
    await time.advance(5 * TOKEN_MS)
    const [a, b] = window.chat!.comparison!.replies.map(({ message }) => message.id)
    await chats.keep(chatId, b)
    expect(window.chat).toMatchObject({ comparison: null, reply: { messageId: b, phase: 'writing' } })
    await finish(window)
    expect(window.last).toMatchObject({ id: b, status: 'complete' })
    await time.advance(TOKEN_MS)
    await chats.select(chatId, a)
    expect(window.last).toMatchObject({ id: a, status: 'stopped' })
  })

  it('none is kept: the chat stands where it stood, and the replies stay as versions', async () => {
    const { window, chatId, question, first } = await answered()
    await chats.compare(chatId, question, [{}, {}])
    await finishAll(window)
    await chats.keep(chatId, null)
    expect(window.last).toMatchObject({ id: first, versions: { length: 3 } })
  })

  it('one is stopped alone; one more comes beside those that are written; a fifth is refused', async () => {
    const { window, chatId, question } = await answered()
    await chats.compare(chatId, question, [{}, {}, {}])
    await time.advance(3 * TOKEN_MS)
    const ids = window.chat!.comparison!.replies.map(({ message }) => message.id)
    await chats.stop(chatId, ids[0])
    await time.advance(TOKEN_MS)
    await chats.compare(chatId, question, [{ temperature: 2 }])
    await finishAll(window)
    expect(window.chat!.comparison!.replies.map(({ message }) => message.status)).toEqual([
      'stopped',
      'complete',
      'complete',
      'complete',
    ])
    await expect(chats.compare(chatId, question, [{}])).rejects.toMatchObject({ code: 'invalid-argument' })
  })

  it('all stopped before their first word leave nothing behind', async () => {
    const { window, chatId, question, first } = await answered()
    access.lose()
    const comparing = chats.compare(chatId, question, [{}, {}])
    await settled()
    await chats.stop(chatId)
    await comparing
    await settled()
    expect(window.chat).toMatchObject({ comparison: null, reply: null })
    expect(window.last).toMatchObject({ id: first, versions: { length: 1 } })
    expect((await store.open(chatId))!.messages).toHaveLength(2)
    await access.start()
  })

  it('another one to another question is refused while they are written', async () => {
    const { window, chatId, question } = await answered()
    await chats.send(chatId, 'More')
    await finish(window)
    const second = window.chat!.messages[2].id
    await chats.compare(chatId, question, [{}, {}])
    await expect(chats.compare(chatId, second, [{}])).rejects.toMatchObject({ code: 'chat-busy' })
    await expect(chats.send(chatId, 'Now')).rejects.toMatchObject({ code: 'chat-busy' })
    await finishAll(window)
  })

  it('the map tells every message of every branch by its first words', async () => {
    const { window, chatId, question, first } = await answered()
    await chats.regenerate(chatId, first)
    await finish(window)
    const second = window.last!.id
    await chats.edit(chatId, question, '# Other\nwords')
    await finish(window)
    const map = await chats.map(chatId)
    expect(map.map(({ id, parentId, role }) => [id, parentId, role])).toEqual([
      [question, null, 'user'],
      [first, question, 'assistant'],
      [second, question, 'assistant'],
      [map[3].id, null, 'user'],
      [window.last!.id, map[3].id, 'assistant'],
    ])
    expect(map[3].opening).toBe('Other')
  })
})

describe('messages that are deleted', () => {
  /** Two questions; the first has two replies, of which the second was shown when the chat went on. */
  const branched = async () => {
    const window = await newChat()
    const chatId = idOf(window)
    await chats.send(chatId, 'Which way?')
    await finish(window)
    const [question, first] = window.chat!.messages.map(({ id }) => id)
    await chats.regenerate(chatId, first)
    await finish(window)
    const second = window.last.id
    await chats.send(chatId, 'And then?')
    await finish(window)
    return { window, chatId, question, first, second, leaf: window.last.id }
  }

  it('go with all that follows them, from the store too; the version before them is shown', async () => {
    const { window, chatId, question, first, second, leaf } = await branched()
    expect(await store.getSnapshot(leaf, 'fake')).not.toBeNull()
    await chats.deleteFrom(chatId, second)
    expect(window.chat).toMatchObject({ deleted: { messageCount: 3 } })
    expect(window.chat!.messages.map(({ id }) => id)).toEqual([question, first])
    expect(window.last.versions).toEqual([first])
    const stored = (await store.open(chatId))!
    expect(stored.messages.map(({ id }) => id)).toEqual([question, first])
    expect(stored.chat.activeLeafId).toBe(first)
    expect(await store.getSnapshot(leaf, 'fake')).toBeNull()
    expect((await summaries()).map(({ messageCount }) => messageCount)).toEqual([2])
  })

  it('come back as they were, with their states, for a minute', async () => {
    const { window, chatId, second, leaf } = await branched()
    const before = window.chat!.messages
    const state = await store.getSnapshot(leaf, 'fake')
    await chats.deleteFrom(chatId, second)
    await time.advance(KEEP_DELETED_MS - 1)
    await chats.restoreMessages(chatId)
    expect(window.chat).toMatchObject({ deleted: null })
    expect(window.chat!.messages).toEqual(before)
    expect(await store.getSnapshot(leaf, 'fake')).toEqual(state)
    expect((await store.open(chatId))!.chat.activeLeafId).toBe(leaf)
    await chats.deleteFrom(chatId, leaf)
    await time.advance(KEEP_DELETED_MS)
    expect(window.chat!.deleted).toBeNull()
    await chats.restoreMessages(chatId)
    expect(window.chat!.messages).toHaveLength(3)
  })

  it('all of them leave an empty chat, in which one can go on; what was there comes back as another version', async () => {
    const { window, chatId, question } = await branched()
    await chats.deleteFrom(chatId, question)
    expect(window.chat!.messages).toEqual([])
    await chats.send(chatId, 'Anew')
    await finish(window)
    await chats.restoreMessages(chatId)
    expect(window.chat!.messages[0]).toMatchObject({ id: question, versions: { length: 2 } })
    expect((await store.open(chatId))!.messages).toHaveLength(7)
  })

  it('stay when they cannot be taken from the store, and while a reply is written', async () => {
    const { window, chatId, second, leaf } = await branched()
    const before = window.chat!.messages.map(({ id }) => id)
    const { removeMessages } = store
    store.removeMessages = async () => {
      throw new TernError({ code: 'disk-full', message: 'The disk is full.' })
    }
    await expect(chats.deleteFrom(chatId, second)).rejects.toMatchObject({ code: 'disk-full' })
    store.removeMessages = removeMessages
    expect(window.chat!.messages.map(({ id }) => id)).toEqual(before)
    await chats.regenerate(chatId, leaf)
    await expect(chats.deleteFrom(chatId, second)).rejects.toMatchObject({ code: 'chat-busy' })
    await finish(window)
  })
})
