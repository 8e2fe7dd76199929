/**
 * Where a model's weights and its scratch buffers lie in the shared memory, worked out before anything is read, and the
 * records that tell the kernels. States come after all of it (runner.ts).
 */
import { EngineError } from '../../errors.ts'
import { checkTensors } from '../../formats/check-tensors.ts'
import { paddedColumns, rowBytes } from '../../formats/tensor-types.ts'
import { bytesPerState, type ModelConfig } from '../../model/config.ts'
import type { ModelSource, TensorType } from '../../model/source.ts'
import { EMBEDDING, sizeOf, ternaryWeightsPerToken } from '../../model/tensors.ts'
import * as layout from './kernels/memory-layout.ts'
import { AddressSpace, aligned, MAX_MEMORY_BYTES, matrixBytes, paddedRows, repackScratchBytes } from './kernels.ts'

export interface ModelMemory {
  /** Header to scratch; states follow. */
  totalBytes: number
  weightBytes: number
  scratchBytes: number
  embeddingAddress: number
  embeddingRowBytes: number
  layerRecords: number
  scratch: ScratchPlaces
  /** Tokens in a prefill chunk. */
  chunkTokens: number
  weights: AddressSpace
}

/** Addresses; `staging` and `codes` lie over the others and are used while loading: raw rows of the file, 16 unpacked rows. */
type ScratchPlaces = ReturnType<typeof planScratch>

/** Multiply-adds in a prefill chunk: about a quarter of a second of one fast core, so that a cancel acts soon. */
const CHUNK_MULTIPLY_ADDS = 20e9
const MIN_CHUNK_TOKENS = 12
const MAX_CHUNK_TOKENS = 96
/** Sequences of one decode step; at most MIN_CHUNK_TOKENS. */
export const MAX_DECODE_BATCH = 8
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

/** A multiple of 2, the tokens that the GEMM takes at a time. */
function prefillChunkTokens(config: ModelConfig): number {
  const tokens = Math.floor(CHUNK_MULTIPLY_ADDS / ternaryWeightsPerToken(config) / 2) * 2
  return Math.min(Math.max(tokens, MIN_CHUNK_TOKENS), MAX_CHUNK_TOKENS)
}

/** Bytes before the scratch buffers: the header, the layers' records and all weights as `loadWeights` places them. */
const weightBytesOf = ({ config, tensor }: ModelSource): number =>
  sizeOf(config, {
    embedding: (rows, columns) => aligned(rows * rowBytes(tensor(EMBEDDING).type, columns)),
    norm: width => aligned(width * 4),
    ternary: (rows, columns) => aligned(matrixBytes(rows, columns)),
    // The first layer has none.
    lowerBounds: ({ useLowerBound, layerCount, stateWidth }) =>
      useLowerBound ? (layerCount - 1) * aligned(stateWidth * 4) : 0,
    block: layout.LAYER_RECORD_BYTES,
    rest: layout.HEADER_BYTES,
  })

/**
 * Sizes and addresses. Throws `out-of-memory` when 32-bit addresses cannot reach it all, and for tensors that do not fit the
 * configuration.
 */
export function planModelMemory(source: ModelSource, threads: number): ModelMemory {
  const { config } = source
  const weightBytes = weightBytesOf(source)
  const space = new AddressSpace(layout.HEADER_BYTES)
  const layerRecords = space.allocate(config.layerCount * layout.LAYER_RECORD_BYTES)
  const embeddingRowBytes = rowBytes(source.tensor(EMBEDDING).type, config.hiddenSize)
  const embeddingAddress = space.allocate(config.vocabularySize * embeddingRowBytes)
  const chunkTokens = prefillChunkTokens(config)
  const scratch = planScratch(config, { threads, chunkTokens, start: weightBytes })
  const totalBytes = scratch.start + scratch.bytes
  if (totalBytes + bytesPerState(config) > MAX_MEMORY_BYTES) {
    throw new EngineError('out-of-memory', 'The model is too large for the WebAssembly engine.', {
      expected: `at most ${MAX_MEMORY_BYTES} bytes`,
      actual: `${weightBytes} bytes of weights and ${scratch.bytes} bytes of working memory`,
      remedy: 'Choose a smaller model.',
    })
  }
  checkTensors(source)
  return {
    totalBytes,
    weightBytes,
    scratchBytes: scratch.bytes,
    embeddingAddress,
    embeddingRowBytes,
    layerRecords,
    scratch,
    chunkTokens,
    // The rest is given out in the order of loading.
    weights: new AddressSpace(space.end),
  }
}

interface ScratchNeeds {
  threads: number
  chunkTokens: number
  /** Address of its first byte. */
  start: number
}

function planScratch(config: ModelConfig, { threads, chunkTokens, start }: ScratchNeeds) {
  const { hiddenSize, stateWidth, intermediateSize, vocabularySize } = config
  const widest = Math.max(hiddenSize, stateWidth, intermediateSize)
  const space = new AddressSpace(start)
  const rows = (width: number) => space.allocate(chunkTokens * paddedRows(width) * 4)
  const qRowBytes = aligned(widest)
  const privateBytes = layout.PRIVATE_META * qRowBytes + 64
  const places = {
    tokenIds: space.allocate(chunkTokens * 4),
    tokenStates: space.allocate(chunkTokens * 4),
    hidden: rows(hiddenSize),
    i: rows(stateWidth),
    f: rows(stateWidth),
    g: rows(stateWidth),
    gate: rows(intermediateSize),
    up: rows(widest),
    projected: rows(hiddenSize),
    qRowBytes,
    q: [0, 1, 2].map(() => space.allocate(chunkTokens * qRowBytes)),
    qMeta: [0, 1, 2].map(() => space.allocate(chunkTokens * 8)),
    privateBytes,
    privateBuffers: space.allocate(threads * privateBytes),
    // Last, because only evaluation uses more than its first row.
    logits: rows(vocabularySize),
  }
  // Rows of the file pass through the same memory while the model loads.
  const loading = new AddressSpace(start)
  const stagingBytes = STAGING_BYTES + 16 * rowBytes('TQ2_0', paddedColumns(widest))
  const staging = [loading.allocate(stagingBytes), loading.allocate(stagingBytes)]
  const codes = loading.allocate(repackScratchBytes(widest))
  return { start, bytes: Math.max(space.end, loading.end) - start, ...places, staging, codes }
}

/** Tells the kernels where everything is. */
export function writeHeader(memory: WebAssembly.Memory, { config, tensor }: ModelSource, plan: ModelMemory): void {
  const { scratch } = plan
  const view = new DataView(memory.buffer)
  const word = (at: number, value: number) => view.setUint32(at, value, true)
  word(layout.MODEL_HIDDEN, config.hiddenSize)
  word(layout.MODEL_STATE_WIDTH, config.stateWidth)
  word(layout.MODEL_INTERMEDIATE, config.intermediateSize)
  word(layout.MODEL_VOCABULARY, config.vocabularySize)
  word(layout.MODEL_LAYERS, config.layerCount)
  view.setFloat64(layout.MODEL_EPSILON, config.rmsNormEpsilon, true)
  word(layout.MODEL_LAYER_RECORDS, plan.layerRecords)
  word(layout.MODEL_EMBEDDING, plan.embeddingAddress)
  word(layout.MODEL_EMBEDDING_ROW_BYTES, plan.embeddingRowBytes)
  word(layout.MODEL_EMBEDDING_TYPE, embeddingType(tensor(EMBEDDING).type))
  word(layout.SCRATCH_TOKENS, plan.chunkTokens)
  word(layout.SCRATCH_TOKEN_IDS, scratch.tokenIds)
  word(layout.SCRATCH_TOKEN_STATES, scratch.tokenStates)
  word(layout.SCRATCH_HIDDEN, scratch.hidden)
  word(layout.SCRATCH_I, scratch.i)
  word(layout.SCRATCH_F, scratch.f)
  word(layout.SCRATCH_G, scratch.g)
  word(layout.SCRATCH_GATE, scratch.gate)
  word(layout.SCRATCH_UP, scratch.up)
  word(layout.SCRATCH_PROJECTED, scratch.projected)
  word(layout.SCRATCH_LOGITS, scratch.logits)
  word(layout.SCRATCH_Q0, scratch.q[0])
  word(layout.SCRATCH_Q1, scratch.q[1])
  word(layout.SCRATCH_Q2, scratch.q[2])
  word(layout.SCRATCH_Q_ROW_BYTES, scratch.qRowBytes)
  word(layout.SCRATCH_QMETA0, scratch.qMeta[0])
  word(layout.SCRATCH_QMETA1, scratch.qMeta[1])
  word(layout.SCRATCH_QMETA2, scratch.qMeta[2])
  word(layout.SCRATCH_PRIVATE, scratch.privateBuffers)
  word(layout.SCRATCH_PRIVATE_BYTES, scratch.privateBytes)
}
