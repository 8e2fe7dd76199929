/**
 * Writes a model file with random ternary weights of any shape: for benchmarks, which depend on sizes and not on values.
 * Rows are drawn from a small pool of packed random rows, so that gigabytes take seconds. No tokenizer; the text that such
 * a model generates is noise.
 */

import type { ByteSink, CancelSignal, YieldToEventLoop } from '../engine-environment.ts'
import { cancelled } from '../errors.ts'
import { checkConfig, defaultIntermediateSize, type ModelConfig } from '../model/config.ts'
import type { TensorType } from '../model/source.ts'
import { elementCount, type ModelTensor, tensorsOf } from '../model/tensors.ts'
import { createRandom, type Random } from '../seeded-random.ts'
import { storedShape } from './check-tensors.ts'
import { bytesOfFloats } from './floats.ts'
import { GgufWriter } from './gguf-writer.ts'
import { modelMetadata } from './model-metadata.ts'
import type { TernaryType } from './tensor-types.ts'
import { packTernaryRow, ternaryRowBytes } from './ternary-blocks.ts'

const publishedShape = (hiddenSize: number, layerCount: number): ModelConfig => ({
  vocabularySize: 32000,
  hiddenSize,
  stateWidth: hiddenSize,
  layerCount,
  intermediateSize: defaultIntermediateSize(hiddenSize, 4),
  rmsNormEpsilon: 1e-6,
  useLowerBound: true,
  trainingContextLength: 2048,
  bosTokenId: 1,
  eosTokenIds: [2],
})

/** Shapes of the published models (ridgerchu/matmulfreellm). */
export const PUBLISHED_SHAPES = {
  '370M': publishedShape(1024, 24),
  '1.3B': publishedShape(2048, 24),
  '2.7B': publishedShape(2560, 32),
} as const satisfies Record<string, ModelConfig>

export interface RandomModelOptions {
  packing: 'tq1_0' | 'tq2_0'
  /** Same seed, same file. Default 1. */
  seed?: number
  modelName?: string
  onProgress?: (fraction: number) => void
  signal?: CancelSignal
  yieldToEventLoop?: YieldToEventLoop
}

const CHUNK_BYTES = 4 * 2 ** 20
const POOL_ROWS = 512
/** Share of zeros among ternary weights, as in the embedded model. */
const ZERO_SHARE = 0.34

/**
 * Streams a random model to `sink`, which is aborted on failure or cancel.
 * @throws EngineError `config-invalid`, `disk-full`, `cancelled`
 */
export async function writeRandomModel(
  config: ModelConfig,
  sink: ByteSink,
  options: RandomModelOptions,
): Promise<{ outputBytes: number }> {
  try {
    checkConfig(config)
    const packing = options.packing === 'tq1_0' ? 'TQ1_0' : 'TQ2_0'
    const tensors = tensorsOf(config)
    const metadata = modelMetadata(config, options.modelName ?? 'Random weights', packing)
    if (config.bosTokenId !== null) {
      metadata.push({ key: 'tokenizer.ggml.bos_token_id', type: 'uint32', value: config.bosTokenId })
    }
    metadata.push({ key: 'tokenizer.ggml.eos_token_ids', type: 'uint32', value: config.eosTokenIds })
    const stored = tensors.map(tensor => ({ name: tensor.name, ...storedForm(tensor, packing) }))
    const writer = new GgufWriter(sink, metadata, stored)
    await writeTensors(writer, tensors, packing, options)
    return { outputBytes: writer.totalBytes }
  } catch (error) {
    await sink.abort()
    throw error
  }
}

/** How this writer stores a tensor. */
export function storedForm({ role, shape }: ModelTensor, packing: TernaryType): { type: TensorType; shape: number[] } {
  const type = role === 'ternary' ? packing : role === 'embedding' ? 'F16' : 'F32'
  return { type, shape: storedShape(type, shape) }
}

async function writeTensors(
  writer: GgufWriter,
  tensors: ModelTensor[],
  packing: TernaryType,
  options: RandomModelOptions,
) {
  const random = createRandom(options.seed ?? 1)
  const pools = new Map<number, Uint8Array[]>()
  let bytesDone = 0
  await writer.writeHeader()
  for (const tensor of tensors) {
    for (const bytes of tensorPieces(tensor, packing, pools, random)) {
      if (options.signal?.aborted) throw cancelled()
      await writer.writeTensor(tensor.name, bytes)
      bytesDone += bytes.length
      options.onProgress?.(Math.min(1, bytesDone / writer.totalBytes))
      await options.yieldToEventLoop?.()
    }
  }
  await writer.finish()
}

function* tensorPieces(
  { role, shape }: ModelTensor,
  packing: TernaryType,
  pools: Map<number, Uint8Array[]>,
  random: Random,
): Generator<Uint8Array> {
  if (role === 'scale') yield bytesOfFloats('F32', Float32Array.of(0.02 + 0.01 * random()))
  else if (role !== 'ternary' && role !== 'embedding') {
    // Norm weights around 1; raw lower bounds around 0.
    const middle = role === 'lowerBounds' ? 0 : 1
    yield bytesOfFloats(
      'F32',
      Float32Array.from({ length: elementCount(shape) }, () => middle + 0.2 * (random() - 0.5)),
    )
  } else {
    const [rows, columns] = shape as [number, number]
    const key = role === 'ternary' ? columns : -columns
    const pool =
      pools.get(key) ?? (role === 'ternary' ? ternaryPool(packing, columns, random) : floatPool(columns, random))
    pools.set(key, pool)
    yield* drawRows(pool, rows, random)
  }
}

function ternaryPool(packing: TernaryType, columns: number, random: Random): Uint8Array[] {
  return Array.from({ length: POOL_ROWS }, () => {
    const codes = Int8Array.from({ length: columns }, () => (random() < ZERO_SHARE ? 0 : random() < 0.5 ? -1 : 1))
    const row = new Uint8Array(ternaryRowBytes(packing, columns))
    packTernaryRow(packing, codes, 0, columns, row, 0)
    return row
  })
}

const floatPool = (columns: number, random: Random): Uint8Array[] =>
  Array.from({ length: POOL_ROWS }, () =>
    bytesOfFloats(
      'F16',
      Float32Array.from({ length: columns }, () => 0.1 * (random() - 0.5)),
    ),
  )

/** `rows` rows of the pool in random order, in pieces of a few megabytes. */
function* drawRows(pool: Uint8Array[], rows: number, random: Random): Generator<Uint8Array> {
  const rowBytes = pool[0]!.length
  const rowsAtOnce = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes))
  for (let row = 0; row < rows; row += rowsAtOnce) {
    const count = Math.min(rowsAtOnce, rows - row)
    const piece = new Uint8Array(count * rowBytes)
    for (let r = 0; r < count; r++) piece.set(pool[Math.floor(random() * pool.length)]!, r * rowBytes)
    yield piece
  }
}
