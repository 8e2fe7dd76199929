/**
 * From what a session is asked to read to tokens, and whether its state fits. It reads nothing itself.
 */
import { EngineError } from './errors.ts'
import type { ModelConfig } from './model/config.ts'
import { checkTokenIds } from './model/token-ids.ts'
import { type ChatTemplate, encodeRendered } from './tokenizer/chat-template.ts'
import type { Tokenizer } from './tokenizer/tokenizer.ts'

/** What a session reads next; the shape of the contract's sessionInputSchema. */
export type SessionInput =
  /** Plain text. Special tokens in it are read as such only when `parseSpecial`. `<s>` opens an empty session. */
  | { kind: 'text'; text: string; parseSpecial: boolean }
  /** Exactly these tokens; none: go on from where the session stands. */
  | { kind: 'tokens'; tokens: number[] }
  /**
   * A conversation, rendered by the model's template. When the rendering begins with the text that the session has read
   * and written, only the rest is read; otherwise the session starts over. `addGenerationPrompt` false: the last message
   * is an unfinished reply of the assistant to go on with.
   */
  | {
      kind: 'messages'
      messages: { role: 'system' | 'user' | 'assistant'; content: string }[]
      addGenerationPrompt: boolean
    }

/** Messages that a session has read, or is to read. */
export type Conversation = Omit<Extract<SessionInput, { kind: 'messages' }>, 'kind'>

export interface PreparedInput {
  /** Tokens to read, after those that are pending in the session. */
  tokens: number[]
  /** The session's state does not fit: begin with an empty one. */
  startsOver: boolean
  /** The text of the whole sequence when these tokens are read; null when it cannot be known. */
  text: string | null
}

/** What a session has read so far. */
export interface SequenceSoFar {
  isEmpty: boolean
  /** null: not known as text. */
  text: string | null
}

/** The parts of a model that turn input into tokens. */
export interface InputModel {
  config: ModelConfig
  tokenizer: Tokenizer | null
  /** The model's template, or the plain one for base models. */
  template: ChatTemplate
}

/** Throws `invalid-argument`, `token-out-of-range`, `template-*`. */
export function prepareInput(model: InputModel, soFar: SequenceSoFar, input: SessionInput): PreparedInput {
  const prepared = prepareByKind(model, soFar, input)
  checkTokenIds(prepared.tokens, model.config.vocabularySize)
  return prepared
}

function prepareByKind(model: InputModel, soFar: SequenceSoFar, input: SessionInput): PreparedInput {
  switch (input.kind) {
    case 'tokens':
      return { tokens: input.tokens, startsOver: false, text: input.tokens.length === 0 ? soFar.text : null }
    case 'text':
      return prepareText(model, soFar, input)
    case 'messages':
      return prepareMessages(model, soFar, input)
  }
}

function prepareText(
  model: InputModel,
  soFar: SequenceSoFar,
  { text, parseSpecial }: Extract<SessionInput, { kind: 'text' }>,
): PreparedInput {
  const tokenizer = requireTokenizer(model)
  const ids = tokenizer.encode(text, { parseSpecial, continuation: !soFar.isEmpty })
  // Special strings that were read as plain characters would look like special tokens in the sequence's text.
  const isAmbiguous = !parseSpecial && [...tokenizer.specialTokens.keys()].some(special => text.includes(special))
  return {
    tokens: soFar.isEmpty ? openWithBos(model, ids) : ids,
    startsOver: false,
    text: soFar.text === null || isAmbiguous ? null : soFar.text + text,
  }
}

function prepareMessages(
  model: InputModel,
  soFar: SequenceSoFar,
  { messages, addGenerationPrompt }: Extract<SessionInput, { kind: 'messages' }>,
): PreparedInput {
  const { tokenizer, rendered } = renderMessages(model, messages, addGenerationPrompt)
  const { text } = rendered
  if (!soFar.isEmpty && soFar.text !== null && text.startsWith(soFar.text)) {
    const tokens = encodeRendered(tokenizer, rendered, { from: soFar.text.length, continuation: true })
    return { tokens, startsOver: false, text }
  }
  return { tokens: openWithBos(model, encodeRendered(tokenizer, rendered)), startsOver: true, text }
}

/** A conversation as the text that a session reads. Throws `invalid-argument`, `template-*`. */
export const conversationText = (model: InputModel, { messages, addGenerationPrompt }: Conversation): string =>
  renderMessages(model, messages, addGenerationPrompt).rendered.text

function renderMessages(model: InputModel, messages: Conversation['messages'], addGenerationPrompt: boolean) {
  const tokenizer = requireTokenizer(model)
  if (messages.length === 0) throw new EngineError('invalid-argument', 'The conversation is empty.')
  if (!addGenerationPrompt && messages[messages.length - 1].role !== 'assistant') {
    throw new EngineError('invalid-argument', 'There is no reply to go on with.', {
      expected: 'an assistant message at the end',
      actual: `a ${messages[messages.length - 1].role} message`,
    })
  }
  const { specialTokens } = tokenizer
  const rendered = model.template.render(messages, {
    addGenerationPrompt,
    continueFinalMessage: !addGenerationPrompt,
    bosToken: nameOfToken(specialTokens, model.config.bosTokenId),
    eosToken: nameOfToken(specialTokens, model.config.eosTokenIds[0] ?? null),
    specialTokens,
  })
  return { tokenizer, rendered }
}

/** A conversation starts with `<s>`, once. */
function openWithBos({ config }: InputModel, ids: number[]): number[] {
  return config.bosTokenId === null || ids[0] === config.bosTokenId ? ids : [config.bosTokenId, ...ids]
}

function nameOfToken(specialTokens: ReadonlyMap<string, number>, id: number | null): string {
  for (const [name, tokenId] of specialTokens) if (tokenId === id) return name
  return ''
}

function requireTokenizer({ tokenizer }: InputModel): Tokenizer {
  if (tokenizer) return tokenizer
  throw new EngineError('invalid-argument', 'This model file carries no tokenizer, so it cannot read text.', {
    remedy: 'Give token ids, or convert the original folder again with its tokenizer files in it.',
  })
}
