/**
 * Finds added tokens (special ones and user-defined ones) in text: leftmost, then longest, in linear time.
 * Does not decide which of them are meant: the caller gives the set.
 */
import type { AddedToken } from './tokenizer-json.ts'

export interface AddedTokenMatch {
  token: AddedToken
  /** Where the token's own text begins, UTF-16 units. */
  tokenStart: number
  /** With the white space that the token swallows (lstrip, rstrip). */
  start: number
  end: number
}

/** UTF-16 units; tokenizer.json is checked for it. */
export const MAX_TOKEN_LENGTH = 256

interface TrieNode {
  children: Map<number, TrieNode>
  token: AddedToken | null
}

/** A text of an added token that counts as a special token in `text`, whether or not the file flags it so. */
export const isMarker = (token: AddedToken): boolean =>
  // Some chat models leave their turn markers unflagged: <|user|>, <｜User｜>.
  token.special || /^<[|｜]/.test(token.content)

export class AddedTokenFinder {
  readonly #root: TrieNode = { children: new Map(), token: null }

  /** `contentOf`: how the token is spelled in the texts to search (normalised or not). */
  constructor(tokens: readonly AddedToken[], contentOf: (token: AddedToken) => string = token => token.content) {
    for (const token of tokens) {
      const content = contentOf(token)
      if (content === '') continue
      let node = this.#root
      for (let i = 0; i < content.length; i++) {
        const unit = content.charCodeAt(i)
        let child = node.children.get(unit)
        if (child === undefined) {
          child = { children: new Map(), token: null }
          node.children.set(unit, child)
        }
        node = child
      }
      node.token = token
    }
  }

  /** Matches in order, without overlaps. `allows` may refuse a match at an offset (bare token: start, end). */
  find(
    text: string,
    allows: (token: AddedToken, start: number, end: number) => boolean = () => true,
  ): AddedTokenMatch[] {
    const matches: AddedTokenMatch[] = []
    if (this.#root.children.size === 0) return matches
    let done = 0
    let at = 0
    while (at < text.length) {
      const found = this.#longestAt(text, at, allows)
      if (found === null) {
        at += 1
        continue
      }
      const start = found.token.lstrip ? skipSpaceBackward(text, at, done) : at
      const end = found.token.rstrip ? skipSpaceForward(text, found.end) : found.end
      matches.push({ token: found.token, tokenStart: at, start, end })
      at = end
      done = end
    }
    return matches
  }

  /**
   * Where the text's end may begin a token that text after it would complete ("…<|en"): the longest such end, white
   * space behind it left aside. -1 when there is none.
   */
  beginningAtEnd(text: string): number {
    const end = text.trimEnd().length
    for (let start = Math.max(0, end - MAX_TOKEN_LENGTH); start < end; start++) {
      let node: TrieNode | undefined = this.#root
      for (let i = start; node !== undefined && i < end; i++) node = node.children.get(text.charCodeAt(i))
      if (node !== undefined && node.children.size > 0) return start
    }
    return -1
  }

  #longestAt(
    text: string,
    start: number,
    allows: (token: AddedToken, start: number, end: number) => boolean,
  ): { token: AddedToken; end: number } | null {
    let best: { token: AddedToken; end: number } | null = null
    let node = this.#root.children.get(text.charCodeAt(start))
    for (let i = start + 1; node !== undefined; i++) {
      const { token } = node
      if (token !== null && (!token.singleWord || standsAlone(text, start, i)) && allows(token, start, i)) {
        best = { token, end: i }
      }
      node = i < text.length ? node.children.get(text.charCodeAt(i)) : undefined
    }
    return best
  }
}

const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]/u
const SPACE = /\p{White_Space}/u

/** No word character touches text[start, end). */
function standsAlone(text: string, start: number, end: number): boolean {
  const before = start === 0 ? '' : (Array.from(text.slice(Math.max(0, start - 2), start)).at(-1) ?? '')
  const after = end >= text.length ? '' : String.fromCodePoint(text.codePointAt(end) ?? 0)
  return !WORD.test(before) && !(after !== '' && WORD.test(after))
}

function skipSpaceBackward(text: string, at: number, floor: number): number {
  let start = at
  while (start > floor && SPACE.test(text[start - 1])) start -= 1
  return start
}

function skipSpaceForward(text: string, at: number): number {
  let end = at
  while (end < text.length && SPACE.test(text[end])) end += 1
  return end
}
