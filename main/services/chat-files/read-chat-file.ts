/** Tells whose file it is, and reads its chats. Files are hostile: bounded, parsed, and never trusted in names or sizes. */
import { unzipSync } from 'fflate'
import * as v from 'valibot'
import type { ImportReport, LeaveOutReason } from '../../../contract/app/chat-files.ts'
import { TernError } from '../../../contract/errors.ts'
import { type LeaveOut, otherIdOf, readChatGpt, readJan, readLmStudio, readOpenWebUi } from './foreign-formats.ts'
import { orderedTree } from './ordered-tree.ts'
import type { StoredChat } from './ports.ts'
import { TERN_FORMAT, ternChatSchema } from './tern-format.ts'

/** Of all that an archive unfolds to. */
const MAX_UNZIPPED_BYTES = 1024 * 2 ** 20
const MAX_ENTRIES = 200_000

export interface ReadFile {
  source: ImportReport['source']
  chats: StoredChat[]
  leftOut: { reason: LeaveOutReason; count: number }[]
}

/** Throws `format-invalid` when it is no file of chats that Tern knows, `limit-exceeded` when it is too large. */
export function readChatFile(bytes: Uint8Array): ReadFile {
  const counts = new Map<LeaveOutReason, number>()
  const leaveOut: LeaveOut = (reason, count = 1) => void counts.set(reason, (counts.get(reason) ?? 0) + count)
  const found = readEntries(entriesOf(bytes), leaveOut)
  if (found === null) throw unknownFile()
  const chats = eachOnce(found.chats, leaveOut).map(chat => orderedTree(chat))
  return { source: found.source, chats, leftOut: [...counts].map(([reason, count]) => ({ reason, count })) }
}

/** Files of one name in two folders are two chats; the same chat twice is one, the longer. */
function eachOnce(chats: readonly StoredChat[], leaveOut: LeaveOut): StoredChat[] {
  const byId = new Map<string, StoredChat>()
  for (const one of chats) {
    const first = byId.get(one.chat.id)
    const isOther = first !== undefined && otherIdOf(first).chat.id !== otherIdOf(one).chat.id
    const stored = isOther ? otherIdOf(one) : one
    const same = byId.get(stored.chat.id)
    if (same !== undefined) leaveOut('chats-twice')
    if (same === undefined || same.messages.length < stored.messages.length) byId.set(stored.chat.id, stored)
  }
  return [...byId.values()]
}

interface Entry {
  name: string
  json: unknown
}

function entriesOf(bytes: Uint8Array): Entry[] {
  const isZip = bytes[0] === 0x50 && bytes[1] === 0x4b
  if (!isZip) return [{ name: 'file.json', json: parse(bytes) }]
  let total = 0
  let count = 0
  let files: Record<string, Uint8Array>
  try {
    files = unzipSync(bytes, {
      filter({ name, originalSize }) {
        if (!/\.jsonl?$/.test(name)) return false
        total += originalSize
        count++
        if (total > MAX_UNZIPPED_BYTES || count > MAX_ENTRIES) throw tooLarge()
        return true
      },
    })
  } catch (error) {
    if (error instanceof TernError) throw error
    throw new TernError({
      code: 'format-invalid',
      message: 'This archive is damaged or incomplete.',
      actual: error instanceof Error ? error.message : String(error),
      remedy: 'Get the file again.',
    })
  }
  return Object.entries(files).map(([path, content]) => {
    const name = path.split('/').at(-1)!
    const lines = new TextDecoder().decode(content)
    return name.endsWith('.jsonl')
      ? { name, json: lines.split('\n').flatMap(line => (line.trim() === '' ? [] : [parseText(line)])) }
      : { name, json: parseText(lines) }
  })
}

const parse = (bytes: Uint8Array): unknown => parseText(new TextDecoder().decode(bytes))

/** undefined: no JSON. */
function parseText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function readEntries(entries: readonly Entry[], leaveOut: LeaveOut): Omit<ReadFile, 'leftOut'> | null {
  const all = entries.flatMap(({ name, json }) => (Array.isArray(json) ? json : [json]).map(item => ({ name, item })))
  const has = (key: string) => all.some(({ item }) => typeof item === 'object' && item !== null && key in item)
  const read = (one: (item: unknown, name: string) => StoredChat | null) =>
    all.flatMap(({ item, name }) => one(item, name) ?? [])
  if (all.some(({ item }) => isObject(item) && item.format === TERN_FORMAT)) {
    const chats = read(item => {
      const parsed = v.safeParse(ternChatSchema, item)
      if (!parsed.success && isObject(item) && item.format === TERN_FORMAT) leaveOut('damaged-chats')
      return parsed.success ? parsed.output : null
    })
    return { source: 'tern', chats }
  }
  if (has('mapping')) return { source: 'chatgpt', chats: read(item => readChatGpt(item, leaveOut)) }
  if (has('chat')) return { source: 'open-webui', chats: read(item => readOpenWebUi(item, leaveOut)) }
  if (has('thread_id') || has('assistants')) {
    const items = all.map(({ item }) => item)
    return { source: 'jan', chats: readJan(items, items, leaveOut) }
  }
  if (all.some(({ item }) => isObject(item) && Array.isArray(item.messages) && 'name' in item)) {
    return { source: 'lm-studio', chats: read((item, name) => readLmStudio(item, name, leaveOut)) }
  }
  return null
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

const unknownFile = () =>
  new TernError({
    code: 'format-invalid',
    message: 'This is no file of chats that Tern knows.',
    expected: 'an archive or JSON of Tern, ChatGPT, Open WebUI, LM Studio or Jan',
    remedy: 'Choose the file that the other program’s export has made, as it is.',
  })

export const tooLarge = () =>
  new TernError({
    code: 'limit-exceeded',
    message: 'This file is too large to take in.',
    expected: `at most ${MAX_UNZIPPED_BYTES / 2 ** 20} MiB of text`,
    remedy: 'Take in its parts one after another.',
  })
