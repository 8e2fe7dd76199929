/** The window's own settings: how it looks and what is folded. They are the only thing that the window remembers by itself. */
import * as v from 'valibot'
import { createStore, type StoreApi } from 'zustand/vanilla'

/** What is used of the browser's Storage. */
export interface Memo {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
}

export const MIN_TEXT_SIZE_PERCENT = 90
export const MAX_TEXT_SIZE_PERCENT = 150
const textSizePercent = v.pipe(v.number(), v.minValue(MIN_TEXT_SIZE_PERCENT), v.maxValue(MAX_TEXT_SIZE_PERCENT))

/** What one version does not know or cannot read costs that setting alone. */
const preferencesSchema = v.object({
  language: v.fallback(v.picklist(['system', 'en', 'de']), 'system'),
  theme: v.fallback(v.picklist(['system', 'light', 'dark']), 'system'),
  textSizePercent: v.fallback(textSizePercent, 100),
  /** Nothing moves, whatever the system asks for. */
  reduceMotion: v.fallback(v.boolean(), false),
  chatsOpen: v.fallback(v.boolean(), true),
  instrumentsOpen: v.fallback(v.boolean(), true),
})
export type Preferences = v.InferOutput<typeof preferencesSchema>

const KEY = 'tern.preferences'
const DEFAULTS: Preferences = v.parse(preferencesSchema, {})

export type PreferencesStore = StoreApi<Preferences>

/** Unreadable or outdated settings fall back to the defaults; a storage that refuses to write costs only the memory. */
export function createPreferencesStore(memo: Memo): PreferencesStore {
  const store = createStore<Preferences>(() => read(memo) ?? DEFAULTS)
  store.subscribe(preferences => {
    try {
      memo.setItem(KEY, JSON.stringify(preferences))
    } catch {}
  })
  return store
}

function read(memo: Memo): Preferences | null {
  try {
    const parsed = v.safeParse(preferencesSchema, JSON.parse(memo.getItem(KEY) ?? 'null'))
    return parsed.success ? parsed.output : null
  } catch {
    return null
  }
}

export const nextTheme = (theme: Preferences['theme']): Preferences['theme'] =>
  theme === 'system' ? 'light' : theme === 'light' ? 'dark' : 'system'
