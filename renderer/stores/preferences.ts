/** The window's own settings: theme and folded regions. They are the only thing that the window remembers by itself. */
import * as v from 'valibot'
import { createStore, type StoreApi } from 'zustand/vanilla'

/** What is used of the browser's Storage. */
export interface Memo {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
}

const preferencesSchema = v.object({
  theme: v.picklist(['system', 'light', 'dark']),
  chatsOpen: v.boolean(),
  instrumentsOpen: v.boolean(),
})
export type Preferences = v.InferOutput<typeof preferencesSchema>

const KEY = 'tern.preferences'
const DEFAULTS: Preferences = { theme: 'system', chatsOpen: true, instrumentsOpen: true }

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
