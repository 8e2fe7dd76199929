/**
 * Files of other programs, read leniently: what they hold of conversations is taken, all branches among it; what is not text
 * is left out and counted. Ids are those of the file, so that the same file gives the same chats again.
 */
import { createHash } from 'node:crypto'
import * as v from 'valibot'
import type { LeaveOutReason } from '../../../contract/app/chat-files.ts'
import type { MessageNode } from '../chats/ports.ts'
import type { StoredChat } from './ports.ts'

/** Counts what could not be taken, by reason. */
export type LeaveOut = (reason: LeaveOutReason, count?: number) => void

interface Draft {
  source: string
  id: string
  title: string
  createdAtMs: number
  updatedAtMs: number
  messages: readonly DraftMessage[]
  leafId: string | null
}

interface DraftMessage {
  id: string
  parentId: string | null
  role: string
  text: string
  createdAtMs: number
}

const text = v.optional(v.nullable(v.string()), null)
const id = v.union([v.string(), v.pipe(v.number(), v.transform(String))])
const time = v.optional(v.nullable(v.number()), null)

/** Seconds or milliseconds, as programs differ. */
const msOf = (value: number | null, otherwise = 0): number =>
  value === null || !Number.isFinite(value) ? otherwise : Math.round(value < 1e11 ? value * 1_000 : value)

// ---- ChatGPT

const chatGptSchema = v.object({
  conversation_id: v.optional(v.nullable(id), null),
  id: v.optional(v.nullable(id), null),
  title: text,
  create_time: time,
  update_time: time,
  current_node: text,
  mapping: v.record(v.string(), v.unknown()),
})
const chatGptNodeSchema = v.object({
  parent: v.fallback(text, null),
  message: v.optional(
    v.nullable(
      v.object({
        author: v.object({ role: v.string() }),
        create_time: time,
        weight: v.optional(v.nullable(v.number()), null),
        recipient: text,
        content: v.optional(v.nullable(v.object({ parts: v.optional(v.array(v.unknown()), []), text })), null),
      }),
    ),
    null,
  ),
})

export function readChatGpt(json: unknown, leaveOut: LeaveOut): StoredChat | null {
  const parsed = v.safeParse(chatGptSchema, json)
  if (!parsed.success) return damaged(json, 'mapping', leaveOut)
  const { mapping, ...chat } = parsed.output
  const messages = Object.entries(mapping).map(([key, node]): DraftMessage => {
    const { parent, message } = nodeOf(chatGptNodeSchema, node, leaveOut) ?? { parent: parentIn(node), message: null }
    const isShown = message !== null && message.weight !== 0 && (message.recipient ?? 'all') === 'all'
    const parts = message?.content?.parts ?? []
    const texts = parts.filter(part => typeof part === 'string')
    if (isShown && texts.length < parts.length) leaveOut('parts-not-text', parts.length - texts.length)
    return {
      id: key,
      parentId: parent,
      role: isShown ? message.author.role : 'hidden',
      text: texts.length > 0 ? texts.join('\n') : (message?.content?.text ?? ''),
      createdAtMs: msOf(message?.create_time ?? null, msOf(chat.create_time)),
    }
  })
  return storedChat(
    {
      source: 'chatgpt',
      id: chat.conversation_id ?? chat.id ?? '',
      title: chat.title ?? '',
      createdAtMs: msOf(chat.create_time),
      updatedAtMs: msOf(chat.update_time, msOf(chat.create_time)),
      messages,
      leafId: chat.current_node,
    },
    leaveOut,
  )
}

// ---- Open WebUI

const openWebUiSchema = v.object({
  id,
  title: text,
  created_at: time,
  updated_at: time,
  chat: v.object({
    title: text,
    history: v.optional(v.object({ currentId: text, messages: v.record(v.string(), v.unknown()) })),
    /** Old exports have only the branch in sight. */
    messages: v.optional(v.array(v.unknown()), []),
  }),
})
const openWebUiMessageSchema = v.object({
  parentId: v.fallback(text, null),
  role: v.string(),
  content: v.optional(v.unknown()),
  timestamp: time,
})

export function readOpenWebUi(json: unknown, leaveOut: LeaveOut): StoredChat | null {
  const parsed = v.safeParse(openWebUiSchema, json)
  if (!parsed.success) return damaged(json, 'chat', leaveOut)
  const { chat, created_at, ...head } = parsed.output
  const { currentId, messages: nodes } = chat.history ?? inOneLine(chat.messages)
  const messages = Object.entries(nodes).map(([key, node]): DraftMessage => {
    const message = nodeOf(openWebUiMessageSchema, node, leaveOut)
    return {
      id: key,
      parentId: message === null ? parentIn(node) : message.parentId,
      role: message?.role ?? 'hidden',
      text: textOfContent(message?.content, leaveOut),
      createdAtMs: msOf(message?.timestamp ?? null, msOf(created_at)),
    }
  })
  return storedChat(
    {
      source: 'open-webui',
      id: head.id,
      title: head.title ?? chat.title ?? '',
      createdAtMs: msOf(created_at),
      updatedAtMs: msOf(head.updated_at, msOf(created_at)),
      messages,
      leafId: currentId,
    },
    leaveOut,
  )
}

/** Messages without a tree, each below the one before it. */
function inOneLine(messages: readonly unknown[]) {
  const nodes = messages.map((message, index) => [
    `${index}`,
    { ...(message as object), parentId: index === 0 ? null : `${index - 1}` },
  ])
  return { currentId: `${messages.length - 1}`, messages: Object.fromEntries(nodes) as Record<string, unknown> }
}

// ---- LM Studio

const stepSchema = v.object({ content: v.optional(v.unknown()) })
const lmStudioSchema = v.object({
  name: text,
  createdAt: time,
  messages: v.array(
    v.object({
      versions: v.pipe(
        v.array(
          v.object({ role: v.string(), content: v.optional(v.unknown()), steps: v.optional(v.array(stepSchema)) }),
        ),
        v.minLength(1),
      ),
      currentlySelected: v.optional(v.number(), 0),
    }),
  ),
})

/** `fileName`: such files have no id but their name. */
export function readLmStudio(json: unknown, fileName: string, leaveOut: LeaveOut): StoredChat | null {
  const parsed = v.safeParse(lmStudioSchema, json)
  if (!parsed.success) return damaged(json, 'messages', leaveOut)
  const { name, createdAt, messages } = parsed.output
  const createdAtMs = msOf(createdAt, Number(/(\d{13})/.exec(fileName)?.[1] ?? 0))
  let parentId: string | null = null
  const drafts: DraftMessage[] = []
  for (const [index, { versions, currentlySelected }] of messages.entries()) {
    // Versions are answers to the same place; what follows belongs to the one that is selected.
    for (const [n, { role, content, steps }] of versions.entries()) {
      const whole = steps === undefined ? content : steps.flatMap(step => step.content ?? [])
      drafts.push({ id: `${index}-${n}`, parentId, role, text: textOfContent(whole, leaveOut), createdAtMs })
    }
    parentId = `${index}-${Math.min(Math.max(0, currentlySelected), versions.length - 1)}`
  }
  return storedChat(
    {
      source: 'lm-studio',
      id: fileName.replace(/\.conversation\.json$|\.json$/, ''),
      title: name ?? '',
      createdAtMs,
      updatedAtMs: createdAtMs,
      messages: drafts,
      leafId: parentId,
    },
    leaveOut,
  )
}

// ---- Jan

const janThreadSchema = v.object({ id, title: text, created: time, updated: time })
const janMessageSchema = v.object({
  id,
  thread_id: id,
  role: v.string(),
  created_at: time,
  content: v.optional(v.unknown()),
})

/** Threads and their messages, however they were brought together. */
export function readJan(threads: readonly unknown[], messages: readonly unknown[], leaveOut: LeaveOut): StoredChat[] {
  const known = messages.flatMap(message => {
    const parsed = v.safeParse(janMessageSchema, message)
    if (!parsed.success && isJanMessage(message)) leaveOut('damaged-messages')
    return parsed.success ? [parsed.output] : []
  })
  return threads.flatMap(thread => {
    if (isJanMessage(thread)) return []
    const parsed = v.safeParse(janThreadSchema, thread)
    if (!parsed.success) {
      damaged(thread, 'assistants', leaveOut)
      return []
    }
    const { id: threadId, title, created, updated } = parsed.output
    const own = known
      .filter(({ thread_id }) => thread_id === threadId)
      .sort((a, b) => msOf(a.created_at) - msOf(b.created_at))
    const drafts = own.map(({ id: messageId, role, created_at, content }, index): DraftMessage => {
      const parentId = index === 0 ? null : own[index - 1].id
      return { id: messageId, parentId, role, text: textOfContent(content, leaveOut), createdAtMs: msOf(created_at) }
    })
    const chat = storedChat(
      {
        source: 'jan',
        id: threadId,
        title: title ?? '',
        createdAtMs: msOf(created),
        updatedAtMs: msOf(updated, msOf(created)),
        messages: drafts,
        leafId: drafts.at(-1)?.id ?? null,
      },
      leaveOut,
    )
    return chat === null ? [] : [chat]
  })
}

const isJanMessage = (item: unknown): boolean => typeof item === 'object' && item !== null && 'thread_id' in item

// ---- what they share

/** Whether it was meant as a chat is told by the `key` that only chats have; what else stands in an export is no loss. */
function damaged(item: unknown, key: string, leaveOut: LeaveOut): null {
  if (typeof item === 'object' && item !== null && key in item) leaveOut('damaged-chats')
  return null
}

/** null: one message that cannot be read costs itself, not its chat. */
function nodeOf<const S extends v.GenericSchema>(schema: S, node: unknown, leaveOut: LeaveOut) {
  const parsed = v.safeParse(schema, node)
  if (!parsed.success) leaveOut('damaged-messages')
  return parsed.success ? parsed.output : null
}

/** So that what hangs below a damaged message hangs below what stands above it. */
function parentIn(node: unknown): string | null {
  if (typeof node !== 'object' || node === null) return null
  const { parent, parentId } = node as Record<string, unknown>
  const found = parent ?? parentId
  return typeof found === 'string' ? found : null
}

const partSchema = v.object({ type: v.string(), text: v.union([v.string(), v.object({ value: v.string() })]) })

/** A text, or parts of which only text is taken. */
function textOfContent(content: unknown, leaveOut: LeaveOut): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content
    .flatMap(part => {
      const parsed = v.safeParse(partSchema, part)
      if (parsed.success && parsed.output.type === 'text') {
        return [typeof parsed.output.text === 'string' ? parsed.output.text : parsed.output.text.value]
      }
      leaveOut('parts-not-text')
      return []
    })
    .join('\n')
}

/** Only what people and models said, as a tree; what stood between hangs below what came before it. null: nothing is left. */
function storedChat(draft: Draft, leaveOut: LeaveOut): StoredChat | null {
  const chatId = `${draft.source}-${idOf(draft.id === '' ? fingerprint(draft) : draft.id)}`
  const byId = new Map(draft.messages.map(message => [message.id, message]))
  const isTaken = ({ role, text: words }: DraftMessage) =>
    (role === 'user' || role === 'assistant') && words.trim() !== ''
  /** The nearest taken one at or above; a ring in a damaged file ends at once. */
  const takenFrom = (start: string | null): string | null => {
    const seen = new Set<string>()
    for (let at = start; at !== null && !seen.has(at); at = byId.get(at)?.parentId ?? null) {
      seen.add(at)
      const message = byId.get(at)
      if (message !== undefined && isTaken(message)) return at
    }
    return null
  }
  const taken = draft.messages.filter(isTaken)
  const others = draft.messages.filter(
    message => !isTaken(message) && message.role !== 'hidden' && message.text.trim() !== '',
  )
  if (others.length > 0) leaveOut('tool-and-system-messages', others.length)
  if (taken.length === 0) {
    leaveOut('chats-without-messages')
    return null
  }
  const nodes = taken.map(({ id: own, parentId, role, text: content, createdAtMs }): MessageNode => {
    const parent = takenFrom(parentId)
    return {
      id: `${chatId}-${idOf(own)}`,
      parentId: parent === null ? null : `${chatId}-${idOf(parent)}`,
      role: role === 'user' ? 'user' : 'assistant',
      content: content.toWellFormed(),
      status: 'complete',
      createdAtMs,
      finishReason: null,
      stats: null,
      energy: null,
      error: null,
      notice: null,
    }
  })
  const leaf = takenFrom(draft.leafId)
  return {
    chat: {
      id: chatId,
      title: draft.title.toWellFormed(),
      createdAtMs: draft.createdAtMs,
      updatedAtMs: draft.updatedAtMs,
      deletedAtMs: null,
      activeLeafId: leaf === null ? null : `${chatId}-${idOf(leaf)}`,
      isTemporary: false,
      isPinned: false,
      isArchived: false,
      folder: null,
      tags: [],
    },
    messages: nodes,
  }
}

const hashOf = (words: string): string => createHash('sha256').update(words).digest('hex').slice(0, 16)

/** For a chat without an id: what does not change when the chat goes on. */
const fingerprint = ({ createdAtMs, title, messages }: Draft): string =>
  hashOf(JSON.stringify([createdAtMs, title, messages.find(({ role }) => role === 'user')?.text ?? '']))

const MAX_PLAIN_ID_CHARACTERS = 64

/** As part of an address; what had to be changed for that is told apart by a hash. */
function idOf(foreign: string): string {
  const plain = foreign.replace(/[^\w-]/g, '_').slice(0, MAX_PLAIN_ID_CHARACTERS)
  return plain === foreign ? plain : `${plain}-${hashOf(foreign)}`
}

/** Another id for a chat whose own is taken by another one of the same file. */
export function otherIdOf({ chat, messages }: StoredChat): StoredChat {
  const question = messages.find(({ role }) => role === 'user')?.content ?? ''
  return {
    chat: { ...chat, id: `${chat.id.slice(0, 180)}-${hashOf(JSON.stringify([chat.createdAtMs, question]))}` },
    messages,
  }
}

/** With message ids that no other chat has: those of a copy stand in its original too. */
export function withOwnMessageIds({ chat, messages }: StoredChat): StoredChat {
  const own = (messageId: string | null) => messageId && `${hashOf(chat.id)}-${hashOf(messageId)}`
  return {
    chat: { ...chat, activeLeafId: own(chat.activeLeafId) },
    messages: messages.map(message => ({ ...message, id: own(message.id)!, parentId: own(message.parentId) })),
  }
}
