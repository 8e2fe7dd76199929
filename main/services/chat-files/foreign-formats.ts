/**
 * Files of other programs, read leniently: what they hold of conversations is taken, all branches among it; what is not text
 * is left out and counted. Ids are those of the file, so that the same file gives the same chats again.
 */
import * as v from 'valibot'
import type { MessageNode } from '../chats/ports.ts'
import type { StoredChat } from './ports.ts'

/** Counts what could not be taken, by reason. */
export type LeaveOut = (reason: string, count?: number) => void

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
  mapping: v.record(
    v.string(),
    v.object({
      id: v.optional(v.nullable(v.string()), null),
      parent: text,
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
    }),
  ),
})

export function readChatGpt(json: unknown, leaveOut: LeaveOut): StoredChat | null {
  const parsed = v.safeParse(chatGptSchema, json)
  if (!parsed.success) return null
  const { mapping, ...chat } = parsed.output
  const messages = Object.entries(mapping).map(([key, { parent, message }]): DraftMessage => {
    const isShown = message !== null && message.weight !== 0 && (message.recipient ?? 'all') === 'all'
    const parts = message?.content?.parts ?? []
    const texts = parts.filter(part => typeof part === 'string')
    if (isShown && texts.length < parts.length)
      leaveOut('parts of messages that are not text', parts.length - texts.length)
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
    history: v.object({
      currentId: text,
      messages: v.record(
        v.string(),
        v.object({ parentId: text, role: v.string(), content: v.optional(v.unknown()), timestamp: time }),
      ),
    }),
  }),
})

export function readOpenWebUi(json: unknown, leaveOut: LeaveOut): StoredChat | null {
  const parsed = v.safeParse(openWebUiSchema, json)
  if (!parsed.success) return null
  const { chat, created_at, ...head } = parsed.output
  const messages = Object.entries(chat.history.messages).map(([key, message]): DraftMessage => {
    return {
      id: key,
      parentId: message.parentId,
      role: message.role,
      text: textOfContent(message.content, leaveOut),
      createdAtMs: msOf(message.timestamp, msOf(created_at)),
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
      leafId: chat.history.currentId,
    },
    leaveOut,
  )
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
  if (!parsed.success) return null
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
    return parsed.success ? [parsed.output] : []
  })
  return threads.flatMap(thread => {
    const parsed = v.safeParse(janThreadSchema, thread)
    if (!parsed.success) return []
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

// ---- what they share

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
      leaveOut('parts of messages that are not text')
      return []
    })
    .join('\n')
}

/** Only what people and models said, as a tree; what stood between hangs below what came before it. null: nothing is left. */
function storedChat(draft: Draft, leaveOut: LeaveOut): StoredChat | null {
  const chatId = `${draft.source}-${idOf(draft.id)}`
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
  if (others.length > 0) leaveOut('messages of tools and systems', others.length)
  if (taken.length === 0) {
    leaveOut('chats without messages')
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

/** As part of an address. */
const idOf = (foreign: string): string => foreign.replace(/[^\w-]/g, '_').slice(0, 120)
