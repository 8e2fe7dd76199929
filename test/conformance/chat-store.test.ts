/**
 * What every store of chats must do: random sequences of its calls on the one that is on the disk, closed and opened again in
 * between, held against the one in memory.
 */
import { expect, it } from 'vitest'
import { wordsOf } from '../../contract/words/find-text.ts'
import { createRandom, wholeBelow } from '../../engine/seeded-random.ts'
import { createMemoryChatStore } from '../../main/services/chats/memory-chat-store.ts'
import type { ChatStore, MessageNode } from '../../main/services/chats/ports.ts'
import { openDiskChatStore } from '../../main/services/store/disk-chat-store.ts'
import { chatRecord, messageNode } from '../messages.ts'
import { temporaryFolder } from '../temporary-folder.ts'

const folder = temporaryFolder()

const outcomeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    result => ({ result: result ?? null }),
    error => ({ code: error.code }),
  )

const MODELS = ['one', 'other']

async function contentOf(store: ChatStore) {
  const list = (await store.list()).toSorted((a, b) => a.chat.id.localeCompare(b.chat.id))
  const chats = await Promise.all(list.map(({ chat }) => store.open(chat.id)))
  const ids = chats.flatMap(chat => chat!.messages.map(({ id }) => id))
  return {
    list,
    chats,
    states: await Promise.all(ids.flatMap(id => MODELS.map(model => store.getSnapshot(id, model)))),
  }
}

/** Texts with what breaks: quotes, zeros, halves of surrogate pairs kept whole, and none. */
const TEXTS = ['', 'a', 'it\'s; -- "quoted"', '\u0000zero', '🐦‍⬛ and 中文', 'x'.repeat(5_000), '\r\n\t', '%_\\']

const QUERIES = ['a', 'quoted', 'xxxx', '中文', 'zero', "it's", '%_', 'QUO it', 'none of these', '']

const STATUSES = ['pending', 'streaming', 'complete', 'stopped', 'interrupted', 'failed'] as const

it.each([1, 2, 3, 4, 5, 6])('seed %i: the disk says what memory says', async seed => {
  const random = createRandom(seed)
  const below = (limit: number) => wholeBelow(random, limit)
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]
  const memory = createMemoryChatStore()
  const open = () => openDiskChatStore({ folder: folder.path, stamp: 'test', nowMs: 1e12 })
  let disk = await open()
  const chats = ['none']
  const messages = ['none']
  const both = async (call: (store: ChatStore) => Promise<unknown>) => {
    const expected = await outcomeOf(call(memory))
    expect(await outcomeOf(call(disk))).toEqual(expected)
  }
  for (let step = 0; step < 150; step++) {
    const chatId = pick(chats)
    const messageId = pick(messages)
    const text = pick(TEXTS)
    const [words, limit] = [wordsOf(pick(QUERIES)), 1 + below(20)]
    if (step % 5 === 0) await both(store => store.find(words, limit))
    switch (below(11)) {
      case 0: {
        const chat = chatRecord({ id: `c${step}`, title: text, createdAtMs: step, updatedAtMs: step })
        chats.push(chat.id)
        await both(store => store.addChat(chat))
        break
      }
      case 1:
      case 2: {
        const added: MessageNode[] = [0, 1].map(n =>
          messageNode({
            id: `m${step}-${n}`,
            parentId: n === 0 ? null : `m${step}-0`,
            role: n === 0 ? 'user' : 'assistant',
            content: pick(TEXTS),
            status: pick(STATUSES),
            createdAtMs: step,
          }),
        )
        if (chats.includes(chatId) && chatId !== 'none') messages.push(...added.map(({ id }) => id))
        await both(store => store.addMessages(chatId, added, { updatedAtMs: step, activeLeafId: `m${step}-1` }))
        break
      }
      case 3: {
        const patch = pick([
          { title: text },
          { deletedAtMs: step },
          { deletedAtMs: null },
          { isPinned: below(2) === 0, isArchived: below(2) === 0 },
          { folder: pick([null, text]), tags: [text, 'b'] },
          {},
        ])
        await both(store => store.setChat(chatId, patch))
        break
      }
      case 4: {
        const patches = [
          { status: pick(STATUSES) },
          { content: text },
          { error: { code: 'internal', message: text } as const, notice: text },
          { finishReason: 'max-tokens' as const, error: null, notice: null },
          {
            stats: {
              promptTokens: 1,
              generatedTokens: step,
              ttftMs: 1.5,
              prefillTokensPerSecond: null,
              decodeTokensPerSecond: 2,
            },
          },
        ]
        const patch = pick(patches)
        await both(store => store.setMessage(messageId, patch))
        break
      }
      case 5:
      case 6: {
        const at = below(3)
        const known = (await contentOf(memory)).chats.flatMap(chat => chat!.messages).find(({ id }) => id === messageId)
        await both(store => store.appendText(messageId, text, at === 0 ? 7 : (known?.content.length ?? 0)))
        break
      }
      case 7:
        // Only leaves are ever removed.
        {
          const ids = [messageId, pick(messages)].filter(id => id.endsWith('-1'))
          await both(store => store.removeMessages(chatId, ids, { updatedAtMs: step }))
        }
        break
      case 8: {
        const model = pick(MODELS)
        const state = Uint8Array.from({ length: below(3_000) }, () => below(256))
        await both(store => store.putSnapshot(chatId, messageId, model, state))
        break
      }
      case 9: {
        const isGone = below(2) === 0
        const model = pick([null, ...MODELS])
        await both(store => (isGone ? store.deleteSnapshot(messageId, model) : store.snapshotModels(messageId)))
        break
      }
      case 10:
        if (below(4) === 0) await both(store => store.purge(chatId))
        else if (below(3) === 0) {
          await disk.close()
          disk = await open()
          expect(disk.recovery).toBeNull()
        }
    }
  }
  expect(await contentOf(disk)).toEqual(await contentOf(memory))
  await disk.close()
})
