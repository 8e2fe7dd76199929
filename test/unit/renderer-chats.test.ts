/** The chats store against a fake host over the real RPC: no React, no server. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Chat, ChatEvent, ChatMessage, ChatSummariesEvent, ReplyInFlight } from '../../contract/app/chats.ts'
import { appApi } from '../../contract/app-api.ts'
import { TernError } from '../../contract/errors.ts'
import { createClient, createTransportPair, serve } from '../../contract/rpc.ts'
import { createChatsStore, draftOf, failureOf, isReplying, NEW_CHAT, replyOf } from '../../renderer/stores/chats.ts'
import type { Memo } from '../../renderer/stores/preferences.ts'
import { chatMessage, shownChat, summaryOf as summaryOfChat } from '../messages.ts'
import { UNUSED } from '../unused-handlers.ts'

const reply = (over: Partial<ReplyInFlight> = {}): ReplyInFlight => ({
  messageId: 'reply',
  phase: 'writing',
  prefill: null,
  generatedTokens: 0,
  tokensPerSecond: null,
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
  const listeners = new Set<(event: ChatSummariesEvent) => void>()
  let nextId = 0
  const newChat = (id: string, title = '', messages: ChatMessage[] = [], reply: ReplyInFlight | null = null): Chat =>
    shownChat({ id, title, messages, reply })
  const summaryOf = (chat: Chat) => ({ ...summaryOfChat(chat), updatedAtMs: [...chats.keys()].indexOf(chat.id) })
  const tell = (event: ChatSummariesEvent) => {
    for (const listener of listeners) listener(event)
  }
  const change = (chatId: string, to: Partial<Chat>) => {
    const chat = { ...chats.get(chatId)!, ...to }
    chats.set(chatId, chat)
    tell({ kind: 'changed', summary: summaryOf(chat) })
    watchers.get(chatId)?.emit({ kind: 'chat', chat })
  }
  const failures: Record<string, string> = {}
  const note = (name: string) => {
    calls.push(name)
    if (failures[name] === undefined) return
    throw new TernError({ code: failures[name] === 'busy' ? 'chat-busy' : 'internal', message: failures[name] })
  }
  const [near, far] = createTransportPair()
  serve(appApi, far, {
    calls: {
      ...UNUSED.calls,
      'chat.create': ({ isTemporary }) => {
        note('create')
        const chat = { ...newChat(`chat-${nextId++}`), isTemporary }
        chats.set(chat.id, chat)
        return chat
      },
      'chat.delete': ({ chatId }) => {
        note(`delete ${chatId}`)
        change(chatId, { isDeleted: true })
      },
      'chat.restore': ({ chatId }) => {
        note(`restore ${chatId}`)
        change(chatId, { isDeleted: false })
      },
      'chat.send': ({ chatId, text }) => note(`send ${chatId} ${text}`),
      'chat.rename': ({ chatId, title }) => note(`rename ${chatId} ${title}`),
      'chat.stop': ({ chatId, messageId }) => note(['stop', chatId, messageId].filter(Boolean).join(' ')),
      'chat.regenerate': ({ chatId, messageId }) => note(`regenerate ${chatId} ${messageId}`),
      'chat.continue': ({ chatId, messageId }) => note(`continue ${chatId} ${messageId}`),
      'chat.edit': ({ chatId, messageId, text }) => note(`edit ${chatId} ${messageId} ${text}`),
      'chat.compare': ({ chatId, messageId, samplings }) =>
        note(`compare ${chatId} ${messageId} ${samplings.map(({ temperature }) => temperature)}`),
      'chat.keep': ({ chatId, messageId }) => note(`keep ${chatId} ${messageId}`),
      'chat.select': ({ chatId, messageId }) => note(`select ${chatId} ${messageId}`),
    },
    streams: {
      ...UNUSED.streams,
      'chat.summaries': (_, emit, { signal }) => {
        emit({ kind: 'all', summaries: [...chats.values()].map(summaryOf) })
        listeners.add(emit)
        return new Promise(resolve => signal.addEventListener('abort', () => resolve()))
      },
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
    tell,
    change,
    addChat(id: string, messages: ChatMessage[] = [], reply: ReplyInFlight | null = null) {
      const chat = newChat(id, `Title ${id}`, messages, reply)
      chats.set(id, chat)
      tell({ kind: 'changed', summary: summaryOf(chat) })
    },
    purge(id: string) {
      chats.delete(id)
      tell({ kind: 'removed', chatId: id })
      watchers.get(id)?.end()
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

const append = (text: string): ChatEvent => ({ kind: 'append', messageId: 'reply', text })
const figures = (generatedTokens: number): ChatEvent => ({
  kind: 'reply',
  messageId: 'reply',
  reply: reply({ generatedTokens, tokensPerSecond: 100 }),
})

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())
const settle = () => vi.advanceTimersByTimeAsync(0)

async function openChat(messages: ChatMessage[], memo = createMemo()) {
  const fake = createFake(memo)
  const isInFlight = messages.some(({ status }) => status === 'pending' || status === 'streaming')
  fake.addChat('a', messages, isInFlight ? reply() : null)
  fake.store.refresh()
  await settle()
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
    expect(failureOf(fake.state())?.message).toBe('no')
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
    const fake = await openChat([chatMessage({ id: 'reply', status: 'streaming' })])
    fake.store.setDraft('Hello')
    await fake.store.send()
    fake.emit('a', { kind: 'reply', messageId: 'reply', reply: null })
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
    const fake = await openChat([chatMessage({ id: 'reply', status: 'pending' })])
    let updates = 0
    fake.store.state.subscribe(() => {
      updates += 1
    })
    fake.emit('a', append('Once '))
    fake.emit('a', append('upon '))
    fake.emit('a', append('a time'))
    fake.emit('a', figures(4))
    await settle()
    expect(updates).toBe(0)
    expect(fake.drawFrame()).toBe(true)
    expect(updates).toBe(1)
    expect(fake.state().chat?.messages[0]).toMatchObject({ content: 'Once upon a time', status: 'streaming' })
    expect(replyOf(fake.state())).toMatchObject({ generatedTokens: 4, tokensPerSecond: 100 })
    expect(fake.drawFrame()).toBe(false)
  })

  it('leaves finished messages as they are, to the identity', async () => {
    const fake = await openChat([
      chatMessage({ id: 'q', role: 'user', content: 'Hi' }),
      chatMessage({ id: 'reply', status: 'pending' }),
    ])
    const question = fake.state().chat?.messages[0]
    fake.emit('a', append('Hello'))
    await settle()
    fake.drawFrame()
    expect(fake.state().chat?.messages[0]).toBe(question)
  })

  it('does not add text twice that a whole message already holds', async () => {
    const fake = await openChat([chatMessage({ id: 'reply', status: 'streaming' })])
    fake.emit('a', append('Hello'))
    fake.emit('a', {
      kind: 'message',
      message: chatMessage({ id: 'reply', content: 'Hello', finishReason: 'end-of-text' }),
    })
    await settle()
    fake.emit('a', { kind: 'reply', messageId: 'reply', reply: null })
    await settle()
    fake.drawFrame()
    expect(fake.state().chat?.messages[0].content).toBe('Hello')
    expect(replyOf(fake.state())).toBeNull()
  })

  it('does not add text of the time before a whole chat', async () => {
    const fake = await openChat([chatMessage({ id: 'reply', status: 'streaming' })])
    fake.emit('a', append('Hello'))
    fake.emit('a', {
      kind: 'chat',
      chat: {
        ...fake.chats.get('a')!,
        messages: [chatMessage({ id: 'reply', content: 'Hello', status: 'streaming' })],
      },
    })
    await settle()
    fake.drawFrame()
    expect(fake.state().chat?.messages[0].content).toBe('Hello')
  })

  it('shows how far the prompt is read', async () => {
    const fake = await openChat([chatMessage({ id: 'reply', status: 'pending' })])
    const prefill = { tokensDone: 64, tokensTotal: 512, reusedTokens: 10 }
    fake.emit('a', { kind: 'reply', messageId: 'reply', reply: reply({ phase: 'reading', prefill }) })
    await settle()
    fake.drawFrame()
    expect(replyOf(fake.state())).toMatchObject({ phase: 'reading', prefill })
  })

  it('shows nothing of another chat', async () => {
    const fake = await openChat([chatMessage({ id: 'reply', status: 'streaming' })])
    fake.addChat('b')
    fake.emit('a', append('Hello'))
    await settle()
    fake.store.open('b')
    await settle()
    fake.drawFrame()
    expect(fake.state().chat).toMatchObject({ id: 'b', messages: [] })
    expect(replyOf(fake.state())).toBeNull()
    expect([...fake.watchers.keys()]).toEqual(['b'])
  })
})

describe('replies', () => {
  it('asks the host to stop, regenerate and continue', async () => {
    const fake = await openChat([chatMessage({ id: 'reply', content: 'x' })])
    await fake.store.stop()
    await fake.store.regenerate('reply')
    await fake.store.continueReply('reply')
    fake.store.setEdit('q', '  ')
    await fake.store.sendEdit('q')
    fake.store.setEdit('q', 'other words')
    await fake.store.sendEdit('q')
    expect(fake.state().edits).toEqual({})
    await fake.store.select('reply')
    expect(fake.calls).toEqual([
      'stop a',
      'regenerate a reply',
      'continue a reply',
      'edit a q other words',
      'select a reply',
    ])
  })

  it('does not regenerate while a reply is in flight', async () => {
    const fake = await openChat([chatMessage({ id: 'reply', status: 'streaming' })])
    await fake.store.regenerate('reply')
    await fake.store.continueReply('reply')
    await fake.store.select('reply')
    expect(fake.calls).toEqual([])
  })
})

describe('the list', () => {
  it('is newest first, and follows the host', async () => {
    const fake = createFake()
    fake.addChat('old')
    fake.addChat('new')
    fake.store.refresh()
    await settle()
    expect(fake.state().summaries?.map(({ id }) => id)).toEqual(['new', 'old'])
    fake.addChat('made in another window')
    await settle()
    expect(fake.state().summaries?.map(({ id }) => id)).toEqual(['made in another window', 'new', 'old'])
    fake.purge('new')
    await settle()
    expect(fake.state().summaries?.map(({ id }) => id)).toEqual(['made in another window', 'old'])
  })

  it('a deleted chat leaves it at once, and can be brought back while the host keeps it', async () => {
    const fake = await openChat([chatMessage({ content: 'x' })])
    await fake.store.remove('a')
    await settle()
    expect(fake.calls).toEqual(['delete a'])
    expect(fake.state()).toMatchObject({ currentId: null, summaries: [], removed: { title: 'Title a', isOurs: true } })
    await fake.store.undoRemove()
    await settle()
    expect(fake.calls).toEqual(['delete a', 'restore a'])
    expect(fake.state()).toMatchObject({ currentId: 'a', removed: null, summaries: [{ id: 'a' }] })
    expect(fake.state().chat?.messages).toHaveLength(1)
    await fake.store.remove('a')
    fake.purge('a')
    await settle()
    expect(fake.state().removed).toBeNull()
  })

  it('what was deleted before this window was loaded again can still be brought back', async () => {
    const fake = createFake()
    fake.addChat('kept')
    fake.addChat('a')
    fake.change('a', { isDeleted: true })
    fake.store.refresh()
    await settle()
    expect(fake.state()).toMatchObject({ summaries: [{ id: 'kept' }], removed: { title: 'Title a', isOurs: true } })
    fake.store.dismissRemoved()
    fake.addChat('b')
    await settle()
    expect(fake.state().removed).toBeNull()
    await fake.store.undoRemove()
    expect(fake.calls).toEqual([])
  })

  it('a chat that could not be deleted is open again, with the reason', async () => {
    const fake = await openChat([])
    fake.failures['delete a'] = 'read-only'
    await fake.store.remove('a')
    await settle()
    expect(fake.state()).toMatchObject({ currentId: 'a', removed: null })
    expect(fake.state().failures[NEW_CHAT]?.message).toBe('read-only')
  })
})

describe('failures', () => {
  it('belong to their chat', async () => {
    const fake = await openChat([chatMessage({ id: 'reply', content: 'x' })])
    fake.addChat('b')
    fake.failures['regenerate a reply'] = 'no'
    await fake.store.regenerate('reply')
    expect(failureOf(fake.state())?.message).toBe('no')
    fake.store.open('b')
    expect(failureOf(fake.state())).toBeNull()
    fake.store.open('a')
    expect(failureOf(fake.state())?.message).toBe('no')
    fake.store.dismissFailure()
    expect(failureOf(fake.state())).toBeNull()
  })

  it('that a reply was in the way go with the reply', async () => {
    const fake = await openChat([])
    fake.failures['send a Hello'] = 'busy'
    fake.store.setDraft('Hello')
    await fake.store.send()
    expect(failureOf(fake.state())?.code).toBe('chat-busy')
    fake.change('a', { reply: reply() })
    fake.emit('a', { kind: 'reply', messageId: 'reply', reply: null })
    await settle()
    expect(failureOf(fake.state())).toBeNull()
  })
})

it('an example is sent as it is, and the draft stays', async () => {
  const fake = createFake()
  fake.store.setDraft('my long careful draft')
  await fake.store.send('Who are you?')
  expect(fake.calls).toEqual(['create', 'send chat-0 Who are you?'])
  expect(draftOf(fake.state())).toBe('my long careful draft')
})

describe('a reload', () => {
  it('finds the chat that was open, and the drafts', async () => {
    const memo = createMemo()
    const before = await openChat([chatMessage({ content: 'x' })], memo)
    before.store.setDraft('half a thought')
    before.store.newChat()
    before.store.setDraft('another')
    before.store.open('a')
    await settle()

    const after = createFake(createMemo(Object.fromEntries(memo.items)))
    after.addChat('a', [chatMessage({ content: 'x' })])
    after.store.refresh()
    await settle()
    expect(after.state().chat?.id).toBe('a')
    expect(draftOf(after.state())).toBe('half a thought')
    expect(after.state().drafts[NEW_CHAT]).toBe('another')
  })

  it('starts anew when the host does not know that chat any more', async () => {
    const fake = createFake(createMemo({ 'tern.openChat': 'gone' }))
    fake.store.refresh()
    await settle()
    expect(fake.state()).toMatchObject({ currentId: null, chat: null, failures: {} })
  })

  it('survives what it did not write itself', () => {
    const fake = createFake(createMemo({ 'tern.drafts': '{"a": 1}' }))
    expect(fake.state().drafts).toEqual({})
  })
})

describe('a chat that goes away under the reader', () => {
  it('deleted in another window: it stays in sight, with a word and a way back', async () => {
    const fake = await openChat([chatMessage({ content: 'x' })])
    fake.change('a', { isDeleted: true })
    await settle()
    expect(fake.state()).toMatchObject({ currentId: 'a', summaries: [], removed: { chatId: 'a', isOurs: false } })
    expect(fake.state().chat?.messages).toHaveLength(1)
    fake.change('a', { isDeleted: false })
    await settle()
    expect(fake.state()).toMatchObject({ removed: null, summaries: [{ id: 'a' }] })
  })

  it('for good: it is left', async () => {
    const fake = await openChat([])
    fake.purge('a')
    await settle()
    expect(fake.state()).toMatchObject({ currentId: null, failures: {}, summaries: [] })
  })

  it('because the host lost it: what was fetched stays readable, and nothing can be sent into it', async () => {
    const fake = await openChat([chatMessage({ content: 'the last copy' })])
    fake.addChat('b')
    fake.store.open('b')
    await settle()
    fake.chats.delete('a')
    fake.store.open('a')
    // At once, from what this window has.
    expect(fake.state().chat?.messages[0].content).toBe('the last copy')
    await settle()
    expect(fake.state()).toMatchObject({ currentId: 'a', isGone: true, failures: {} })
    expect(fake.state().chat?.messages[0].content).toBe('the last copy')
    await fake.store.send('Hello')
    expect(fake.calls).toEqual([])
    fake.store.newChat()
    expect(fake.state().isGone).toBe(false)
  })

  it('that was never fetched is left without a word', async () => {
    const fake = createFake()
    fake.store.open('lost')
    await settle()
    expect(fake.state()).toMatchObject({ currentId: null, failures: {} })
  })
})
