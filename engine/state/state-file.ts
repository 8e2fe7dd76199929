/**
 * The state file: one conversation's recurrent state and all that a session needs to go on, as bytes. The layout is in
 * docs/state-format.md. Read as hostile input: every size is checked against what the model needs before anything is
 * copied, and a file that does not fit or is damaged is refused whole. It holds the conversation's text: private data.
 * It does not encrypt, and does not convert between models or tokenizers; it keeps the numeric mode that a state was made in.
 */
import * as v from 'valibot'
import { NUMERIC_MODES, type PortableState } from '../backends/backend.ts'
import type { CreateSha256 } from '../engine-environment.ts'
import { EngineError } from '../errors.ts'
import type { ModelConfig } from '../model/config.ts'
import type { ModelIdentity } from './identity.ts'

const MAGIC = 'TERNSTAT'
/** The first one always holds its text; the second may know it by its hash alone. */
const VERSION_WITH_TEXT = 1
const VERSION_WITH_MARK = 2
/** Magic, version, header length. */
const PREFIX_BYTES = 16
const CHECKSUM_BYTES = 32

/** What a session is, apart from the model. */
export interface SessionSnapshot {
  recurrent: PortableState
  /** Tokens that `recurrent` has read. */
  tokenCount: number
  /** Tokens that belong to the conversation and are not read yet: fed first when it goes on. */
  pendingTokens: number[]
  /** [V] logits after the last token read, when nothing is pending; null before the first token. */
  logits: Float32Array | null
  /** Everything read and pending as text; null when it was given as bare token ids. */
  text: string | null
  /** The last tokens of `text`, whose bytes do not end on a whole character yet. */
  unfinishedTokens: number[]
  /** Tokens that penalties look at, oldest first. */
  penaltyHistory: number[]
  /**
   * The sampler's random generator in mid-reply, so that a reply that is continued with the same seed is the same as
   * one never interrupted; null between replies.
   */
  generator: { seed: number; words: number[] } | null
}

/** A text that a file does not hold, but knows when it sees it. */
export interface TextMark {
  /** In UTF-16 units. */
  length: number
  /** Of its UTF-8 bytes. */
  sha256: string
}

/** What the text was rendered from: messages can be shown, and read again by another model. */
interface StoredConversation {
  messages: { role: 'system' | 'user' | 'assistant'; content: string }[]
  addGenerationPrompt: boolean
}

/** What a file says; `textMark` null: its `text` is what it knows. */
export interface StoredSnapshot extends SessionSnapshot {
  textMark: TextMark | null
  /** null: whoever imports it has it. */
  conversation: StoredConversation | null
}

/** What goes in for the text: itself, its mark alone, or the mark and the messages that it comes from. */
export type StoredText = 'text' | 'mark' | StoredConversation

const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const sha256Hex = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))

const conversationSchema = v.strictObject({
  messages: v.pipe(
    v.array(v.strictObject({ role: v.picklist(['system', 'user', 'assistant']), content: v.string() })),
    v.minLength(1),
  ),
  addGenerationPrompt: v.boolean(),
})

const headerFields = {
  modelName: v.string(),
  modelSha256: sha256Hex,
  tokenizerSha256: v.nullable(sha256Hex),
  layerCount: whole,
  stateWidth: whole,
  vocabularySize: whole,
  dtype: v.literal('float32'),
  numericMode: v.picklist(NUMERIC_MODES),
  hasLogits: v.boolean(),
  tokenCount: whole,
  pendingTokens: v.array(whole),
  text: v.nullable(v.string()),
  unfinishedTokens: v.array(whole),
  penaltyHistory: v.array(whole),
  generator: v.nullable(v.strictObject({ seed: whole, words: v.pipe(v.array(whole), v.length(4)) })),
}
const headerSchemas = {
  [VERSION_WITH_TEXT]: v.strictObject(headerFields),
  [VERSION_WITH_MARK]: v.strictObject({
    ...headerFields,
    text: v.null(),
    textMark: v.strictObject({ length: whole, sha256: sha256Hex }),
    conversation: v.optional(conversationSchema),
  }),
} as const
type Version = keyof typeof headerSchemas
type Header = v.InferOutput<(typeof headerSchemas)[Version]>

/** The bytes of a state file. */
export function writeStateFile(
  snapshot: SessionSnapshot,
  modelName: string,
  identity: ModelIdentity,
  config: ModelConfig,
  createSha256: CreateSha256,
  storedText: StoredText = 'text',
): Uint8Array {
  const textMark = storedText === 'text' || snapshot.text === null ? null : markOf(snapshot.text, createSha256)
  const fields = {
    modelName,
    modelSha256: identity.modelSha256,
    tokenizerSha256: identity.tokenizerSha256,
    layerCount: snapshot.recurrent.layerCount,
    stateWidth: snapshot.recurrent.stateWidth,
    vocabularySize: config.vocabularySize,
    dtype: 'float32' as const,
    numericMode: snapshot.recurrent.numericMode,
    hasLogits: snapshot.logits !== null,
    tokenCount: snapshot.tokenCount,
    pendingTokens: snapshot.pendingTokens,
    unfinishedTokens: snapshot.unfinishedTokens,
    penaltyHistory: snapshot.penaltyHistory,
    generator: snapshot.generator,
  }
  const header: Header =
    textMark === null
      ? { ...fields, text: snapshot.text }
      : { ...fields, text: null, textMark, ...(typeof storedText === 'object' ? { conversation: storedText } : {}) }
  const encoder = new TextEncoder()
  const headerBytes = encoder.encode(JSON.stringify(header))
  const values = bytesOf(snapshot.recurrent.values)
  const logits = snapshot.logits ? bytesOf(snapshot.logits) : new Uint8Array(0)

  const checksumAt = PREFIX_BYTES + headerBytes.length + values.length + logits.length
  const file = new Uint8Array(checksumAt + CHECKSUM_BYTES)
  file.set(encoder.encode(MAGIC), 0)
  const view = new DataView(file.buffer)
  view.setUint32(8, textMark === null ? VERSION_WITH_TEXT : VERSION_WITH_MARK, true)
  view.setUint32(12, headerBytes.length, true)
  file.set(headerBytes, PREFIX_BYTES)
  file.set(values, PREFIX_BYTES + headerBytes.length)
  file.set(logits, PREFIX_BYTES + headerBytes.length + values.length)
  file.set(checksum(file.subarray(0, checksumAt), createSha256), checksumAt)
  return file
}

/** Throws `state-corrupt` (damaged, cut off, not finite) or `state-mismatch` (of another model, tokenizer or version). */
export function readStateFile(
  file: Uint8Array,
  identity: ModelIdentity,
  config: ModelConfig,
  createSha256: CreateSha256,
): StoredSnapshot {
  const { header, headerEnd, checksumAt } = openFile(file, createSha256)
  checkIdentity(header, identity, config)

  const valueCount = config.layerCount * config.stateWidth
  const logitCount = header.hasLogits ? config.vocabularySize : 0
  const payloadBytes = 4 * (valueCount + logitCount)
  if (checksumAt - headerEnd !== payloadBytes) {
    throw corrupt('Its size is wrong.', `${payloadBytes} bytes of numbers`, `${checksumAt - headerEnd} bytes`)
  }
  checkTokens(header, config)
  return {
    recurrent: {
      layerCount: header.layerCount,
      stateWidth: header.stateWidth,
      values: finiteFloats(file.slice(headerEnd, headerEnd + 4 * valueCount)),
      numericMode: header.numericMode,
    },
    tokenCount: header.tokenCount,
    pendingTokens: header.pendingTokens,
    logits: header.hasLogits ? finiteFloats(file.slice(headerEnd + 4 * valueCount, checksumAt)) : null,
    text: header.text,
    textMark: 'textMark' in header ? header.textMark : null,
    conversation: ('conversation' in header ? header.conversation : undefined) ?? null,
    unfinishedTokens: header.unfinishedTokens,
    penaltyHistory: header.penaltyHistory,
    generator: header.generator,
  }
}

/** For whoever asks what a file is before it is imported: its model and its conversation. Throws as `readStateFile`. */
export function describeStateFile(file: Uint8Array, createSha256: CreateSha256) {
  const { header } = openFile(file, createSha256)
  const conversation = ('conversation' in header ? header.conversation : undefined) ?? null
  return { modelName: header.modelName, tokenCount: header.tokenCount, conversation }
}

/** Length, magic, version, checksum, header, in this order. */
function openFile(file: Uint8Array, createSha256: CreateSha256) {
  const checksumAt = file.length - CHECKSUM_BYTES
  if (checksumAt < PREFIX_BYTES) throw corrupt('It is too short.', `at least ${PREFIX_BYTES + CHECKSUM_BYTES} bytes`)
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  const magic = String.fromCharCode(...file.subarray(0, MAGIC.length))
  if (magic !== MAGIC) throw corrupt('It is not a Tern state file.', `magic "${MAGIC}"`)
  const version = view.getUint32(8, true)
  if (version !== VERSION_WITH_TEXT && version !== VERSION_WITH_MARK) {
    const expected = `format version ${VERSION_WITH_TEXT} or ${VERSION_WITH_MARK}`
    throw mismatch('it was written by another version of Tern', expected, `version ${version}`)
  }
  const expectedChecksum = checksum(file.subarray(0, checksumAt), createSha256)
  if (!expectedChecksum.every((byte, i) => byte === file[checksumAt + i])) {
    throw corrupt('Its checksum is wrong.', 'the SHA-256 of all bytes before it at the end')
  }

  const headerEnd = PREFIX_BYTES + view.getUint32(12, true)
  if (headerEnd > checksumAt) throw corrupt('Its header is cut off.', `a header within ${checksumAt} bytes`)
  const header = parseHeader(file.subarray(PREFIX_BYTES, headerEnd), version)
  return { header, headerEnd, checksumAt }
}

/** `text` when it begins with what is marked: that part of it; else null. */
export function markedPart(text: string, mark: TextMark, createSha256: CreateSha256): string | null {
  if (text.length < mark.length) return null
  const part = text.slice(0, mark.length)
  return markOf(part, createSha256).sha256 === mark.sha256 ? part : null
}

function markOf(text: string, createSha256: CreateSha256): TextMark {
  const sha256 = createSha256()
  sha256.update(new TextEncoder().encode(text))
  return { length: text.length, sha256: sha256.digestHex() }
}

function parseHeader(bytes: Uint8Array, version: Version): Header {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw corrupt('Its header cannot be read.', 'JSON in UTF-8', undefined, cause)
  }
  const parsed = v.safeParse(headerSchemas[version], json)
  if (parsed.success) return parsed.output
  const issue = parsed.issues[0]
  throw corrupt(`Its header is wrong at ${v.getDotPath(issue) ?? 'the root'}.`, issue.expected ?? 'a valid value')
}

function checkIdentity(header: Header, identity: ModelIdentity, config: ModelConfig): void {
  if (header.modelSha256 !== identity.modelSha256) {
    throw mismatch(
      `it belongs to the model "${header.modelName}"`,
      `SHA-256 ${identity.modelSha256.slice(0, 12)}`,
      `${header.modelSha256.slice(0, 12)}`,
    )
  }
  if (header.tokenizerSha256 !== identity.tokenizerSha256) {
    throw mismatch(
      'it was made with another tokenizer',
      `SHA-256 ${identity.tokenizerSha256?.slice(0, 12) ?? 'none'}`,
      header.tokenizerSha256?.slice(0, 12) ?? 'none',
    )
  }
  for (const key of ['layerCount', 'stateWidth', 'vocabularySize'] as const) {
    if (header[key] !== config[key]) throw mismatch(`its ${key} differs`, String(config[key]), String(header[key]))
  }
}

function checkTokens(header: Header, config: ModelConfig): void {
  for (const id of [...header.pendingTokens, ...header.unfinishedTokens, ...header.penaltyHistory]) {
    if (id >= config.vocabularySize) throw corrupt('It holds a token id outside the vocabulary.', 'a known id', `${id}`)
  }
  // Something must come next: logits to choose from, or a token to feed; nothing before the first token.
  const canGoOn = header.hasLogits !== header.pendingTokens.length > 0
  const isEmpty = header.tokenCount === 0 && !header.hasLogits
  if (!canGoOn && !isEmpty) throw corrupt('Its parts contradict each other.', 'either logits or pending tokens')
}

/** Copies little-endian float32 out; every host of the engine is little-endian. */
function finiteFloats(bytes: Uint8Array): Float32Array {
  const floats = new Float32Array(bytes.buffer)
  for (const value of floats)
    if (!Number.isFinite(value)) throw corrupt('It holds a number that is not finite.', 'finite numbers')
  return floats
}

const bytesOf = (floats: Float32Array): Uint8Array =>
  new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength)

function checksum(bytes: Uint8Array, createSha256: CreateSha256): Uint8Array {
  const sha256 = createSha256()
  sha256.update(bytes)
  const hex = sha256.digestHex()
  return Uint8Array.from({ length: CHECKSUM_BYTES }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16))
}

const REMEDY = 'Start a new session and let the model read the text again.'

function corrupt(problem: string, expected: string, actual?: string, cause?: unknown): EngineError {
  const details = { expected, remedy: REMEDY, ...(actual === undefined ? {} : { actual }), cause }
  return new EngineError('state-corrupt', `The state file is damaged. ${problem}`, details)
}

export function mismatch(problem: string, expected: string, actual: string): EngineError {
  return new EngineError('state-mismatch', `The state file does not fit: ${problem}.`, {
    expected,
    actual,
    remedy: REMEDY,
  })
}
