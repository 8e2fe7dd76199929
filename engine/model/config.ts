/**
 * The shape of a MatMul-free LM (HGRNBit). Symbols as in docs/model-format.md: D hidden size, E state width,
 * L layers, I intermediate size, V vocabulary.
 * Source: ridgerchu/matmulfreellm, mmfreelm/models/hgrn_bit/configuration_hgrn_bit.py at a016f72.
 */
import * as v from 'valibot'
import { EngineError } from '../errors.ts'

export interface ModelConfig {
  /** V */
  vocabularySize: number
  /** D */
  hiddenSize: number
  /** E = D x expand_ratio */
  stateWidth: number
  /** L */
  layerCount: number
  /** I */
  intermediateSize: number
  rmsNormEpsilon: number
  useLowerBound: boolean
  /** Tokens in a training window; the state itself has no limit. */
  trainingContextLength: number
  bosTokenId: number | null
  /** Any of these ends a reply. */
  eosTokenIds: number[]
}

/** What a file calls each part of a configuration. The state's width stands in a file as a ratio to the hidden size. */
export type ConfigKeys = Readonly<Record<keyof ModelConfig, string>>

/** Limits that no real checkpoint reaches; a hostile one is refused before anything is allocated. */
export const MAX_CONFIG = {
  vocabularySize: 1 << 20,
  hiddenSize: 1 << 16,
  stateWidth: 1 << 17,
  layerCount: 1024,
  intermediateSize: 1 << 18,
  trainingContextLength: 2 ** 31,
} as const

/** Of a file; a reader of GGUF keeps no longer list. */
export const MAX_EOS_TOKENS = 256

/** Of config.json. */
export const MAX_CONFIG_BYTES = 4 * 2 ** 20

const tokenIds = v.union([v.pipe(v.number(), v.integer()), v.array(v.pipe(v.number(), v.integer()))])

const huggingFaceConfigSchema = v.object({
  model_type: v.string(),
  vocab_size: v.number(),
  hidden_size: v.number(),
  num_hidden_layers: v.number(),
  intermediate_size: v.nullish(v.number()),
  hidden_ratio: v.nullish(v.number()),
  expand_ratio: v.nullish(v.number()),
  use_short_conv: v.nullish(v.boolean()),
  use_lower_bound: v.nullish(v.boolean()),
  tie_word_embeddings: v.nullish(v.boolean()),
  hidden_act: v.nullish(v.string()),
  rms_norm_eps: v.nullish(v.number()),
  max_position_embeddings: v.nullish(v.number()),
  bos_token_id: v.nullish(v.pipe(v.number(), v.integer())),
  eos_token_id: v.nullish(tokenIds),
})

export interface HuggingFaceConfig {
  config: ModelConfig
  /** The head is the embedding, ternarised. */
  tieWordEmbeddings: boolean
}

const CONFIG_JSON_KEYS: ConfigKeys = {
  vocabularySize: 'vocab_size',
  hiddenSize: 'hidden_size',
  stateWidth: 'expand_ratio',
  layerCount: 'num_hidden_layers',
  intermediateSize: 'intermediate_size',
  rmsNormEpsilon: 'rms_norm_eps',
  useLowerBound: 'use_lower_bound',
  trainingContextLength: 'max_position_embeddings',
  bosTokenId: 'bos_token_id',
  eosTokenIds: 'eos_token_id',
}

/** Reads `config.json` of a Hugging Face folder. Throws `config-invalid` or `config-unsupported`. */
export function parseHuggingFaceConfig(json: unknown): HuggingFaceConfig {
  const parsed = v.safeParse(huggingFaceConfigSchema, json)
  if (!parsed.success) {
    const issue = parsed.issues[0]
    throw new EngineError('config-invalid', `config.json: ${v.getDotPath(issue) ?? 'root'}: ${issue.message}`, {
      remedy: 'Choose a folder that holds a MatMul-free checkpoint with its original config.json.',
    })
  }
  const c = parsed.output
  if (c.model_type !== 'hgrn_bit') {
    throw new EngineError('config-unsupported', `This checkpoint is a "${c.model_type}" model.`, {
      expected: 'model_type "hgrn_bit"',
      actual: `"${c.model_type}"`,
      remedy: 'Tern runs MatMul-free (hgrn_bit) models only.',
    })
  }
  if (c.use_short_conv) {
    throw new EngineError('config-unsupported', 'This checkpoint uses short convolutions (use_short_conv: true).', {
      expected: 'use_short_conv false',
      actual: 'true',
      remedy: 'No implementation runs such a checkpoint, the published one included; choose another model.',
    })
  }
  if (c.hidden_act != null && c.hidden_act !== 'swish' && c.hidden_act !== 'silu') {
    throw new EngineError('config-unsupported', `Unknown activation "${c.hidden_act}".`, {
      expected: 'hidden_act "swish"',
      actual: c.hidden_act,
    })
  }
  const stateWidth = c.hidden_size * (c.expand_ratio ?? 1)
  const config: ModelConfig = {
    vocabularySize: c.vocab_size,
    hiddenSize: c.hidden_size,
    stateWidth,
    layerCount: c.num_hidden_layers,
    intermediateSize: c.intermediate_size ?? defaultIntermediateSize(c.hidden_size, c.hidden_ratio ?? 4),
    rmsNormEpsilon: c.rms_norm_eps ?? 1e-6,
    useLowerBound: c.use_lower_bound ?? true,
    trainingContextLength: c.max_position_embeddings ?? 2048,
    // Ids outside the vocabulary mean "none" in published configurations (-1, or the vocabulary's size).
    bosTokenId: isTokenOf(c.vocab_size)(c.bos_token_id ?? -1) ? c.bos_token_id! : null,
    eosTokenIds: [c.eos_token_id ?? []].flat().filter(isTokenOf(c.vocab_size)),
  }
  const keys =
    c.intermediate_size == null ? { ...CONFIG_JSON_KEYS, intermediateSize: 'hidden_ratio' } : CONFIG_JSON_KEYS
  checkConfig(config, field => `config.json: ${keys[field]}`)
  return { config, tieWordEmbeddings: c.tie_word_embeddings ?? false }
}

/** floor(D x hidden_ratio x 2 / 3) rounded up to a multiple of 256. */
export function defaultIntermediateSize(hiddenSize: number, hiddenRatio: number): number {
  return 256 * Math.ceil(Math.floor((hiddenSize * hiddenRatio * 2) / 3) / 256)
}

const isTokenOf = (vocabularySize: number) => (id: number) => Number.isInteger(id) && id >= 0 && id < vocabularySize

/**
 * Every number of a configuration, whatever file it is from: what passes here passes everywhere. `nameOf` says where the
 * file has a part, for errors. Throws `config-invalid`, and `config-unsupported` where lower bounds do not fit the state.
 */
export function checkConfig(
  config: ModelConfig,
  nameOf: (field: keyof ModelConfig, value: number) => string = field => `the model's ${field}`,
): void {
  const outOfRange = (field: keyof ModelConfig, expected: string, value: number): EngineError =>
    new EngineError('config-invalid', `${nameOf(field, value)} is out of range.`, {
      expected,
      actual: String(value),
      remedy: 'The file is damaged or not a MatMul-free model: download it again, or convert the original checkpoint.',
    })
  for (const field of Object.keys(MAX_CONFIG) as (keyof typeof MAX_CONFIG)[]) {
    const value = config[field]
    if (Number.isInteger(value) && value >= 1 && value <= MAX_CONFIG[field]) continue
    const what = field === 'stateWidth' ? 'hidden size x ratio: a whole number' : 'a whole number'
    throw outOfRange(field, `${what} from 1 to ${MAX_CONFIG[field]}`, value)
  }
  if (config.useLowerBound && config.stateWidth !== config.hiddenSize) {
    throw new EngineError('config-unsupported', 'This model has lower bounds and a state wider than its hidden size.', {
      expected: 'expand_ratio 1 where use_lower_bound is true',
      actual: `expand_ratio ${config.stateWidth / config.hiddenSize}`,
      remedy: 'No implementation runs such a checkpoint, the published one included; choose another model.',
    })
  }
  const { rmsNormEpsilon, vocabularySize, bosTokenId, eosTokenIds } = config
  if (!(rmsNormEpsilon >= 0 && rmsNormEpsilon < 1)) throw outOfRange('rmsNormEpsilon', 'from 0 to 1', rmsNormEpsilon)
  const checkToken = (field: 'bosTokenId' | 'eosTokenIds', id: number): void => {
    if (!isTokenOf(vocabularySize)(id)) throw outOfRange(field, `token ids from 0 to ${vocabularySize - 1}`, id)
  }
  if (bosTokenId !== null) checkToken('bosTokenId', bosTokenId)
  for (const id of eosTokenIds) checkToken('eosTokenIds', id)
}

/** Bytes of one conversation's recurrent state, L x E float32: 96 KiB for the 370M model. */
export const bytesPerState = (config: ModelConfig): number => config.layerCount * config.stateWidth * 4
