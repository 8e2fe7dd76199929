/** The chats store against a fake host over the real RPC: no React, no server. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Chat, ChatEvent, ChatMessage } from '../../contract/app/chats.ts'
import { appApi } from '../../contract/app-api.ts'
import { TernError } from '../../contract/errors.ts'
import { createClient, createTransportPair, serve } from '../../contract/rpc.ts'
import { canContinue, createChatsStore, draftOf, isReplying, NEW_CHAT, UNDO_MS } from '../../renderer/stores/chats.ts'
import type { Memo } from '../../renderer/stores/preferences.ts'

const never = () => Promise.reject(new Error('not scripted'))

const message = (over: Partial<ChatMessage>): ChatMessage => ({
  id: 'm',
  role: 'assistant',
  content: '',
  status: 'complete',
  createdAtMs: 0,
  finishReason: null,
  stats: null,
  error: null,
  ...over,
})

function createMemo(items: Record<string, string> = {}): Memo & { items: Map<string, string> } {
  const map = new Map(Object.entries(items))
  return { items: map, getItem: key => map.get(key) ?? null, setItem: (key, value) => void map.set(key, value) }
}

function createFake(memo = createMemo()) {
  const chats = new Map<string, Chat>()
  const watchers = new Map<string, { emit(event: ChatEvent): void; end(): void }>()
  const calls: string[] = []
  let nextId = 0
  const failures: Record<string, string> = {}
  const note = (name: string) => {
    calls.push(name)
    if (failures[name] !== undefined) throw new TernError({ code: 'internal', message: failures[name] })
  }
  const [near, far] = createTransportPair()
  serve(appApi, far, {
    calls: {
      'app.info': never,
      'engine.retry': never,
      'chat.list': () =>
        [...chats.values()].map((chat, index) => ({
          id: chat.id,
          title: chat.title,
          updatedAtMs: index,
          messageCount: chat.messages.length,
        })),
      'chat.create': () => {
        note('create')
        const chat: Chat = { id: `chat-${nextId++}`, title: '', messages: [] }
        chats.set(chat.id, chat)
        return chat
      },
      'chat.delete': ({ chatId }) => {
        note(`delete ${chatId}`)
        chats.delete(chatId)
      },
      'chat.send': ({ chatId, text }) => note(`send ${chatId} ${text}`),
      'chat.stop': ({ chatId }) => note(`stop ${chatId}`),
      'chat.regenerate': ({ chatId }) => note(`regenerate ${chatId}`),
      'chat.continue': ({ chatId }) => note(`continue ${chatId}`),
    },
    streams: {
      'engine.status': never,
      'engine.memory': never,
      'chat.watch': ({ chatId }, emit, { signal }) => {
        const chat = chats.get(chatId)
        if (chat === undefined) throw new TernError({ code: 'chat-not-found', message: 'gone' })
        emit({ kind: 'chat', chat })
        return new Promise(resolve => {
          watchers.set(chatId, { emit, end: resolve })
          signal.addEventListener('abort', () => {
            watchers.delete(chatId)
            resolve()
          })
        })
      },
    },
  })
  let frame: (() => void) | null = null
  const store = createChatsStore(
    createClient(appApi, near),
    work => {
      frame = work
    },
    memo,
  )
  return {
    store,
    state: () => store.state.getState(),
    chats,
    watchers,
    calls,
    failures,
    addChat(id: string, messages: ChatMessage[] = []) {
      chats.set(id, { id, title: `Title ${id}`, messages })
    },
    emit: (chatId: string, event: ChatEvent) => watchers.get(chatId)!.emit(event),
    /** Draws a frame. Whether there was anything to draw. */
    drawFrame() {
      const work = frame
      frame = null
      work?.()
      return work !== null
    },
  }
}

const append = (text: string, generatedTokens: number): ChatEvent => ({
  kind: 'append',
  messageId: 'reply',
  text,
  generatedTokens,
  tokensPerSecond: 100,
})

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())
const settle = () => vi.advanceTimersByTimeAsync(0)

async function openChat(messages: ChatMessage[], memo = createMemo()) {
  const fake = createFake(memo)
  fake.addChat('a', messages)
  await fake.store.refresh()
  fake.store.open('a')
  await settle()
  return fake
}

describe('sending', () => {
  it('creates the chat with its first message, and only then', async () => {
    const fake = createFake()
    fake.store.newChat()
    fake.store.setDraft('Hello')
    await settle()
    expect(fake.calls).toEqual([])
    await fake.store.send()
    expect(fake.calls).toEqual(['create', 'send chat-0 Hello'])
    expect(fake.state().currentId).toBe('chat-0')
    expect(draftOf(fake.state())).toBe('')
    expect(fake.watchers.has('chat-0')).toBe(true)
  })

  it('keeps the draft when the host refuses it', async () => {
    const fake = await openChat([])
    fake.failures['send a Hello'] = 'no'
    fake.store.setDraft('Hello')
    await fake.store.send()
    expect(draftOf(fake.state())).toBe('Hello')
    expect(fake.state().failure?.message).toBe('no')
    expect(isReplying(fake.state())).toBe(false)
  })

  it('keeps the draft of a new chat that could not be created', async () => {
    const fake = createFake()
    fake.failures.create = 'full'
    fake.store.setDraft('Hello')
    await fake.store.send()
    expect(fake.state().currentId).toBeNull()
    expect(draftOf(fake.state())).toBe('Hello')
  })

  it('sends nothing when the draft is blank or a reply is in flight', async () => {
    const fake = await openChat([message({ id: 'reply', status: 'streaming' })])
    fake.store.setDraft('Hello')
    await fake.store.send()
    fake.emit('a', { kind: 'message', message: message({ id: 'reply', content: 'x' }) })
    await settle()
    fake.store.setDraft('  \n ')
    await fake.store.send()
    expect(fake.calls).toEqual([])
  })

  it('sends once, however often it is asked', async () => {
    const fake = createFake()
    fake.store.setDraft('Hello')
    const first = fake.store.send()
    const second = fake.store.send()
    await Promise.all([first, second])
    expect(fake.calls).toEqual(['create', 'send chat-0 Hello'])
  })

  it('does not touch what was written while the message was on its way', async () => {
    const fake = await openChat([])
    fake.store.setDraft('Hello')
    const sending = fake.store.send()
    fake.store.setDraft('Hello again')
    await sending
    expect(draftOf(fake.state())).toBe('Hello again')
  })
})

describe('streaming', () => {
  it('applies any number of appends in one update a frame', async () => {
    const fake = await openChat([message({ id: 'reply', status: 'pending' })])
    let updates = 0
    fake.store.state.subscribe(() => {
      updates += 1
    })
    fake.emit('a', append('Once ', 1))
    fake.emit('a', append('upon ', 2))
    fake.emit('a', append('a time', 4))
    await settle()
    expect(updates).toBe(0)
    expect(fake.drawFrame()).toBe(true)
    expect(updates).toBe(1)
    expect(fake.state().chat?.messages[0]).toMatchObject({ content: 'Once upon a time', status: 'streaming' })
    expect(fake.state().live).toMatchObject({ generatedTokens: 4, tokensPerSecond: 100 })
    expect(fake.drawFrame()).toBe(false)
  })

  it('leaves finished messages as they are, to the identity', async () => {
    const fake = await openChat([
      message({ id: 'q', role: 'user', content: 'Hi' }),
      message({ id: 'reply', status: 'pending' }),
    ])
    const question = fake.state().chat?.messages[0]
    fake.emit('a', append('Hello', 1))
    await settle()
    fake.drawFrame()
    expect(fake.state().chat?.messages[0]).toBe(question)
  })

  it('does not add text twice that a whole message already holds', async () => {
    const fake = await openChat([message({ id: 'reply', status: 'streaming' })])
    fake.emit('a', append('Hello', 1))
    fake.emit('a', {
      kind: 'message',
      message: message({ id: 'reply', content: 'Hello', finishReason: 'end-of-text' }),
    })
    await settle()
    fake.drawFrame()
    expect(fake.state().chat?.messages[0].content).toBe('Hello')
    expect(fake.state().live).toBeNull()
  })

  it('does not add text of the time before a whole chat', async () => {
    const fake = await openChat([message({ id: 'reply', status: 'streaming' })])
    fake.emit('a', append('Hello', 1))
    fake.emit('a', {
      kind: 'chat',
      chat: { id: 'a', title: '', messages: [message({ id: 'reply', content: 'Hello', status: 'streaming' })] },
    })
    await settle()
    fake.drawFrame()
    expect(fake.state().chat?.messages[0].content).toBe('Hello')
  })

  it('shows how far the prompt is read', async () => {
    const fake = await openChat([message({ id: 'reply', status: 'pending' })])
    fake.emit('a', { kind: 'prefill', messageId: 'reply', tokensDone: 64, tokensTotal: 512, reusedTokens: 10 })
    await settle()
    expect(fake.state().live?.prefill).toEqual({ tokensDone: 64, tokensTotal: 512, reusedTokens: 10 })
    fake.emit('a', append('x', 1))
    await settle()
    fake.drawFrame()
    expect(fake.state().live?.prefill).toBeNull()
  })

  it('shows nothing of another chat', async () => {
    const fake = await openChat([message({ id: 'reply', status: 'streaming' })])
    fake.addChat('b')
    fake.emit('a', append('Hello', 1))
    await settle()
    fake.store.open('b')
    await settle()
    fake.drawFrame()
    expect(fake.state().chat).toMatchObject({ id: 'b', messages: [] })
    expect(fake.state().live).toBeNull()
    expect([...fake.watchers.keys()]).toEqual(['b'])
  })
})

describe('replies', () => {
  it('asks the host to stop, regenerate and continue', async () => {
    const fake = await openChat([message({ id: 'reply', content: 'x' })])
    await fake.store.stop()
    await fake.store.regenerate()
    await fake.store.continueReply()
    expect(fake.calls).toEqual(['stop a', 'regenerate a', 'continue a'])
  })

  it('does not regenerate while a reply is in flight', async () => {
    const fake = await openChat([message({ id: 'reply', status: 'streaming' })])
    await fake.store.regenerate()
    await fake.store.continueReply()
    expect(fake.calls).toEqual([])
  })

  it('offers to continue what was cut short, and nothing else', () => {
    const cases: [Partial<ChatMessage>, boolean][] = [
      [{ content: 'x', status: 'stopped' }, true],
      [{ content: 'x', status: 'interrupted' }, true],
      [{ content: 'x', finishReason: 'max-tokens' }, true],
      [{ content: 'x', finishReason: 'end-of-text' }, false],
      [{ content: 'x', status: 'streaming' }, false],
      [{ content: '', status: 'stopped' }, false],
      [{ content: 'x', status: 'stopped', role: 'user' }, false],
    ]
    for (const [over, expected] of cases) expect(canContinue(message(over)), JSON.stringify(over)).toBe(expected)
  })
})

describe('the list', () => {
  it('is newest first', async () => {
    const fake = createFake()
    fake.addChat('old')
    fake.addChat('new')
    await fake.store.refresh()
    expect(fake.state().summaries?.map(({ id }) => id)).toEqual(['new', 'old'])
  })

  it('deletes at the host only after the time for second thoughts', async () => {
    const fake = await openChat([])
    fake.store.remove('a')
    await settle()
    expect(fake.state().summaries).toEqual([])
    expect(fake.state().currentId).toBeNull()
    expect(fake.calls).toEqual([])
    await vi.advanceTimersByTimeAsync(UNDO_MS)
    expect(fake.calls).toEqual(['delete a'])
    expect(fake.state().removing).toBeNull()
  })

  it('brings a deleted chat back', async () => {
    const fake = await openChat([message({ content: 'x' })])
    fake.store.remove('a')
    fake.store.undoRemove()
    await vi.advanceTimersByTimeAsync(UNDO_MS)
    expect(fake.calls).toEqual([])
    expect(fake.state()).toMatchObject({ currentId: 'a', removing: null })
    expect(fake.state().summaries?.map(({ id }) => id)).toEqual(['a'])
    expect(fake.state().chat?.messages).toHaveLength(1)
  })

  it('keeps a deleted chat off the list while it can still be undone', async () => {
    const fake = await openChat([])
    fake.store.remove('a')
    await fake.store.refresh()
    expect(fake.state().summaries).toEqual([])
  })

  it('deletes the first chat at once when a second one is deleted', async () => {
    const fake = await openChat([])
    fake.addChat('b')
    await fake.store.refresh()
    fake.store.remove('a')
    fake.store.remove('b')
    await settle()
    expect(fake.calls).toEqual(['delete a'])
    expect(fake.state().removing?.chatId).toBe('b')
    await vi.advanceTimersByTimeAsync(UNDO_MS)
    expect(fake.calls).toEqual(['delete a', 'delete b'])
  })

  it('tells the host of a pending delete when the window goes', async () => {
    const fake = await openChat([])
    fake.store.remove('a')
    fake.store.dispose()
    await settle()
    expect(fake.calls).toEqual(['delete a'])
  })

  it('forgets the draft of a deleted chat', async () => {
    const fake = await openChat([])
    fake.store.setDraft('private')
    fake.store.remove('a')
    await vi.advanceTimersByTimeAsync(UNDO_MS)
    expect(fake.state().drafts).toEqual({})
  })
})

describe('a reload', () => {
  it('finds the chat that was open, and the drafts', async () => {
    const memo = createMemo()
    const before = await openChat([message({ content: 'x' })], memo)
    before.store.setDraft('half a thought')
    before.store.newChat()
    before.store.setDraft('another')
    before.store.open('a')
    await settle()

    const after = createFake(createMemo(Object.fromEntries(memo.items)))
    after.addChat('a', [message({ content: 'x' })])
    await after.store.refresh()
    await settle()
    expect(after.state().chat?.id).toBe('a')
    expect(draftOf(after.state())).toBe('half a thought')
    expect(after.state().drafts[NEW_CHAT]).toBe('another')
  })

  it('starts anew when the host does not know that chat any more', async () => {
    const fake = createFake(createMemo({ 'tern.openChat': 'gone' }))
    await fake.store.refresh()
    expect(fake.state()).toMatchObject({ currentId: null, chat: null, failure: null })
  })

  it('survives what it did not write itself', () => {
    const fake = createFake(createMemo({ 'tern.drafts': '{"a": 1}' }))
    expect(fake.state().drafts).toEqual({})
  })
})

describe('a chat that goes away under the reader', () => {
  it('is left when another window deletes it', async () => {
    const fake = await openChat([])
    fake.chats.delete('a')
    fake.watchers.get('a')!.end()
    await settle()
    expect(fake.state()).toMatchObject({ currentId: null, failure: null })
    expect(fake.state().summaries).toEqual([])
  })

  it('is left with a word when the host has lost it', async () => {
    const fake = createFake()
    fake.store.open('lost')
    await settle()
    expect(fake.state().currentId).toBeNull()
    expect(fake.state().failure?.code).toBe('chat-not-found')
  })
})
