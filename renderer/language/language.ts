/** The languages of the window, and which one is spoken. */
import { speak } from '../app/strings.ts'
import { setNumberLocale } from '../ui/units.ts'
import { english, type Words } from './english.ts'
import { german } from './german.ts'

const LANGUAGES: Readonly<Record<'en' | 'de', Words>> = { en: english, de: german }
export type Language = keyof typeof LANGUAGES

/** The first of the reader's languages that the window has; English where it has none. */
export function languageOf(choice: Language | 'system', preferred: readonly string[]): Language {
  if (choice !== 'system') return choice
  const known = preferred.map(tag => tag.toLowerCase().split('-', 1)[0])
  return known.find((tag): tag is Language => Object.hasOwn(LANGUAGES, tag)) ?? 'en'
}

/** From now on all that is drawn anew speaks it. */
export function speakLanguage(language: Language): void {
  speak(LANGUAGES[language])
  setNumberLocale(language)
}
