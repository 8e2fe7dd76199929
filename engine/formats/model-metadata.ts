/**
 * The metadata keys of a model file, written from a configuration and read back. A key that Tern reads has the type of
 * docs/model-format.md: one of another type is refused, never taken for absent.
 */
import { EngineError } from '../errors.ts'
import { type ConfigKeys, checkConfig, type ModelConfig } from '../model/config.ts'
import { parameterCounts } from '../model/tensors.ts'
import type { GgufScalar, GgufValue } from './gguf-values.ts'
import type { GgufEntry } from './gguf-writer.ts'
import type { TernaryType } from './tensor-types.ts'

const GGUF_ARCHITECTURE = 'hgrn_bit'

const KEYS: ConfigKeys = {
  vocabularySize: 'hgrn_bit.vocab_size',
  hiddenSize: 'hgrn_bit.embedding_length',
  stateWidth: 'hgrn_bit.expand_ratio',
  layerCount: 'hgrn_bit.block_count',
  intermediateSize: 'hgrn_bit.feed_forward_length',
  rmsNormEpsilon: 'hgrn_bit.attention.layer_norm_rms_epsilon',
  useLowerBound: 'hgrn_bit.use_lower_bound',
  trainingContextLength: 'hgrn_bit.context_length',
  bosTokenId: 'tokenizer.ggml.bos_token_id',
  eosTokenIds: 'tokenizer.ggml.eos_token_ids',
}
const SINGLE_EOS_KEY = 'tokenizer.ggml.eos_token_id'

/** ggml's file types "mostly TQ1_0" and "mostly TQ2_0". */
const FILE_TYPE: Record<TernaryType, number> = { TQ1_0: 36, TQ2_0: 37 }

export function modelMetadata(config: ModelConfig, name: string, packing: TernaryType): GgufEntry[] {
  const uint32 = (key: string, value: number): GgufEntry => ({ key, type: 'uint32', value })
  const expandRatio = config.stateWidth / config.hiddenSize
  return [
    { key: 'general.architecture', type: 'string', value: GGUF_ARCHITECTURE },
    { key: 'general.name', type: 'string', value: name },
    { key: 'general.size_label', type: 'string', value: sizeLabel(config) },
    uint32(KEYS.layerCount, config.layerCount),
    uint32(KEYS.trainingContextLength, config.trainingContextLength),
    uint32(KEYS.hiddenSize, config.hiddenSize),
    uint32(KEYS.intermediateSize, config.intermediateSize),
    uint32(KEYS.vocabularySize, config.vocabularySize),
    { key: KEYS.rmsNormEpsilon, type: 'float32', value: config.rmsNormEpsilon },
    Number.isInteger(expandRatio)
      ? uint32(KEYS.stateWidth, expandRatio)
      : { key: KEYS.stateWidth, type: 'float64', value: expandRatio },
    { key: KEYS.useLowerBound, type: 'bool', value: config.useLowerBound },
    uint32('general.file_type', FILE_TYPE[packing]),
  ]
}

/** "98M", "1.4B": all weights, without scales. */
function sizeLabel(config: ModelConfig): string {
  const count = parameterCounts(config).all
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)}B`
  return count >= 1e6 ? `${Math.round(count / 1e6)}M` : `${Math.max(1, Math.round(count / 1e3))}K`
}

export interface ModelMetadata {
  config: ModelConfig
  name: string | null
  /** The tokenizer as a Hugging Face tokenizer.json, or null where the file carries none. */
  tokenizerJson: string | null
  chatTemplate: string | null
  license: string | null
  description: string | null
}

interface MetadataInput {
  metadata: ReadonlyMap<string, GgufValue>
  /** Name of the file, for errors. */
  file: string
  /** Position of `</s>` in tokenizer.ggml.tokens; -1 where it is not in the list. */
  endOfSequenceToken: number
  /** Tokens of the embedding, for files that do not give `vocab_size`. */
  embeddingRows: number | undefined
}

/** Throws `config-unsupported` (another architecture), `config-invalid` naming the key. */
export function readModelMetadata({ metadata, file, endOfSequenceToken, embeddingRows }: MetadataInput): ModelMetadata {
  const architecture = metadata.get('general.architecture')
  if (architecture !== GGUF_ARCHITECTURE) {
    throw new EngineError('config-unsupported', `"${file}" is not a MatMul-free model.`, {
      expected: `general.architecture "${GGUF_ARCHITECTURE}"`,
      actual: typeof architecture === 'string' ? `"${architecture.slice(0, 64)}"` : 'none',
      remedy: 'Tern runs MatMul-free (hgrn_bit) models only; use another program for this file.',
    })
  }
  const wrong = (key: string, expected: string, actual: string): EngineError =>
    new EngineError('config-invalid', `"${file}": metadata "${key}" is not ${expected}.`, {
      expected,
      actual,
      remedy: 'The file is damaged or was not written by Tern: convert the original checkpoint.',
    })
  const optional = <T extends GgufScalar>(
    key: string,
    expected: string,
    is: (value: unknown) => value is T,
  ): T | null => {
    const value = metadata.get(key)
    if (value === undefined || is(value)) return value ?? null
    throw wrong(key, expected, typeNameOf(value))
  }
  const text = (key: string) => optional(key, 'a text', value => typeof value === 'string')
  // A 64-bit number past 2^53 need not be exact: no number that Tern reads may be so large.
  const number = (key: string): number | null => {
    const value = optional(key, 'a number', isNumber)
    return value === null ? null : Number(value)
  }
  const tokenId = (key: string): number | null => {
    const value = number(key)
    return value === NO_TOKEN ? null : value
  }
  const required = (key: string, fallback?: number): number => {
    const value = number(key) ?? fallback
    if (value === undefined) throw wrong(key, 'a number', 'missing')
    return value
  }

  const hiddenSize = required(KEYS.hiddenSize)
  const singleEos = tokenId(SINGLE_EOS_KEY)
  const config: ModelConfig = {
    vocabularySize: required(KEYS.vocabularySize, embeddingRows),
    hiddenSize,
    stateWidth: hiddenSize * required(KEYS.stateWidth, 1),
    layerCount: required(KEYS.layerCount),
    intermediateSize: required(KEYS.intermediateSize),
    rmsNormEpsilon: required(KEYS.rmsNormEpsilon),
    useLowerBound: optional(KEYS.useLowerBound, 'true or false', value => typeof value === 'boolean') ?? true,
    trainingContextLength: required(KEYS.trainingContextLength, 2048),
    bosTokenId: tokenId(KEYS.bosTokenId),
    eosTokenIds: eosTokenIds(),
  }
  checkConfig(config, (field, value) => {
    const isSingleEos = field === 'eosTokenIds' && Object.is(value, singleEos)
    return `"${file}": metadata "${isSingleEos ? SINGLE_EOS_KEY : KEYS[field]}"`
  })
  return {
    config,
    name: text('general.name'),
    tokenizerJson: text('tokenizer.huggingface.json'),
    chatTemplate: text('tokenizer.chat_template'),
    license: text('general.license'),
    description: text('general.description'),
  }

  /** A reply ends at any of these: the declared ids, and `</s>` where the vocabulary has it. */
  function eosTokenIds(): number[] {
    const several = metadata.get(KEYS.eosTokenIds) ?? []
    if (!Array.isArray(several) || !several.every(isNumber)) {
      throw wrong(KEYS.eosTokenIds, 'a list of up to 256 numbers', typeNameOf(several))
    }
    const tokens = metadata.get('tokenizer.ggml.tokens')
    if (tokens !== undefined && !isListOfTexts(tokens)) {
      throw wrong('tokenizer.ggml.tokens', 'a list of texts', typeNameOf(tokens))
    }
    const declared = (singleEos === null ? several : [singleEos, ...several]).map(Number)
    return [...new Set(endOfSequenceToken < 0 ? declared : [...declared, endOfSequenceToken])]
  }
}

/** How other writers say that there is no such token: -1 in 32 bits without a sign. */
const NO_TOKEN = 0xffffffff

const isNumber = (value: unknown): value is number | bigint => typeof value === 'number' || typeof value === 'bigint'

const isListOfTexts = (value: GgufValue): boolean =>
  Array.isArray(value)
    ? value.every(element => typeof element === 'string')
    : typeof value === 'object' && 'elementType' in value && value.elementType === 'string'

function typeNameOf(value: GgufValue): string {
  if (typeof value === 'object') return 'a list'
  return typeof value === 'string' ? 'a text' : typeof value === 'boolean' ? 'true or false' : 'a number'
}
