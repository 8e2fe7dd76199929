/**
 * Everything about text in a Hugging Face folder, as GGUF metadata: the tokenizer itself (tokenizer.json, or made from a
 * SentencePiece tokenizer.model), vocabulary lists for other programs, special ids, the chat template. Nothing is tokenised
 * here, but what could not be loaded later is refused. A folder without a tokenizer is fine.
 */
import * as v from 'valibot'
import type { ByteFolder } from '../engine-environment.ts'
import { EngineError } from '../errors.ts'
import { MAX_EOS_TOKENS, type ModelConfig } from '../model/config.ts'
import { compileChatTemplate } from '../tokenizer/chat-template.ts'
import { sentencePieceToTokenizerJson } from '../tokenizer/sentencepiece.ts'
import { createTokenizer } from '../tokenizer/tokenizer.ts'
import { readJson, readSmallFile, readText } from './folder-files.ts'
import type { GgufEntry } from './gguf-writer.ts'

const LIMITS = { tokenizerBytes: 64 * 2 ** 20, settingsBytes: 4 * 2 ** 20, templateBytes: 2 ** 20 } as const

/** ggml's token types; shown by other programs, not used by Tern. */
const TOKEN_TYPE = { normal: 1, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

const tokenId = v.pipe(v.number(), v.integer(), v.minValue(0))

const tokenizerSchema = v.object({
  added_tokens: v.optional(
    v.array(v.object({ id: tokenId, content: v.string(), special: v.optional(v.boolean()) })),
    [],
  ),
  model: v.object({
    type: v.optional(v.string(), 'BPE'),
    /** Texts to ids (BPE, WordPiece), or [text, score] in the order of ids (Unigram). */
    vocab: v.union([v.record(v.string(), tokenId), v.array(v.tuple([v.string(), v.number()]))]),
    merges: v.optional(v.array(v.union([v.string(), v.tuple([v.string(), v.string()])]))),
  }),
})
type TokenizerFile = v.InferOutput<typeof tokenizerSchema>

/** A token as tokenizer_config.json names it: a text, or an object around it. */
const namedToken = v.nullish(v.union([v.string(), v.object({ content: v.string() })]))
const textOf = (token: v.InferOutput<typeof namedToken>): string | undefined =>
  typeof token === 'string' ? token : token?.content
const chatTemplate = v.nullish(v.union([v.string(), v.array(v.object({ name: v.string(), template: v.string() }))]))

const SPECIAL_TOKENS = ['bos_token', 'eos_token', 'pad_token', 'unk_token'] as const
const specialTokensSchema = v.object(v.entriesFromList(SPECIAL_TOKENS, namedToken))

/** A token beside those of a SentencePiece model; its other properties are taken over as they are. */
const addedToken = v.looseObject({ content: v.string(), special: v.nullish(v.boolean()) })
type AddedTokens = Record<string, v.InferOutput<typeof addedToken>>

const tokenizerConfigSchema = v.object({
  ...specialTokensSchema.entries,
  chat_template: chatTemplate,
  /** By id. */
  added_tokens_decoder: v.nullish(v.record(v.pipe(v.string(), v.digits()), addedToken)),
})
/** What came before added_tokens_decoder: texts to ids. */
const addedTokensFileSchema = v.record(v.string(), tokenId)
const idSettingsSchema = v.object({
  bos_token_id: v.nullish(v.number()),
  eos_token_id: v.nullish(v.union([v.number(), v.array(v.number())])),
  pad_token_id: v.nullish(v.number()),
})

/**
 * Metadata entries of the folder's tokenizer, template and special ids.
 * @param configJson config.json, parsed
 * @throws EngineError `tokenizer-invalid`, `tokenizer-unsupported`, `template-*`, `format-invalid`, `limit-exceeded`
 */
export async function tokenizerMetadata(
  folder: ByteFolder,
  configJson: unknown,
  config: ModelConfig,
): Promise<GgufEntry[]> {
  const files = new Set(await folder.list())
  const settings = await readSettings(folder, files, 'tokenizer_config.json', tokenizerConfigSchema, {})
  const tokensMap = await readSettings(folder, files, 'special_tokens_map.json', specialTokensSchema, {})
  const special = (key: keyof typeof tokensMap) => textOf(settings[key] ?? tokensMap[key])
  const generation = await readSettings(folder, files, 'generation_config.json', idSettingsSchema, {})
  const modelIds = parse(idSettingsSchema, configJson, 'config.json')
  const tokenizerText = await readTokenizer(folder, files, async () => {
    if (settings.added_tokens_decoder) return settings.added_tokens_decoder
    const ids = await readSettings(folder, files, 'added_tokens.json', addedTokensFileSchema, {})
    const named = SPECIAL_TOKENS.map(special)
    return Object.fromEntries(
      Object.entries(ids).map(([content, id]) => [id, { content, special: named.includes(content) }]),
    )
  })
  const vocabulary = tokenizerText === null ? null : vocabularyOf(tokenizerText, config.vocabularySize)

  const idOf = (key: keyof typeof tokensMap): number | undefined => vocabulary?.ids.get(special(key) ?? '')
  const inVocabulary = (...candidates: (number | null | undefined)[]): number[] =>
    [
      ...new Set(candidates.filter(id => id != null && Number.isInteger(id) && id >= 0 && id < config.vocabularySize)),
    ] as number[]
  const eos = inVocabulary(
    ...[generation.eos_token_id ?? []].flat(),
    ...[modelIds.eos_token_id ?? []].flat(),
    idOf('eos_token'),
  )
  if (eos.length > MAX_EOS_TOKENS) {
    throw new EngineError('config-invalid', `"${folder.name}": eos_token_id names too many tokens.`, {
      expected: `at most ${MAX_EOS_TOKENS} tokens in config.json and generation_config.json`,
      actual: String(eos.length),
      remedy: 'Take the files of the original checkpoint, or leave the tokens that end a reply.',
    })
  }
  const [bos] = inVocabulary(modelIds.bos_token_id, generation.bos_token_id, idOf('bos_token'))
  const [padding] = inVocabulary(modelIds.pad_token_id, generation.pad_token_id, idOf('pad_token'))
  const [unknown] = inVocabulary(idOf('unk_token'))

  const entries: GgufEntry[] = vocabulary ? vocabularyEntries(vocabulary, config.vocabularySize) : []
  const addId = (key: string, id: number | undefined) => {
    if (id !== undefined) entries.push({ key: `tokenizer.ggml.${key}`, type: 'uint32', value: id })
  }
  addId('bos_token_id', bos)
  addId('eos_token_id', eos[0])
  if (eos.length > 1) entries.push({ key: 'tokenizer.ggml.eos_token_ids', type: 'uint32', value: eos })
  addId('padding_token_id', padding)
  addId('unknown_token_id', unknown)
  if (tokenizerText !== null) entries.push({ key: 'tokenizer.huggingface.json', type: 'string', value: tokenizerText })
  const template = files.has('chat_template.jinja')
    ? await readText(folder, 'chat_template.jinja', LIMITS.templateBytes)
    : templateOf(settings.chat_template)
  if (template) {
    compileChatTemplate(template)
    entries.push({ key: 'tokenizer.chat_template', type: 'string', value: template })
  }
  return entries
}

function parse<Schema extends v.GenericSchema>(schema: Schema, json: unknown, file: string): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, json)
  if (parsed.success) return parsed.output
  const issue = parsed.issues[0]
  throw new EngineError('tokenizer-invalid', `${file}: ${v.getDotPath(issue) ?? 'root'}: ${issue.message}`, {
    remedy: 'Download the original tokenizer files of the checkpoint again.',
  })
}

/** A small JSON file of the folder, or `absent` where there is none. */
async function readSettings<Schema extends v.GenericSchema>(
  folder: ByteFolder,
  files: Set<string>,
  file: string,
  schema: Schema,
  absent: v.InferOutput<Schema>,
): Promise<v.InferOutput<Schema>> {
  return files.has(file) ? parse(schema, await readJson(folder, file, LIMITS.settingsBytes), file) : absent
}

/** tokenizer.json as text; made from tokenizer.model and the tokens added to it where only that exists; null without either. */
async function readTokenizer(
  folder: ByteFolder,
  files: Set<string>,
  readAddedTokens: () => Promise<AddedTokens>,
): Promise<string | null> {
  if (files.has('tokenizer.json')) return readText(folder, 'tokenizer.json', LIMITS.tokenizerBytes)
  if (!files.has('tokenizer.model')) return null
  const bytes = await readSmallFile(folder, 'tokenizer.model', LIMITS.tokenizerBytes)
  return JSON.stringify(sentencePieceToTokenizerJson(bytes, await readAddedTokens()))
}

interface Vocabulary {
  file: TokenizerFile
  ids: Map<string, number>
}

/** Throws for a tokenizer that Tern could not use: better now than after the conversion. */
function vocabularyOf(text: string, vocabularySize: number): Vocabulary {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new EngineError('tokenizer-invalid', 'tokenizer.json is not valid JSON.', {
      remedy: 'Download the original tokenizer files of the checkpoint again.',
      cause,
    })
  }
  createTokenizer(json, { vocabularySize })
  const file = parse(tokenizerSchema, json, 'tokenizer.json')
  const { vocab } = file.model
  const ids = new Map(Array.isArray(vocab) ? vocab.map(([token], id) => [token, id]) : Object.entries(vocab))
  for (const { id, content } of file.added_tokens) ids.set(content, id)
  return { file, ids }
}

/** Lists over the whole vocabulary of the model: V tokens, those without a text as [PAD<id>], as llama.cpp names them. */
function vocabularyEntries({ file, ids }: Vocabulary, vocabularySize: number): GgufEntry[] {
  const tokens = Array.from({ length: vocabularySize }, (_, id) => `[PAD${id}]`)
  const types = new Array<number>(vocabularySize).fill(TOKEN_TYPE.unused)
  for (const [token, id] of ids) {
    if (id >= vocabularySize) continue
    tokens[id] = token
    types[id] = /^<0x[0-9A-F]{2}>$/.test(token) ? TOKEN_TYPE.byte : TOKEN_TYPE.normal
  }
  for (const { id, special } of file.added_tokens) {
    if (id < vocabularySize) types[id] = special ? TOKEN_TYPE.control : TOKEN_TYPE.userDefined
  }
  const merges = file.model.merges?.map(merge => (typeof merge === 'string' ? merge : merge.join(' ')))
  return [
    { key: 'tokenizer.ggml.model', type: 'string', value: `hf-${file.model.type.toLowerCase()}` },
    { key: 'tokenizer.ggml.tokens', type: 'string', value: tokens },
    { key: 'tokenizer.ggml.token_type', type: 'int32', value: types },
    ...(merges ? [{ key: 'tokenizer.ggml.merges', type: 'string', value: merges } as const] : []),
  ]
}

function templateOf(template: v.InferOutput<typeof chatTemplate>): string | null {
  if (template == null || typeof template === 'string') return template ?? null
  return (template.find(({ name }) => name === 'default') ?? template[0])?.template ?? null
}
