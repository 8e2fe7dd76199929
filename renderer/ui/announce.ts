/** What screen readers are told: the announcer shows it to them. The same words twice are told twice. */
import { createStore } from 'zustand/vanilla'

export const announcement = createStore<{ words: string; serial: number }>(() => ({ words: '', serial: 0 }))

export const announce = (words: string): void => announcement.setState(({ serial }) => ({ words, serial: serial + 1 }))
