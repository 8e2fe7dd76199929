import { expect, it } from 'vitest'
import { createMemoryChatStore } from '../../main/services/chats/memory-chat-store.ts'
import type { ChatStore } from '../../main/services/chats/ports.ts'
import { withTemporaryChats } from '../../main/services/chats/temporary-chats.ts'
import { chatRecord, messageNode } from '../messages.ts'

/** A store that notes every call with all it was told. */
function watched(): { store: ChatStore; heard: string[] } {
  const heard: string[] = []
  const store = new Proxy(createMemoryChatStore(), {
    get: (target, name: keyof ChatStore) => {
      const call = target[name] as (...args: unknown[]) => Promise<unknown>
      return (...args: unknown[]) => {
        heard.push(`${name} ${JSON.stringify(args)}`)
        return call(...args)
      }
    },
  })
  return { store, heard }
}

it('the store of the disk hears nothing of a temporary chat, from its beginning to after its end', async () => {
  const { store, heard } = watched()
  const both = withTemporaryChats(store)
  await both.addChat(chatRecord({ id: 'secret', title: 'secret', isTemporary: true }))
  const messages = [messageNode({ id: 'secret-1' }), messageNode({ id: 'secret-2', parentId: 'secret-1' })]
  await both.addMessages('secret', messages, { activeLeafId: 'secret-2' })
  await both.setChat('secret', { title: 'secret again' })
  await both.setMessage('secret-1', { content: 'secret' })
  await both.appendText('secret-2', 'secret', 0)
  await both.putSnapshot('secret', 'secret-2', 'model', new Uint8Array([1, 2]))
  expect(await both.getSnapshot('secret-2', 'model')).toEqual(new Uint8Array([1, 2]))
  expect(await both.open('secret')).toMatchObject({
    chat: { title: 'secret again' },
    messages: [{ content: 'secret' }, { content: 'secret' }],
  })
  await both.deleteSnapshot('secret-2', null)
  await both.removeMessages('secret', ['secret-2'], {})
  await both.purge('secret')
  // A reply that ends after its chat.
  await expect(both.setMessage('secret-1', { content: 'late' })).rejects.toMatchObject({ code: 'message-not-found' })
  await expect(both.setChat('secret', { title: 'late' })).rejects.toMatchObject({ code: 'chat-not-found' })
  expect(heard).toEqual([])
})

it('all others go to the store of the disk', async () => {
  const { store, heard } = watched()
  const both = withTemporaryChats(store)
  await both.addChat(chatRecord({ id: 'kept' }))
  await both.addMessages('kept', [messageNode({ id: 'kept-1' })], {})
  await both.setMessage('kept-1', { content: 'kept' })
  expect(heard.map(call => call.split(' ')[0])).toEqual(['addChat', 'addMessages', 'setMessage'])
  expect(await both.list()).toHaveLength(1)
})
