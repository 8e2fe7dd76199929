/**
 * Whether this key belongs to an input method: one that confirms a word is not a command. Safari ends the composition
 * before the key that ended it is told of, and marks that one by its code alone.
 */
export const isOfInputMethod = (event: { isComposing: boolean; keyCode: number }): boolean =>
  event.isComposing || event.keyCode === 229
