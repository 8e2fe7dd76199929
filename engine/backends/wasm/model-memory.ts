/**
 * Where a model's weights and its scratch buffers lie in the shared memory, worked out before anything is read, and the
 * records that tell the kernels. States come after all of it (runner.ts).
 */
import { EngineError } from '../../errors.ts'
import { rowBytes } from '../../formats/tensor-types.ts'
import { bytesPerState, type ModelConfig } from '../../model/config.ts'
import type { ModelSource, TensorType } from '../../model/source.ts'
import { MODEL_NAMES } from '../../model/tensor-names.ts'
import * as layout from './kernels/memory-layout.ts'
import { AddressSpace, MAXIMUM_MEMORY_BYTES, matrixBytes, paddedRows, repackScratchBytes } from './kernels.ts'

export interface ModelMemory {
  /** Header to scratch; states follow. */
  totalBytes: number
  weightBytes: number
  scratchBytes: number
  embeddingAddress: number
  layerRecords: number
  scratch: ScratchPlaces
  /** Tokens in a prefill chunk. */
  chunkTokens: number
  weights: AddressSpace
}

export interface ScratchPlaces {
  start: number
  bytes: number
  tokenIds: number
  tokenStates: number
  logits: number
  q: number
  /** While loading: two areas for raw rows of the file, and one for 16 unpacked rows. */
  staging: [number, number]
  codes: number
}

/** Multiply-adds in a prefill chunk: about a quarter of a second of one fast core, so that a cancel acts soon. */
const CHUNK_MULTIPLY_ADDS = 20e9
const CHUNK_TOKENS_MINIMUM = 12
const CHUNK_TOKENS_MAXIMUM = 96
/** Sequences of one decode step; at most CHUNK_TOKENS_MINIMUM. */
export const DECODE_BATCH_MOST = 8
/** Rows read from the file at a time, in bytes; at least 16 rows. */
export const STAGING_BYTES = 1 << 20

const EMBEDDING_TYPES: Partial<Record<TensorType, number>> = {
  F32: layout.EMBEDDING_F32,
  F16: layout.EMBEDDING_F16,
  BF16: layout.EMBEDDING_BF16,
  Q8_0: layout.EMBEDDING_Q8_0,
}

export function embeddingType(type: TensorType): number {
  const known = EMBEDDING_TYPES[type]
  if (known !== undefined) return known
  throw new EngineError('tensor-type-unsupported', `The embedding is stored as ${type}.`, {
    expected: 'F32, F16, BF16 or Q8_0',
    actual: type,
    remedy: 'Convert the original checkpoint again with this version of Tern.',
  })
}

/** Ternary weights that a token passes. */
export const ternaryWeights = ({
  hiddenSize: d,
  stateWidth: e,
  intermediateSize: i,
  layerCount,
  vocabularySize,
}: ModelConfig): number => layerCount * (4 * d * e + 3 * d * i) + vocabularySize * d

/** A multiple of 2, the tokens that the GEMM takes at a time. */
export function prefillChunkTokens(config: ModelConfig): number {
  const tokens = Math.floor(CHUNK_MULTIPLY_ADDS / ternaryWeights(config) / 2) * 2
  return Math.min(Math.max(tokens, CHUNK_TOKENS_MINIMUM), CHUNK_TOKENS_MAXIMUM)
}

/** Sizes and addresses. Throws `out-of-memory` when 32-bit addresses cannot reach it all, `tensor-missing`. */
export function planModelMemory(source: ModelSource, threads: number): ModelMemory & { writeHeader: HeaderWriter } {
  const { config } = source
  const { hiddenSize, stateWidth, intermediateSize, vocabularySize, layerCount } = config
  const space = new AddressSpace(layout.HEADER_BYTES)
  const embedding = source.tensor(MODEL_NAMES.embedding)
  const embeddingRowBytes = rowBytes(embedding.type, hiddenSize)

  const layerRecords = space.allocate(layerCount * layout.LAYER_RECORD_BYTES)
  const embeddingAddress = space.allocate(vocabularySize * embeddingRowBytes)
  // Everything else is given out in the order of loading; only its size is needed here.
  const weights = new AddressSpace(space.end)
  const layerBytes = new AddressSpace(0)
  const vector = (length: number) => layerBytes.allocate(length * 4)
  for (const length of [hiddenSize, hiddenSize, hiddenSize, hiddenSize, hiddenSize, hiddenSize]) vector(length)
  for (const length of [stateWidth, stateWidth, stateWidth, intermediateSize]) vector(length)
  for (let matrix = 0; matrix < 3; matrix++) layerBytes.allocate(matrixBytes(stateWidth, hiddenSize))
  layerBytes.allocate(matrixBytes(hiddenSize, stateWidth))
  layerBytes.allocate(matrixBytes(intermediateSize, hiddenSize))
  layerBytes.allocate(matrixBytes(intermediateSize, hiddenSize))
  layerBytes.allocate(matrixBytes(hiddenSize, intermediateSize))
  space.allocate(layerCount * layerBytes.end)
  space.allocate(hiddenSize * 4)
  space.allocate(hiddenSize * 4)
  space.allocate(matrixBytes(vocabularySize, hiddenSize))
  const weightBytes = space.end

  const chunkTokens = prefillChunkTokens(config)
  const widest = Math.max(hiddenSize, stateWidth, intermediateSize)
  const rows = (width: number) => space.allocate(chunkTokens * paddedRows(width) * 4)
  const qRowBytes = Math.ceil(widest / 64) * 64
  const scratchStart = space.end
  const tokenIds = space.allocate(chunkTokens * 4)
  const tokenStates = space.allocate(chunkTokens * 4)
  const hidden = rows(hiddenSize)
  const i = rows(stateWidth)
  const f = rows(stateWidth)
  const g = rows(stateWidth)
  const gate = rows(intermediateSize)
  const up = rows(widest)
  const projected = rows(hiddenSize)
  const q = [0, 1, 2].map(() => space.allocate(chunkTokens * qRowBytes))
  const qMeta = [0, 1, 2].map(() => space.allocate(chunkTokens * 8))
  const privateBytes = layout.PRIVATE_META * qRowBytes + 64
  const privateBuffers = space.allocate(threads * privateBytes)
  // Last, because only evaluation uses more than its first row.
  const logits = rows(vocabularySize)
  // Rows of the file pass through the same memory while the model loads.
  const loading = new AddressSpace(scratchStart)
  const stagingBytes = STAGING_BYTES + 16 * rowBytes('TQ2_0', Math.ceil(widest / 256) * 256)
  const staging: [number, number] = [loading.allocate(stagingBytes), loading.allocate(stagingBytes)]
  const codes = loading.allocate(repackScratchBytes(widest))
  space.end = Math.max(space.end, loading.end)
  const scratchBytes = space.end - scratchStart

  if (space.end + bytesPerState(config) > MAXIMUM_MEMORY_BYTES) {
    throw new EngineError('out-of-memory', 'The model is too large for the WebAssembly engine.', {
      expected: `at most ${MAXIMUM_MEMORY_BYTES} bytes`,
      actual: `${weightBytes} bytes of weights and ${scratchBytes} bytes of working memory`,
      remedy: 'Choose a smaller model.',
    })
  }

  const writeHeader: HeaderWriter = memory => {
    const view = new DataView(memory.buffer)
    const word = (at: number, value: number) => view.setUint32(at, value, true)
    word(layout.MODEL_HIDDEN, hiddenSize)
    word(layout.MODEL_STATE_WIDTH, stateWidth)
    word(layout.MODEL_INTERMEDIATE, intermediateSize)
    word(layout.MODEL_VOCABULARY, vocabularySize)
    word(layout.MODEL_LAYERS, layerCount)
    view.setFloat64(layout.MODEL_EPSILON, config.rmsNormEpsilon, true)
    word(layout.MODEL_LAYER_RECORDS, layerRecords)
    word(layout.MODEL_EMBEDDING, embeddingAddress)
    word(layout.MODEL_EMBEDDING_ROW_BYTES, embeddingRowBytes)
    word(layout.MODEL_EMBEDDING_TYPE, embeddingType(embedding.type))
    word(layout.SCRATCH_TOKENS, chunkTokens)
    word(layout.SCRATCH_TOKEN_IDS, tokenIds)
    word(layout.SCRATCH_TOKEN_STATES, tokenStates)
    word(layout.SCRATCH_HIDDEN, hidden)
    word(layout.SCRATCH_I, i)
    word(layout.SCRATCH_F, f)
    word(layout.SCRATCH_G, g)
    word(layout.SCRATCH_GATE, gate)
    word(layout.SCRATCH_UP, up)
    word(layout.SCRATCH_PROJECTED, projected)
    word(layout.SCRATCH_LOGITS, logits)
    word(layout.SCRATCH_Q0, q[0])
    word(layout.SCRATCH_Q1, q[1])
    word(layout.SCRATCH_Q2, q[2])
    word(layout.SCRATCH_Q_ROW_BYTES, qRowBytes)
    word(layout.SCRATCH_QMETA0, qMeta[0])
    word(layout.SCRATCH_QMETA1, qMeta[1])
    word(layout.SCRATCH_QMETA2, qMeta[2])
    word(layout.SCRATCH_PRIVATE, privateBuffers)
    word(layout.SCRATCH_PRIVATE_BYTES, privateBytes)
  }

  return {
    totalBytes: space.end,
    weightBytes,
    scratchBytes,
    embeddingAddress,
    layerRecords,
    scratch: { start: scratchStart, bytes: scratchBytes, tokenIds, tokenStates, logits, q: q[0], staging, codes },
    chunkTokens,
    weights,
    writeHeader,
  }
}

export type HeaderWriter = (memory: WebAssembly.Memory) => void
