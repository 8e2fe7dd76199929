/** Every word that the window shows now, in the language that was chosen. */
import { english, type Words } from '../language/english.ts'

/** Read where it is drawn and never kept: it changes with the language. */
export let strings: Words = english

export function speak(words: Words): void {
  strings = words
}
