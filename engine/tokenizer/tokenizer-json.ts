/**
 * The structure of a Hugging Face tokenizer.json, checked before any of it is used: it comes from files of strangers.
 * Reads what a causal language model's tokenizer has (BPE and Unigram); refuses WordPiece, WordLevel, CTC and the
 * like, and components whose effect would differ from the Rust library's.
 */
import * as v from 'valibot'
import { EngineError } from '../errors.ts'
import { MAX_CONFIG } from '../model/config.ts'
import { MAX_TOKEN_LENGTH } from './added-tokens.ts'

const LIMITS = {
  /** UTF-16 units of one token. */
  tokenLength: 1024,
  merges: 4 * MAX_CONFIG.vocabularySize,
  componentDepth: 8,
  components: 64,
} as const

export interface AddedToken {
  id: number
  content: string
  singleWord: boolean
  lstrip: boolean
  rstrip: boolean
  normalized: boolean
  special: boolean
}

export interface BpeModel {
  type: 'BPE'
  /** Token to id. */
  vocabulary: Map<string, number>
  /** Best first. */
  merges: [string, string][]
  unknownToken: string | null
  fuseUnknown: boolean
  byteFallback: boolean
  ignoreMerges: boolean
}

export interface UnigramModel {
  type: 'Unigram'
  /** Token and log probability by id. */
  pieces: [string, number][]
  unknownId: number
  byteFallback: boolean
}

export type Component = { type: string } & Record<string, unknown>

export interface TokenizerJson {
  model: BpeModel | UnigramModel
  /** Token text by id; holes where the vocabulary has none. */
  tokens: (string | undefined)[]
  addedTokens: AddedToken[]
  /** Sequences flattened. */
  normalizers: Component[]
  preTokenizers: Component[]
  /** null: the file has no decoder. */
  decoders: Component[] | null
}

const component = v.looseObject({ type: v.string() })
const flag = v.nullish(v.boolean())

const fileSchema = v.looseObject({
  model: v.looseObject({ type: v.nullish(v.string()) }),
  added_tokens: v.nullish(
    v.array(
      v.object({
        id: v.pipe(v.number(), v.integer(), v.minValue(0)),
        content: v.pipe(v.string(), v.minLength(1), v.maxLength(MAX_TOKEN_LENGTH)),
        single_word: flag,
        lstrip: flag,
        rstrip: flag,
        normalized: flag,
        special: flag,
      }),
    ),
  ),
  normalizer: v.nullish(component),
  pre_tokenizer: v.nullish(component),
  decoder: v.nullish(component),
})

const bpeSchema = v.object({
  vocab: v.custom<Record<string, unknown>>(isPlainObject, 'expected an object of token to id'),
  merges: v.array(v.unknown()),
  unk_token: v.nullish(v.string()),
  fuse_unk: flag,
  byte_fallback: flag,
  ignore_merges: flag,
  dropout: v.nullish(v.number()),
  continuing_subword_prefix: v.nullish(v.string()),
  end_of_word_suffix: v.nullish(v.string()),
})

const unigramSchema = v.object({
  vocab: v.array(v.unknown()),
  unk_id: v.nullish(v.number()),
  byte_fallback: flag,
})

function isPlainObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const REMEDY = 'Use the tokenizer.json that came with the model.'

const tokenizerInvalid = (message: string, actual?: string, expected?: string): EngineError =>
  new EngineError('tokenizer-invalid', message, {
    remedy: REMEDY,
    ...(actual === undefined ? {} : { actual }),
    ...(expected === undefined ? {} : { expected }),
  })

export const tokenizerUnsupported = (message: string, actual?: string, expected?: string): EngineError =>
  new EngineError('tokenizer-unsupported', message, {
    remedy: 'Choose a model with a Llama-style or byte-level BPE tokenizer.',
    ...(actual === undefined ? {} : { actual }),
    ...(expected === undefined ? {} : { expected }),
  })

/** Parses with a schema; the first issue becomes a `tokenizer-invalid` that names where it is. */
export function parsePart<const Schema extends v.GenericSchema>(
  schema: Schema,
  value: unknown,
  where: string,
): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, value, { abortEarly: true })
  if (parsed.success) return parsed.output
  const issue = parsed.issues[0]
  const path = v.getDotPath(issue)
  throw tokenizerInvalid(`The tokenizer is damaged: ${where}${path ? `.${path}` : ''}: ${issue.message}`)
}

/** Throws `tokenizer-invalid`, `tokenizer-unsupported`. V is the model's vocabulary size. */
export function parseTokenizerJson(json: unknown, vocabularySize: number): TokenizerJson {
  const file = parsePart(fileSchema, json, 'tokenizer.json')
  const model = parseModel(file.model, vocabularySize)
  const tokens: (string | undefined)[] = new Array(vocabularySize).fill(undefined)
  if (model.type === 'BPE') for (const [token, id] of model.vocabulary) tokens[id] = token
  else for (const [id, [piece]] of model.pieces.entries()) tokens[id] = piece
  const addedTokens: AddedToken[] = []
  const seen = new Set<string>()
  for (const token of file.added_tokens ?? []) {
    // Fine-tunes often name a padding token past the embedding's end: the model cannot read it, so it is no token.
    if (token.id >= vocabularySize) continue
    checkToken(token.content)
    const known = tokens[token.id]
    if ((known !== undefined && known !== token.content) || seen.has(token.content)) {
      throw tokenizerInvalid(
        'Two tokens of the tokenizer contradict each other.',
        `id ${token.id} is ${JSON.stringify(known ?? token.content)} and ${JSON.stringify(token.content)}`,
        'one text for each id, one id for each text',
      )
    }
    seen.add(token.content)
    tokens[token.id] = token.content
    const special = token.special ?? false
    addedTokens.push({
      id: token.id,
      content: token.content,
      singleWord: token.single_word ?? false,
      lstrip: token.lstrip ?? false,
      rstrip: token.rstrip ?? false,
      normalized: token.normalized ?? !special,
      special,
    })
  }
  for (const { id, content } of addedTokens) {
    const known = model.type === 'BPE' ? model.vocabulary.get(content) : undefined
    if (known !== undefined && known !== id) {
      throw tokenizerInvalid(`The token ${JSON.stringify(content)} has two ids.`, `${known} and ${id}`, 'one id')
    }
  }
  return {
    model,
    tokens,
    addedTokens,
    normalizers: flatten(file.normalizer, 'normalizers', 'normalizer'),
    preTokenizers: flatten(file.pre_tokenizer, 'pretokenizers', 'pre_tokenizer'),
    decoders: file.decoder ? flatten(file.decoder, 'decoders', 'decoder') : null,
  }
}

/** A component or nested Sequences of them as one list. */
function flatten(root: Component | null | undefined, membersKey: string, where: string): Component[] {
  const list: Component[] = []
  const visit = (node: Component, depth: number): void => {
    if (depth > LIMITS.componentDepth || list.length >= LIMITS.components) {
      throw tokenizerInvalid(`The tokenizer's ${where} nests too deeply or has too many parts.`)
    }
    if (node.type !== 'Sequence') {
      list.push(node)
      return
    }
    const members = parsePart(v.pipe(v.array(component), v.maxLength(LIMITS.components)), node[membersKey], where)
    for (const member of members) visit(member, depth + 1)
  }
  if (root) visit(root, 0)
  return list
}

function parseModel(model: Record<string, unknown>, vocabularySize: number): BpeModel | UnigramModel {
  // Old files name no type: BPE then is what has merges.
  const type = model.type ?? ('merges' in model ? 'BPE' : Array.isArray(model.vocab) ? 'Unigram' : 'WordLevel')
  if (type === 'BPE') return parseBpe(model, vocabularySize)
  if (type === 'Unigram') return parseUnigram(model, vocabularySize)
  throw tokenizerUnsupported(`"${String(type)}" tokenizers are not supported.`, String(type), 'BPE or Unigram')
}

function parseBpe(json: unknown, vocabularySize: number): BpeModel {
  const model = parsePart(bpeSchema, json, 'model')
  if (model.continuing_subword_prefix || model.end_of_word_suffix) {
    throw tokenizerUnsupported('The tokenizer marks parts of words by prefixes or suffixes.')
  }
  if (model.dropout) throw tokenizerUnsupported('The tokenizer encodes at random (BPE dropout).')
  const vocabulary = new Map<string, number>()
  const taken = new Uint8Array(vocabularySize)
  for (const [token, id] of Object.entries(model.vocab)) {
    checkToken(token)
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= vocabularySize) {
      throw tokenizerInvalid(
        `The token ${JSON.stringify(token)} has an id outside the model's vocabulary.`,
        typeof id === 'number' ? String(id) : typeof id,
        `a whole number from 0 to ${vocabularySize - 1}`,
      )
    }
    if (taken[id] === 1) throw tokenizerInvalid(`Two tokens of the tokenizer have the id ${id}.`)
    taken[id] = 1
    vocabulary.set(token, id)
  }
  if (vocabulary.size === 0) throw tokenizerInvalid('The tokenizer has no vocabulary.')
  const unknownToken = model.unk_token ?? null
  if (unknownToken !== null && !vocabulary.has(unknownToken)) {
    throw tokenizerInvalid(`The unknown token ${JSON.stringify(unknownToken)} is not in the vocabulary.`)
  }
  return {
    type: 'BPE',
    vocabulary,
    merges: parseMerges(model.merges, vocabulary),
    unknownToken,
    fuseUnknown: model.fuse_unk ?? false,
    byteFallback: model.byte_fallback ?? false,
    ignoreMerges: model.ignore_merges ?? false,
  }
}

function parseMerges(merges: unknown[], vocabulary: Map<string, number>): [string, string][] {
  if (merges.length > LIMITS.merges) throw tokenizerInvalid('The tokenizer has too many merges.', `${merges.length}`)
  return merges.map((merge, rank) => {
    const pair = typeof merge === 'string' ? merge.split(' ') : merge
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'string' || typeof pair[1] !== 'string') {
      throw tokenizerInvalid(`Merge ${rank} of the tokenizer is not a pair of tokens.`)
    }
    const [left, right] = pair
    for (const token of [left, right, left + right]) {
      if (!vocabulary.has(token)) {
        throw tokenizerInvalid(`Merge ${rank} names ${JSON.stringify(token)}, which is not in the vocabulary.`)
      }
    }
    return [left, right]
  })
}

function parseUnigram(json: unknown, vocabularySize: number): UnigramModel {
  const model = parsePart(unigramSchema, json, 'model')
  if (model.vocab.length === 0 || model.vocab.length > vocabularySize) {
    throw tokenizerInvalid(
      "The tokenizer's vocabulary does not fit the model's.",
      `${model.vocab.length} tokens`,
      `1 to ${vocabularySize}`,
    )
  }
  const pieces = model.vocab.map((entry, id): [string, number] => {
    if (!Array.isArray(entry) || typeof entry[0] !== 'string' || !Number.isFinite(entry[1])) {
      throw tokenizerInvalid(`Piece ${id} of the tokenizer is not a text and a score.`)
    }
    checkToken(entry[0])
    return [entry[0], entry[1]]
  })
  const unknownId = model.unk_id
  if (unknownId == null || !Number.isInteger(unknownId) || unknownId < 0 || unknownId >= pieces.length) {
    throw tokenizerInvalid('The tokenizer names no valid unknown token.', String(unknownId))
  }
  return { type: 'Unigram', pieces, unknownId, byteFallback: model.byte_fallback ?? false }
}

function checkToken(token: string): void {
  if (token.length > LIMITS.tokenLength) {
    throw tokenizerInvalid('A token is too long.', `${token.length} characters`, `at most ${LIMITS.tokenLength}`)
  }
  if (!token.isWellFormed()) throw tokenizerInvalid(`The token ${JSON.stringify(token)} is not valid Unicode.`)
}
