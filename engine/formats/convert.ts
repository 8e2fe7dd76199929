/**
 * Converts a Hugging Face checkpoint folder into one GGUF file: ternary matrices are ternarised and packed, norms become
 * F32, the embedding keeps its type, tokenizer and template go inside. Streams in pieces of a few megabytes, whatever the
 * size of the model: every ternary matrix is read twice, once for its scale and once for its codes.
 * All names and shapes are checked before the first byte is written. Unknown tensors are left out, as transformers does.
 */

import type { ByteFolder, ByteSink, CancelSignal, YieldToEventLoop } from '../engine-environment.ts'
import { cancelled, EngineError } from '../errors.ts'
import type { ModelConfig } from '../model/config.ts'
import { MAX_CONFIG_BYTES, parseHuggingFaceConfig } from '../model/config.ts'
import type { TensorType } from '../model/source.ts'
import { elementCount, type ModelTensor, type TensorRole, tensorsOf } from '../model/tensors.ts'
import { storedShape } from './check-tensors.ts'
import { type Checkpoint, missingInCheckpoint, notFloat } from './checkpoint.ts'
import { openCheckpoint } from './checkpoint-folder.ts'
import { bytesOfFloats, firstNotFinite, isFloatType } from './floats.ts'
import { readJson } from './folder-files.ts'
import { tokenizerMetadata } from './folder-tokenizer.ts'
import { GgufWriter } from './gguf-writer.ts'
import { modelMetadata } from './model-metadata.ts'
import type { TernaryType } from './tensor-types.ts'
import { absmeanScale, magnitudeSum, ternarize } from './ternarize.ts'
import { packTernaryRow, ternaryRowBytes } from './ternary-blocks.ts'

/** Elements read at a time: 4 MiB as float32. */
const CHUNK_ELEMENTS = 1 << 20

export interface ConvertOptions {
  packing: 'tq1_0' | 'tq2_0'
  /** 'source' (default) keeps the embedding as exact as the checkpoint has it; 'f16' halves a float32 one. */
  embedding?: 'source' | 'f16'
  /** Called after every piece with 0..1 and the tensor at work. */
  onProgress?: (fraction: number, tensor: string) => void
  signal?: CancelSignal
  yieldToEventLoop?: YieldToEventLoop
  /** Default: the folder's name. */
  modelName?: string
}

/**
 * Converts `folder` into `sink`. On failure or cancel the sink is aborted: nothing is left behind.
 * @throws EngineError `config-*`, `file-*`, `format-*`, `tensor-missing`, `tensor-shape-mismatch`,
 *   `tensor-type-unsupported`, `tensor-not-finite`, `tokenizer-*`, `template-*`, `limit-exceeded`, `disk-full`, `cancelled`
 */
export async function convertCheckpoint(
  folder: ByteFolder,
  sink: ByteSink,
  options: ConvertOptions,
): Promise<{ outputBytes: number }> {
  let checkpoint: Checkpoint | null = null
  try {
    const configJson = await readConfigJson(folder)
    const { config, tieWordEmbeddings } = parseHuggingFaceConfig(configJson)
    const tokenizer = await tokenizerMetadata(folder, configJson, config)
    checkpoint = await openCheckpoint(folder)
    const packing = options.packing === 'tq1_0' ? 'TQ1_0' : 'TQ2_0'
    const plan = planTensors(checkpoint, tensorsOf(config, tieWordEmbeddings), packing, options.embedding ?? 'source')
    const metadata = [...modelMetadata(config, options.modelName ?? folder.name, packing), ...tokenizer]
    const writer = new GgufWriter(sink, metadata, plan)
    await new Conversion(checkpoint, writer, plan, options).run()
    return { outputBytes: writer.totalBytes }
  } catch (error) {
    await sink.abort()
    throw error
  } finally {
    await checkpoint?.close()
  }
}

/** config.json of a folder, to be parsed. Throws `file-not-found`, `format-invalid`, `limit-exceeded`. */
export async function readConfigJson(folder: ByteFolder): Promise<unknown> {
  const files = await folder.list()
  if (files.includes('config.json')) return readJson(folder, 'config.json', MAX_CONFIG_BYTES)
  throw new EngineError('file-not-found', `"${folder.name}" has no config.json.`, {
    expected: 'config.json beside the weights',
    actual: files.length === 0 ? 'an empty folder' : files.toSorted().slice(0, 8).join(', '),
    remedy: 'Choose the folder of a Hugging Face checkpoint.',
  })
}

interface PlannedTensor {
  name: string
  role: TensorRole
  type: TensorType
  /** As stored (padded). */
  shape: number[]
  /** As in the checkpoint. */
  trueShape: number[]
  /** Tensor of the checkpoint; null for a scale, which follows its matrix. */
  upstream: string | null
}

function planTensors(
  checkpoint: Checkpoint,
  tensors: ModelTensor[],
  packing: TernaryType,
  embedding: 'source' | 'f16',
): PlannedTensor[] {
  return tensors.map(({ name, role, shape, upstream }) => {
    const dtype = upstream === null ? 'F32' : checkUpstream(checkpoint, upstream, shape)
    const kept = dtype === 'F16' || dtype === 'BF16' ? dtype : 'F32'
    const type = role === 'ternary' ? packing : role !== 'embedding' ? 'F32' : embedding === 'f16' ? 'F16' : kept
    return { name, role, type, shape: storedShape(type, shape), trueShape: shape, upstream }
  })
}

/**
 * Every tensor of the configuration is in the checkpoint, of its shape and of floats; from headers alone.
 * Throws `tensor-missing`, `tensor-shape-mismatch`, `tensor-type-unsupported`.
 */
export function checkUpstreamTensors(checkpoint: Checkpoint, config: ModelConfig): void {
  for (const { shape, upstream } of tensorsOf(config)) if (upstream !== null) checkUpstream(checkpoint, upstream, shape)
}

/** Element type of a tensor of the checkpoint, once it is there, of that shape and of floats. */
function checkUpstream(checkpoint: Checkpoint, name: string, shape: number[]): string {
  const tensor = checkpoint.tensors.get(name)
  if (!tensor) throw missingInCheckpoint(name, checkpoint.tensors.keys())
  if (tensor.shape.join() !== shape.join()) {
    throw new EngineError('tensor-shape-mismatch', `Tensor "${name}" does not fit config.json.`, {
      expected: `[${shape.join(', ')}]`,
      actual: `[${tensor.shape.join(', ')}]`,
      remedy: 'config.json and the weights are of different models: download both again.',
    })
  }
  if (!isFloatType(tensor.dtype)) throw notFloat(name, tensor.dtype)
  return tensor.dtype
}

class Conversion {
  readonly #checkpoint: Checkpoint
  readonly #writer: GgufWriter
  readonly #plan: PlannedTensor[]
  readonly #options: ConvertOptions
  readonly #totalElements: number
  #elementsDone = 0
  /** Of the matrix written last. */
  #scale = 0

  constructor(checkpoint: Checkpoint, writer: GgufWriter, plan: PlannedTensor[], options: ConvertOptions) {
    this.#checkpoint = checkpoint
    this.#writer = writer
    this.#plan = plan
    this.#options = options
    this.#totalElements = plan.reduce((sum, tensor) => sum + passes(tensor) * elementCount(tensor.trueShape), 0)
  }

  async run(): Promise<void> {
    await this.#writer.writeHeader()
    for (const tensor of this.#plan) {
      if (tensor.upstream === null) {
        await this.#writer.writeTensor(tensor.name, bytesOfFloats('F32', Float32Array.of(this.#scale)))
      } else if (tensor.role === 'ternary') {
        this.#scale = await this.#readScale(tensor, tensor.upstream)
        await this.#writeTernary(tensor, tensor.upstream, this.#scale)
      } else {
        await this.#writeFloats(tensor, tensor.upstream)
      }
    }
    await this.#writer.finish()
  }

  async #readScale({ name, trueShape }: PlannedTensor, upstream: string): Promise<number> {
    const count = elementCount(trueShape)
    let sum = 0
    for (let first = 0; first < count; first += CHUNK_ELEMENTS) {
      const weights = await this.#read(upstream, first, Math.min(CHUNK_ELEMENTS, count - first))
      sum = magnitudeSum(weights, sum)
      if (!Number.isFinite(sum)) throw notFinite(upstream, weights, first)
      await this.#advance(weights.length, name)
    }
    return absmeanScale(sum, count)
  }

  /** In pieces of whole rows. */
  async #writeTernary({ name, type, trueShape }: PlannedTensor, upstream: string, scale: number): Promise<void> {
    const [rows, columns] = trueShape as [number, number]
    const packing = type as TernaryType
    const bytesPerRow = ternaryRowBytes(packing, columns)
    const rowsAtOnce = Math.max(1, Math.floor(CHUNK_ELEMENTS / columns))
    const codes = new Int8Array(rowsAtOnce * columns)
    for (let row = 0; row < rows; row += rowsAtOnce) {
      const rowCount = Math.min(rowsAtOnce, rows - row)
      ternarize(await this.#read(upstream, row * columns, rowCount * columns), scale, codes)
      // A fresh buffer: the sink may still hold the last one.
      const packed = new Uint8Array(rowCount * bytesPerRow)
      for (let r = 0; r < rowCount; r++) packTernaryRow(packing, codes, r * columns, columns, packed, r * bytesPerRow)
      await this.#writer.writeTensor(name, packed)
      await this.#advance(rowCount * columns, name)
    }
  }

  async #writeFloats({ name, type, trueShape }: PlannedTensor, upstream: string): Promise<void> {
    const count = elementCount(trueShape)
    for (let first = 0; first < count; first += CHUNK_ELEMENTS) {
      const values = await this.#read(upstream, first, Math.min(CHUNK_ELEMENTS, count - first))
      // Beyond 65504 a value has no binary16.
      const stored = type === 'F16' && !values.every(value => Math.abs(value) < 65520) ? null : values
      if (!stored || firstNotFinite(values) >= 0) throw notFinite(upstream, values, first)
      await this.#writer.writeTensor(name, bytesOfFloats(type as 'F32' | 'F16' | 'BF16', values))
      await this.#advance(values.length, name)
    }
  }

  async #read(upstream: string, first: number, count: number): Promise<Float32Array> {
    if (this.#options.signal?.aborted) throw cancelled()
    return this.#checkpoint.readElements(upstream, first, count)
  }

  async #advance(elements: number, name: string): Promise<void> {
    this.#elementsDone += elements
    this.#options.onProgress?.(this.#elementsDone / this.#totalElements, name)
    await this.#options.yieldToEventLoop?.()
  }
}

/** How often a tensor of the checkpoint is read for one of ours. */
const passes = ({ role, upstream }: PlannedTensor): number => (upstream === null ? 0 : role === 'ternary' ? 2 : 1)

function notFinite(name: string, values: Float32Array, first: number): EngineError {
  const at = firstNotFinite(values)
  if (at < 0) {
    return new EngineError('tensor-not-finite', `Tensor "${name}" has values too large for float16.`, {
      expected: 'magnitudes up to 65504',
      remedy: 'Convert with the embedding kept in its own type.',
    })
  }
  return new EngineError('tensor-not-finite', `Tensor "${name}" holds a value that is not a finite number.`, {
    expected: 'finite numbers',
    actual: `${values[at]} at element ${first + at}`,
    remedy: 'The checkpoint is damaged: download it again.',
  })
}
