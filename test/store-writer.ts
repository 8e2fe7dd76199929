/**
 * Writes a long reply into the store of a folder, piece by piece, and says on stdout what is stored: to be killed at any
 * moment. `node test/store-writer.ts FOLDER SEED`
 */
import { openDiskChatStore } from '../main/services/store/disk-chat-store.ts'
import { chatRecord, messageNode } from './messages.ts'

const [folder, seed] = process.argv.slice(2)
const store = await openDiskChatStore({ folder: folder!, stamp: 'writer', nowMs: 1e12 })
const chatId = `chat-${seed}`
const tell = (line: string) => process.stdout.write(`${line}\n`)
await store.addChat(chatRecord({ id: chatId, title: 'Killed' }))
tell('chat')
for (let n = 0; ; n++) {
  const question = messageNode({ id: `${chatId}-q${n}`, role: 'user', content: `question ${n}` })
  const reply = messageNode({ id: `${chatId}-r${n}`, parentId: question.id, status: 'streaming' })
  await store.addMessages(chatId, [question, reply], { activeLeafId: reply.id })
  tell(`asked ${n}`)
  let length = 0
  for (let piece = 0; piece < 20; piece++) {
    const text = `piece ${piece} of ${n}. `
    await store.appendText(reply.id, text, length)
    length += text.length
    tell(`text ${n} ${length}`)
  }
  await store.setMessage(reply.id, { status: 'complete' })
  await store.putSnapshot(chatId, reply.id, 'model', new Uint8Array(40_000).fill(n))
  tell(`done ${n}`)
}
