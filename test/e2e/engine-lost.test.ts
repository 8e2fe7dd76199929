/** The whole host with the model that ships, over its WebSocket: a chat, and a chat whose engine is killed in mid-reply. */
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import WebSocket from 'ws'
import type { ChatMessage, ReplyInFlight } from '../../contract/app/chats.ts'
import type { EngineStatus } from '../../contract/app/engine.ts'
import { type AppApi, appApi } from '../../contract/app-api.ts'
import { type Client, createClient } from '../../contract/rpc.ts'
import { type BrowserShell, startBrowserShell } from '../../main/browser-shell/browser-shell.ts'

let shell: BrowserShell
let socket: WebSocket
let client: Client<AppApi>
let status: EngineStatus
const phases: string[] = []

beforeAll(async () => {
  shell = await startBrowserShell()
  socket = new WebSocket(`${shell.url.replace('http', 'ws')}rpc`, { origin: new URL(shell.url).origin })
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject))
  client = createClient(appApi, {
    send: message => socket.send(JSON.stringify(message)),
    onMessage(listener) {
      const onMessage = (data: unknown) => listener(JSON.parse(String(data)))
      socket.on('message', onMessage)
      return () => socket.off('message', onMessage)
    },
  })
  client.subscribe('engine.status', undefined, next => {
    status = next
    if (phases.at(-1) !== next.phase) phases.push(next.phase)
  })
})
afterAll(async () => {
  socket.close()
  await shell.close()
})

const until = (condition: () => boolean) => vi.waitUntil(condition, { timeout: 30_000, interval: 5 })

async function openChat() {
  const { id: chatId } = await client.call('chat.create', { isTemporary: false })
  let messages: ChatMessage[] = []
  const prefills: NonNullable<ReplyInFlight['prefill']>[] = []
  let isReplying = false
  client.subscribe('chat.watch', { chatId }, event => {
    if (event.kind === 'chat') {
      messages = event.chat.messages
      isReplying = event.chat.reply !== null
    }
    if (event.kind === 'message') messages = messages.map(old => (old.id === event.message.id ? event.message : old))
    if (event.kind === 'append') {
      messages = messages.map(old => (old.id === event.messageId ? { ...old, content: old.content + event.text } : old))
    }
    if (event.kind === 'reply') {
      isReplying = event.reply !== null
      if (event.reply?.phase === 'reading' && event.reply.prefill !== null) prefills.push(event.reply.prefill)
    }
  })
  const reply = () => messages.at(-1)!
  const isOver = () => !isReplying && reply() !== undefined
  return { chatId, reply, isOver, prefills }
}

it('chats: a reply, a second one that reads only what is new, a regenerated one that reads nothing', async () => {
  const { chatId, reply, isOver, prefills } = await openChat()
  await client.call('chat.send', { chatId, text: 'Hello! Who are you?', sampling: { temperature: 0 } })
  await until(isOver)
  expect(reply()).toMatchObject({ status: 'complete', finishReason: 'end-of-text', error: null })
  expect(reply().content).toContain('Tern')
  const firstTokens = prefills.at(-1)!.tokensTotal + reply().stats!.generatedTokens
  await client.call('chat.send', { chatId, text: 'Thank you.', sampling: { temperature: 0 } })
  await until(isOver)
  expect(prefills.at(-1)!.reusedTokens).toBe(firstTokens)
  const { content } = reply()
  prefills.length = 0
  await client.call('chat.regenerate', { chatId, messageId: reply().id, sampling: { temperature: 0 } })
  await until(isOver)
  expect(reply()).toMatchObject({ status: 'complete', content })
  expect(prefills).toEqual([])
})

it('kill -9 of the engine in mid-reply: the text stands, the engine comes back by itself, the chat goes on', async () => {
  const { chatId, reply, isOver, prefills } = await openChat()
  const sampling = { temperature: 0, maxTokens: 400 }
  await client.call('chat.send', { chatId, text: 'Tell me a long story about a bird.', sampling })
  await until(() => reply()?.content.split(' ').length > 20)
  const pid = shell.enginePid!
  phases.length = 0
  process.kill(pid, 'SIGKILL')
  await until(isOver)
  const interrupted = reply()
  expect(interrupted).toMatchObject({
    status: 'interrupted',
    error: { code: 'engine-lost', remedy: expect.any(String) },
  })
  expect(interrupted.content.split(' ').length).toBeGreaterThan(20)

  await until(() => status.phase === 'ready' && shell.enginePid !== pid)
  expect(phases).toEqual(['restarting', 'loading', 'ready'])
  prefills.length = 0
  await client.call('chat.continue', { chatId, messageId: reply().id, sampling })
  await until(isOver)
  expect(reply()).toMatchObject({ status: 'complete', error: null })
  expect(reply().content.startsWith(interrupted.content)).toBe(true)
  expect(reply().content.length).toBeGreaterThan(interrupted.content.length)
  // From the snapshot before the reply: the prompt is not read again, only the text that stood.
  expect(prefills.at(-1)!.reusedTokens).toBeGreaterThan(8)

  await client.call('chat.send', { chatId, text: 'And then?', sampling: { temperature: 0, maxTokens: 20 } })
  await until(isOver)
  expect(reply()).toMatchObject({ status: 'complete', error: null })
  expect(prefills.at(-1)!.tokensTotal).toBeLessThan(20)
})

it('the memory figures are real ones', async () => {
  const sample = await new Promise<{ memory: { weightBytes: number; processRssBytes: number | null } }>(resolve => {
    const stream = client.subscribe('engine.memory', undefined, event => {
      stream.cancel()
      resolve(event)
    })
  })
  expect(sample.memory.weightBytes).toBeGreaterThan(20e6)
  expect(sample.memory.processRssBytes).toBeGreaterThan(sample.memory.weightBytes)
})
