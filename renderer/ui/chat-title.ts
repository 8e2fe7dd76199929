/** A chat's title as it may stand in the window's own text. */
import { strings } from '../app/strings.ts'

/** Controls, and marks that turn the direction of what stands beside them. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be shown
const UNSHOWN = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]+/g
/** Nothing of these can be seen alone. */
const INVISIBLE = /^[\s\p{Default_Ignorable_Code_Point}\p{M}\u2800]*$/u

/** Never empty to the eye. */
export function shownTitle(title: string): string {
  const shown = title.replace(UNSHOWN, ' ').trim()
  return INVISIBLE.test(shown) ? strings.chats.untitled : shown
}
