/**
 * Token ids to text, one at a time: what is returned is certain and whole.
 */

export interface TokenTextOptions {
  /** Leaves special tokens out of the text. */
  hideSpecial?: boolean
  /** The tokens follow others: a leading space is kept. Default false: the tokenizer's own rule for a text's start. */
  continuation?: boolean
}

export interface TokenStream {
  /** Text that is certain after this token; whole UTF-8 characters only. Throws `token-out-of-range`. */
  push(id: number): string
  /** What remains: an incomplete character becomes U+FFFD. */
  flush(): string
  /** Bytes held back for an incomplete character. */
  readonly pendingBytes: number
}
