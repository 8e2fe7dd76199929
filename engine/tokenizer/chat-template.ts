/**
 * Chat templates: a conversation as the text the model was trained on.
 */
import { EngineError } from '../errors.ts'
import type { TextSegment, Tokenizer } from './tokenizer.ts'

export interface ChatMessage {
  role: string
  content: string
}

export interface RenderOptions {
  /** Opens the assistant's turn at the end. */
  addGenerationPrompt: boolean
  /** The last message is an unfinished reply: the text ends with its content, nothing closes the turn. */
  continueFinalMessage?: boolean
  bosToken: string
  eosToken: string
  /** `tokenizer.specialTokens`: such strings inside messages stay text. */
  specialTokens: ReadonlyMap<string, number>
}

/** A rendered conversation. Joined, the segments are `text`. */
export interface RenderedText {
  readonly text: string
  readonly segments: readonly TextSegment[]
}

export interface ChatTemplate {
  readonly source: string
  /** Throws `template-invalid`, `template-limit-exceeded`. */
  render(messages: readonly ChatMessage[], options: RenderOptions): RenderedText
}

/** For base models without a template: the messages' plain text, a reply directly after its question. */
export const PLAIN_CHAT_TEMPLATE =
  "{{ bos_token }}{% for message in messages %}{% if not loop.first and message['role'] != 'assistant' %}{{ '\\n\\n' }}{% endif %}{{ message['content'] }}{% endfor %}"

/** Throws `template-invalid`, `template-limit-exceeded`. */
export function compileChatTemplate(_source: string, _options: { now?: () => Date } = {}): ChatTemplate {
  throw new EngineError('internal', 'not yet written')
}

/**
 * Ids of a rendering from character `from` (UTF-16 units of `rendered.text`) on.
 * `continuation` says whether other tokens come before; default: `from` > 0.
 */
export function encodeRendered(
  _tokenizer: Tokenizer,
  _rendered: RenderedText,
  _options: { from?: number; continuation?: boolean } = {},
): number[] {
  throw new EngineError('internal', 'not yet written')
}
