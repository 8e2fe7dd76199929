/** Chats over a fake engine: replies, states around them, and what is left when things go wrong. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { ChatEvent, ChatMessage } from '../../contract/app/chats.ts'
import type { EngineApi } from '../../contract/engine-api.ts'
import { engineApi } from '../../contract/engine-api.ts'
import { TernError, toErrorData } from '../../contract/errors.ts'
import { type Client, createClient, createTransportPair, type Server, serve } from '../../contract/rpc.ts'
import type { EngineConnection } from '../../main/host/supervisor.ts'
import { type ChatStore, createMemoryChatStore } from '../../main/services/chats/chat-store.ts'
import { type Chats, createChats } from '../../main/services/chats/chats.ts'
import { createFakeEngine, FAKE_COMMANDS, type FakeEngine, type FakeEngineOptions } from '../fake-engine.ts'

/** An engine that can be lost and comes back empty, as a new process would. */
class FakeAccess {
  engine!: FakeEngine
  private connection: EngineConnection | null = null
  private client!: Client<EngineApi>
  private server!: Server
  private waiting: (() => void)[] = []
  failure: TernError | null = null
  private readonly options: FakeEngineOptions

  constructor(options: FakeEngineOptions) {
    this.options = options
  }

  async start() {
    const [near, far] = createTransportPair()
    this.engine = createFakeEngine({
      tokenMs: 1,
      replyWords: 20,
      loadMs: 0,
      onCrash: () => this.lose(),
      ...this.options,
    })
    this.server = serve(engineApi, far, this.engine.handlers)
    this.client = createClient(engineApi, near)
    const params = { path: '/models/fake.gguf', backend: 'auto' } as const
    await this.client.subscribe('model.load', params, () => {}).ended
    this.connection = { client: this.client }
    for (const wake of this.waiting.splice(0)) wake()
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

let access: FakeAccess
let chats: Chats
let store: ChatStore
const watching = new AbortController()

async function setUp(options: FakeEngineOptions = {}, snapshotBytesLimit?: number) {
  access = new FakeAccess(options)
  store = createMemoryChatStore(snapshotBytesLimit)
  chats = createChats(access, store)
  await access.start()
}
beforeEach(() => setUp())
afterEach(() => access.lose())

/** A window: keeps what it is told, as the renderer does. */
function watch(chatId: string) {
  const events: ChatEvent[] = []
  let messages: ChatMessage[] = []
  const end = new AbortController()
  const ended = chats.watch(
    chatId,
    event => {
      events.push(event)
      if (event.kind === 'chat') messages = structuredClone(event.chat.messages)
      if (event.kind === 'message') messages = messages.map(old => (old.id === event.message.id ? event.message : old))
      if (event.kind === 'append') {
        messages = messages.map(old =>
          old.id === event.messageId ? { ...old, content: old.content + event.text } : old,
        )
      }
    },
    end.signal,
  )
  return { events, ended, end: () => end.abort(), messages: () => messages, reply: () => messages.at(-1)! }
}
const isOver = ({ status }: ChatMessage) => status !== 'pending' && status !== 'streaming'
const settled = (chatId: string) =>
  vi.waitUntil(() => isOver(store.chat(chatId)!.messages.at(-1)!), { timeout: 5000, interval: 1 })
const lastOf = (chatId: string) => store.chat(chatId)!.messages.at(-1)!
const untilWords = (chatId: string, words: number) =>
  vi.waitUntil(() => lastOf(chatId).content.split(' ').length > words, { timeout: 5000, interval: 1 })

async function send(chatId: string, text: string) {
  chats.send(chatId, text)
  await settled(chatId)
  // The chat is free at once, so that the user can go on.
  return lastOf(chatId)
}
const codeOf = (work: () => unknown) => {
  try {
    work()
    return null
  } catch (error) {
    return toErrorData(error).code
  }
}

describe('a chat', () => {
  it('streams a reply, and says how it went', async () => {
    const { id } = chats.create()
    const window = watch(id)
    const reply = await send(id, 'Hello tern')
    expect(reply).toMatchObject({ role: 'assistant', status: 'complete', finishReason: 'end-of-text', error: null })
    expect(reply.content.trim().split(' ')).toHaveLength(20)
    expect(reply.stats).toMatchObject({ promptTokens: 4, generatedTokens: 20 })
    expect(reply.stats!.ttftMs).toBeGreaterThan(0)
    expect(window.messages()).toEqual(store.chat(id)!.messages)
    // The time to the first token is told with the first token, not at the end.
    const first = window.events.find(event => event.kind === 'message' && event.message.status === 'streaming')
    expect(first).toMatchObject({ message: { stats: { ttftMs: reply.stats!.ttftMs, generatedTokens: 0 } } })
    const kinds = window.events.map(({ kind }) => kind)
    expect(kinds.slice(0, 2)).toEqual(['chat', 'chat'])
    expect(kinds).toContain('prefill')
    expect(kinds.at(-1)).toBe('message')
    const appends = window.events.filter(event => event.kind === 'append')
    expect(appends.length).toBeGreaterThan(0)
    // Fewer than tokens: they are batched.
    expect(appends.length).toBeLessThan(20)
    expect(appends.at(-1)!.generatedTokens).toBe(20)
  })

  it('is named after the first words of the user', async () => {
    const { id, title } = chats.create()
    expect(title).toBe('New chat')
    await send(id, '  What is a tern?\nTell me more.')
    expect(store.chat(id)!.title).toBe('What is a tern?')
    await send(id, 'Another question')
    expect(store.chat(id)!.title).toBe('What is a tern?')
    const long = chats.create()
    await send(long.id, 'word '.repeat(40))
    expect(store.chat(long.id)!.title).toMatch(/^(word )+word…$/)
    expect(store.chat(long.id)!.title.length).toBeLessThanOrEqual(49)
  })

  it('reads only what is new: the state has the rest', async () => {
    const { id } = chats.create()
    await send(id, 'first')
    await send(id, 'second')
    const reads = access.engine.reads.filter(({ kind }) => kind === 'messages')
    expect(reads).toHaveLength(2)
    expect(reads[1]!.read).toContain('second')
    expect(reads[1]!.read).not.toContain('first')
    expect(reads[1]!.reused).toBe(23)
  })

  it('takes one message at a time', async () => {
    const { id } = chats.create()
    chats.send(id, 'one')
    expect(codeOf(() => chats.send(id, 'two'))).toBe('chat-busy')
    expect(codeOf(() => chats.regenerate(id))).toBe('chat-busy')
    expect(codeOf(() => chats.continue(id))).toBe('chat-busy')
    await settled(id)
    expect(codeOf(() => chats.send(id, 'two'))).toBeNull()
    await settled(id)
  })

  it('that does not exist, or has no reply, says so', () => {
    const { id } = chats.create()
    expect(codeOf(() => chats.send('no-such-chat', 'x'))).toBe('chat-not-found')
    expect(codeOf(() => chats.watch('no-such-chat', () => {}, watching.signal))).toBe('chat-not-found')
    expect(codeOf(() => chats.regenerate(id))).toBe('message-not-found')
    expect(codeOf(() => chats.continue(id))).toBe('message-not-found')
    expect(codeOf(() => chats.stop(id))).toBeNull()
  })

  it('is listed, latest first', async () => {
    const [a, b] = [chats.create(), chats.create()]
    await send(b.id, 'b')
    await new Promise(resolve => setTimeout(resolve, 2))
    await send(a.id, 'a')
    expect(chats.list().map(({ id, messageCount }) => [id, messageCount])).toEqual([
      [a.id, 2],
      [b.id, 2],
    ])
  })
})

describe('stop, regenerate, continue', () => {
  it('stop keeps the text so far; continue goes on after it, without reading anything again', async () => {
    const { id } = chats.create()
    const window = watch(id)
    chats.send(id, 'Hello')
    await untilWords(id, 4)
    chats.stop(id)
    await settled(id)
    const stopped = structuredClone(lastOf(id))
    expect(stopped).toMatchObject({ status: 'stopped', finishReason: 'cancelled', error: null })
    expect(stopped.content).not.toBe('')
    const readsBefore = access.engine.reads.length
    chats.continue(id)
    await settled(id)
    const whole = lastOf(id)
    expect(whole.content.startsWith(stopped.content)).toBe(true)
    expect(whole.content.trim().split(' ')).toHaveLength(20)
    expect(whole.stats!.generatedTokens).toBe(20)
    expect(access.engine.reads.slice(readsBefore).every(({ read }) => read === '')).toBe(true)
    expect(window.messages()).toEqual(store.chat(id)!.messages)
  })

  it('regenerate replaces the last reply from the state before it: the prompt is not read again', async () => {
    const { id } = chats.create()
    await send(id, 'first')
    const before = structuredClone(await send(id, 'second'))
    const readsBefore = access.engine.reads.length
    chats.regenerate(id)
    expect(lastOf(id)).toMatchObject({ id: before.id, content: '', stats: null })
    await settled(id)
    expect(lastOf(id)).toMatchObject({ status: 'complete', content: before.content })
    expect(access.engine.reads.slice(readsBefore).map(({ read }) => read)).toEqual([''])
    // And the next message reads only itself.
    await send(id, 'third')
    expect(access.engine.reads.findLast(({ kind }) => kind === 'messages')!.read).not.toContain('second')
  })

  it('stop while the engine is away ends the wait', async () => {
    const { id } = chats.create()
    access.lose()
    chats.send(id, 'Hello')
    expect(lastOf(id).status).toBe('pending')
    chats.stop(id)
    await settled(id)
    expect(lastOf(id)).toMatchObject({ status: 'stopped', content: '' })
    await access.start()
    expect(await send(id, 'Again')).toMatchObject({ status: 'complete' })
  })

  it('max tokens end a reply that can be continued', async () => {
    const { id } = chats.create()
    chats.send(id, 'Hello', { maxTokens: 5 })
    await settled(id)
    expect(lastOf(id)).toMatchObject({ status: 'complete', finishReason: 'max-tokens' })
    chats.continue(id)
    await settled(id)
    expect(lastOf(id)).toMatchObject({ finishReason: 'end-of-text', stats: { generatedTokens: 20 } })
  })
})

describe('a model that moves in mid-reply', () => {
  it('is told once, and the reply goes on to its end', async () => {
    const { id } = chats.create()
    expect(await send(id, FAKE_COMMANDS.move)).toMatchObject({
      status: 'complete',
      finishReason: 'end-of-text',
      notice: 'The device was lost. The reply goes on elsewhere.',
      stats: { generatedTokens: 20 },
    })
    chats.regenerate(id)
    expect(lastOf(id).notice).toBeUndefined()
    await settled(id)
  })
})

describe('an engine that is lost', () => {
  it('in mid-reply: the text stands, the message says what happened, continue goes on after it', async () => {
    const { id } = chats.create()
    const window = watch(id)
    chats.send(id, 'please CRASH now')
    await settled(id)
    const lost = structuredClone(lastOf(id))
    expect(lost).toMatchObject({ status: 'interrupted', error: { code: 'engine-lost', remedy: expect.any(String) } })
    expect(lost.content).not.toBe('')
    expect(lost.stats).toMatchObject({ generatedTokens: 5, decodeTokensPerSecond: null })
    expect(window.messages()).toEqual(store.chat(id)!.messages)

    await access.start()
    access.engine.reads.length = 0
    // The fake crashes at the fifth token of a run: this one is shorter.
    chats.continue(id, { maxTokens: 4 })
    await settled(id)
    expect(lastOf(id)).toMatchObject({ status: 'complete', finishReason: 'max-tokens', error: null })
    expect(lastOf(id).stats).toMatchObject({ generatedTokens: 9, ttftMs: lost.stats!.ttftMs })
    expect(lastOf(id).content.startsWith(lost.content)).toBe(true)
    // From the state before the reply: only the reply's own words were read.
    expect(access.engine.reads[0]!.read.trim()).toBe(lost.content.trim())
    expect(window.messages()).toEqual(store.chat(id)!.messages)
  })

  it('a second time, after a continue: nothing older is taken for the state of the text', async () => {
    const { id } = chats.create()
    chats.send(id, 'Hello', { maxTokens: 5 })
    await settled(id)
    chats.continue(id)
    await untilWords(id, 9)
    access.lose()
    await settled(id)
    const lost = structuredClone(lastOf(id))
    expect(lost.status).toBe('interrupted')
    await access.start()
    access.engine.reads.length = 0
    chats.continue(id)
    await settled(id)
    expect(access.engine.reads[0]!.read.trim()).toBe(lost.content.trim())
    expect(lastOf(id).content.startsWith(lost.content)).toBe(true)
  })

  it('between replies: the next message goes on from the snapshot', async () => {
    const { id } = chats.create()
    await send(id, 'first')
    access.lose()
    await access.start()
    expect(await send(id, 'second')).toMatchObject({ status: 'complete' })
    expect(access.engine.reads[0]).toMatchObject({ kind: 'messages', reused: 23 })
    expect(access.engine.reads[0]!.read).not.toContain('first')
  })

  it('regenerates after a restart from the snapshot, too', async () => {
    const { id } = chats.create()
    await send(id, 'first')
    access.lose()
    await access.start()
    chats.regenerate(id)
    await settled(id)
    expect(access.engine.reads.map(({ read }) => read)).toEqual([''])
  })

  it('while a message waits: it waits on, and is answered by the next engine', async () => {
    access.lose()
    const { id } = chats.create()
    chats.send(id, 'Hello')
    await access.start()
    await settled(id)
    expect(lastOf(id).status).toBe('complete')
  })

  it('for good: the message fails with the reason and a remedy', async () => {
    access.lose()
    access.failure = new TernError({ code: 'out-of-memory', message: 'No memory.', remedy: 'Close programs.' })
    const { id } = chats.create()
    await send(id, 'Hello')
    expect(lastOf(id)).toMatchObject({ status: 'failed', error: { code: 'out-of-memory', remedy: 'Close programs.' } })
  })
})

describe('an engine that refuses', () => {
  it('fails the message and keeps the chat usable', async () => {
    const { id } = chats.create()
    await send(id, 'please FAIL')
    expect(lastOf(id)).toMatchObject({
      status: 'failed',
      error: { code: 'backend-failed', remedy: 'Ask another way.' },
    })
    expect(lastOf(id).content).not.toBe('')
    expect(await send(id, 'better?')).toMatchObject({ status: 'complete' })
  })

  it('a state of another model is dropped and the conversation is read again', async () => {
    const { id } = chats.create()
    await send(id, 'first')
    access.lose()
    await access.start()
    access.engine.refuseStates = true
    expect(await send(id, 'second')).toMatchObject({ status: 'complete' })
    expect(access.engine.reads[0]).toMatchObject({ reused: 0 })
    expect(access.engine.reads[0]!.read).toContain('first')
  })
})

describe('sessions and snapshots', () => {
  it('few sessions live; a chat beyond them goes on from its snapshot', async () => {
    const ids = Array.from({ length: 7 }, () => chats.create().id)
    for (const id of ids) await send(id, `chat ${ids.indexOf(id)}`)
    await vi.waitUntil(() => access.engine.sessionCount <= 4)
    expect(access.engine.sessionCount).toBe(4)
    access.engine.reads.length = 0
    await send(ids[0]!, 'again')
    expect(access.engine.reads[0]!.reused).toBeGreaterThan(0)
    expect(access.engine.sessionCount).toBeLessThanOrEqual(5)
  })

  it('without room for snapshots, text is read again and nothing is lost', async () => {
    await setUp({}, 0)
    const { id } = chats.create()
    const first = await send(id, 'first')
    access.lose()
    await access.start()
    expect(await send(id, 'second')).toMatchObject({ status: 'complete' })
    expect(access.engine.reads[0]!.read).toContain(first.content.trim())
  })

  it('the store keeps what was used last, within its limit', () => {
    const small = createMemoryChatStore(100)
    for (const name of ['a', 'b', 'c']) small.saveSnapshot('chat', name, 'after', new Uint8Array(30))
    small.snapshot('a', 'after')
    small.saveSnapshot('chat', 'd', 'after', new Uint8Array(30))
    expect(['a', 'b', 'c', 'd'].filter(name => small.snapshot(name, 'after') !== undefined)).toEqual(['a', 'c', 'd'])
    small.saveSnapshot('other', 'e', 'before', new Uint8Array(10))
    small.delete('chat')
    expect(small.snapshot('a', 'after')).toBeUndefined()
    expect(small.snapshot('e', 'before')).toBeDefined()
  })

  it('a deleted chat takes its session, its snapshots and its watchers along, in mid-reply too', async () => {
    const { id } = chats.create()
    const first = await send(id, 'first')
    const window = watch(id)
    chats.send(id, 'second')
    await untilWords(id, 2)
    chats.delete(id)
    await window.ended
    expect(chats.list()).toEqual([])
    expect(codeOf(() => chats.send(id, 'x'))).toBe('chat-not-found')
    expect(store.snapshot(first.id, 'after')).toBeUndefined()
    await vi.waitUntil(() => access.engine.sessionCount === 0)
    const count = window.events.length
    await new Promise(resolve => setTimeout(resolve, 40))
    expect(window.events.length).toBe(count)
  })

  it('chats do not mix: two replies at the same time', async () => {
    const [a, b] = [chats.create().id, chats.create().id]
    chats.send(a, 'alpha')
    chats.send(b, 'beta')
    await Promise.all([settled(a), settled(b)])
    await Promise.all([send(a, 'more'), send(b, 'more')])
    const reads = access.engine.reads.filter(({ read }) => read.includes('more'))
    expect(reads).toHaveLength(2)
    expect(reads.every(({ reused }) => reused === 23)).toBe(true)
  })
})

describe('windows', () => {
  it('that come in mid-reply get the whole, then the rest, and nothing twice', async () => {
    const { id } = chats.create()
    const early = watch(id)
    chats.send(id, 'Hello')
    await untilWords(id, 3)
    const late = watch(id)
    expect(late.events).toHaveLength(1)
    await settled(id)
    await vi.waitUntil(() => isOver(early.reply()) && isOver(late.reply()))
    expect(late.messages()).toEqual(early.messages())
    expect(late.messages()).toEqual(store.chat(id)!.messages)
    const appended = late.events.reduce((text, event) => (event.kind === 'append' ? text + event.text : text), '')
    const first = late.events[0]!
    expect(first.kind === 'chat' && first.chat.messages.at(-1)!.content + appended).toBe(lastOf(id).content)
  })

  it('that close hear nothing more', async () => {
    const { id } = chats.create()
    const window = watch(id)
    window.end()
    await window.ended
    await send(id, 'Hello')
    expect(window.events).toHaveLength(1)
  })
})
