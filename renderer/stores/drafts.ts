/** Unsent text per chat, kept over reloads. */
import * as v from 'valibot'
import type { Memo } from './preferences.ts'

export type Drafts = Readonly<Record<string, string>>

const DRAFTS_KEY = 'tern.drafts'
const draftsSchema = v.record(v.string(), v.string())

export function readDrafts(memo: Memo): Drafts {
  try {
    const parsed = v.safeParse(draftsSchema, JSON.parse(memo.getItem(DRAFTS_KEY) ?? '{}'))
    return parsed.success ? parsed.output : {}
  } catch {
    return {}
  }
}

export function withDraft(drafts: Drafts, chatId: string, text: string): Drafts {
  const { [chatId]: _, ...others } = drafts
  return text === '' ? others : { ...others, [chatId]: text }
}

/** Where storage is full or refused they last as long as the window. */
export function keepDrafts(memo: Memo, drafts: Drafts): void {
  try {
    memo.setItem(DRAFTS_KEY, JSON.stringify(drafts))
  } catch {}
}
