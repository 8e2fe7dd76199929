/**
 * The model in the GPU's memory: ternary matrices as words of sixteen codes (shaders/ternary.wgsl), split over several
 * buffers where one would be larger than the adapter binds; norms as float32; the embedding as binary16 or float32.
 */
import { cancelled, EngineError } from '../../errors.ts'
import { checkTensors } from '../../formats/check-tensors.ts'
import { readLowerBounds } from '../../formats/read-lower-bounds.ts'
import { readFloatRows, readFloats, readScale, readTernaryRows } from '../../formats/read-tensors.ts'
import { packTernaryRow, ternaryRowBytes } from '../../formats/ternary-blocks.ts'
import type { ModelSource } from '../../model/source.ts'
import {
  blockTensors,
  EMBEDDING,
  headTensors,
  type LinearTensors,
  type NormTensor,
  sizeOf,
} from '../../model/tensors.ts'
import type { LoadOptions } from '../backend.ts'
import { type Gpu, USAGE } from './gpu.ts'
import { padded, rowWords } from './kernel-shapes.ts'

/** Rows `firstRow` and on of every plane, in one buffer. */
interface MatrixSegment {
  firstRow: number
  rowCount: number
  /** [planes, rowCount, words] */
  codes: GPUBuffer
  /** Uniform: firstRow, rowCount, layer, 0, scales of the planes. */
  dispatch: GPUBuffer
}

/** One, two or three matrices of the same shape that kernels work on together. */
export interface MatrixGroup {
  planes: number
  /** Of one plane. */
  rows: number
  columns: number
  segments: MatrixSegment[]
  /** [input planes, padded columns]: one for each norm. */
  inNorms: GPUBuffer
}

interface EmbeddingSegment {
  rows: GPUBuffer
  /** Uniform: firstRow, rowCount. */
  dispatch: GPUBuffer
}

interface BlockBuffers {
  mlgruNorm: GPUBuffer
  /** Three planes: i, f, g. */
  mlgruIfg: MatrixGroup
  mlgruOutNorm: GPUBuffer
  mlgruO: MatrixGroup
  gluNorm: GPUBuffer
  /** Two planes of one norm: gate, up. */
  gluGateUp: MatrixGroup
  gluDown: MatrixGroup
}

export interface WeightBuffers {
  embedding: EmbeddingSegment[]
  embeddingIsHalf: boolean
  blocks: BlockBuffers[]
  /** [L, E], zero where there is none */
  lowerBounds: GPUBuffer
  outputNorm: GPUBuffer
  output: MatrixGroup
  bytes: number
}

/** Bytes of the weights on the GPU, known before anything is read, where no matrix needs a second buffer. */
export function weightBytesOf({ config, tensor }: ModelSource): number {
  const elementBytes = tensor(EMBEDDING).type === 'F16' ? 2 : 4
  return sizeOf(config, {
    // In whole words.
    embedding: (rows, columns) => 4 * Math.ceil((rows * columns * elementBytes) / 4),
    norm: width => padded(width) * 4,
    ternary: (rows, columns) => rows * rowWords(columns) * 4,
    // A row of zeros where a layer has none.
    lowerBounds: ({ layerCount, stateWidth }) => layerCount * stateWidth * 4,
    block: GROUPS_OF_BLOCK * MATRIX_DISPATCH_BYTES,
    rest: MATRIX_DISPATCH_BYTES + EMBEDDING_DISPATCH_BYTES,
  })
}
const GROUPS_OF_BLOCK = 4
const MATRIX_DISPATCH_BYTES = 32
const EMBEDDING_DISPATCH_BYTES = 16

/** Bytes between two waits for the device: what its staging memory may grow by. */
const BYTES_IN_FLIGHT = 64 * 2 ** 20
const READ_BYTES = 8 * 2 ** 20

/**
 * Reads everything. Throws `tensor-*`, `file-*`, `out-of-memory`, `backend-failed`, `cancelled`; `destroyBuffers` is the
 * caller's then too: every buffer made is in `made`.
 */
export async function loadWeights(
  gpu: Gpu,
  source: ModelSource,
  options: LoadOptions,
  made: GPUBuffer[],
): Promise<WeightBuffers> {
  return new WeightLoader(gpu, source, options, made).load()
}

class WeightLoader {
  private readonly gpu: Gpu
  private readonly source: ModelSource
  private readonly options: LoadOptions
  private readonly made: GPUBuffer[]
  private readonly totalBytes: number
  private bytesDone = 0
  private bytesInFlight = 0

  constructor(gpu: Gpu, source: ModelSource, options: LoadOptions, made: GPUBuffer[]) {
    this.gpu = gpu
    this.source = source
    this.options = options
    this.made = made
    checkTensors(source)
    this.totalBytes = weightBytesOf(source)
  }

  async load(): Promise<WeightBuffers> {
    const { config } = this.source
    this.options.onProgress?.(0)
    const embeddingIsHalf = this.source.tensor(EMBEDDING).type === 'F16'
    const embedding = await this.embedding(embeddingIsHalf)
    const bounds = await this.lowerBounds()
    const blocks: BlockBuffers[] = []
    for (let l = 0; l < config.layerCount; l++) {
      const tensors = blockTensors(config, l)
      blocks.push({
        mlgruNorm: await this.norms([tensors.mlgruNorm]),
        mlgruIfg: await this.matrices([tensors.mlgruI, tensors.mlgruF, tensors.mlgruG], l),
        mlgruOutNorm: await this.norms([tensors.mlgruOutNorm]),
        mlgruO: await this.matrices([tensors.mlgruO], l),
        gluNorm: await this.norms([tensors.gluNorm]),
        gluGateUp: await this.matrices([tensors.gluGateUp], l),
        gluDown: await this.matrices([tensors.gluDown], l),
      })
    }
    const head = headTensors(config)
    const outputNorm = await this.norms([head.outputNorm])
    const output = await this.matrices([head.output], 0)
    this.options.onProgress?.(1)
    return {
      embedding,
      embeddingIsHalf,
      blocks,
      lowerBounds: bounds,
      outputNorm,
      output,
      bytes: this.made.reduce((sum, buffer) => sum + buffer.size, 0),
    }
  }

  /** Norm weights of one width one after the other, each padded with zeros. */
  private async norms(tensors: readonly NormTensor[]): Promise<GPUBuffer> {
    const [{ name, width }] = tensors
    const values = new Float32Array(tensors.length * padded(width))
    for (const [i, norm] of tensors.entries()) {
      values.set(await readFloats(this.source, norm.name, [width]), i * padded(width))
    }
    const buffer = this.buffer(name, values.byteLength)
    await this.write(buffer, 0, values)
    return buffer
  }

  private async lowerBounds(): Promise<GPUBuffer> {
    const { layerCount: L, stateWidth: E } = this.source.config
    const values = new Float32Array(L * E)
    for (const [l, bounds] of (await readLowerBounds(this.source)).entries()) if (bounds) values.set(bounds, l * E)
    const buffer = this.buffer('lower bounds', values.byteLength)
    await this.write(buffer, 0, values)
    return buffer
  }

  /** Matrices of the same shape as one group: the planes of the first, then those of the next. */
  private async matrices(tensors: readonly LinearTensors[], layer: number): Promise<MatrixGroup> {
    const [{ weight, rows, columns }] = tensors
    const scales: number[] = []
    for (const { scale, planes } of tensors) {
      scales.push(...new Array<number>(planes).fill(await readScale(this.source, scale)))
    }
    const planes = scales.length
    const rowBytes = rowWords(columns) * 4
    const segments: MatrixSegment[] = []
    const mostRows = Math.floor(this.gpu.maximumBindingBytes / (planes * rowBytes))
    if (mostRows < 1) throw tooLargeRow(planes * rowBytes, this.gpu.maximumBindingBytes)
    for (let firstRow = 0; firstRow < rows; firstRow += mostRows) {
      const rowCount = Math.min(mostRows, rows - firstRow)
      const codes = await this.largeBuffer(weight, planes * rowCount * rowBytes)
      let offset = 0
      for (const tensor of tensors) {
        for (let plane = 0; plane < tensor.planes; plane++) {
          await this.codes(tensor, plane * rows + firstRow, rowCount, codes, offset)
          offset += rowCount * rowBytes
        }
      }
      const dispatch = new Uint32Array(MATRIX_DISPATCH_BYTES / 4)
      dispatch.set([firstRow, rowCount, layer])
      new Float32Array(dispatch.buffer).set(scales, 4)
      segments.push({ firstRow, rowCount, codes, dispatch: this.dispatch(dispatch) })
    }
    const inNorms = await this.norms(tensors.map(({ inNorm }) => ({ name: inNorm, width: columns })))
    return { planes, rows, columns, segments, inNorms }
  }

  /** @param firstRow of the tensor */
  private async codes(
    { weight, columns }: LinearTensors,
    firstRow: number,
    rowCount: number,
    target: GPUBuffer,
    targetOffset: number,
  ): Promise<void> {
    const rowBytes = rowWords(columns) * 4
    const rowsAtOnce = Math.max(1, Math.floor(READ_BYTES / rowBytes))
    for (let row = 0; row < rowCount; row += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, rowCount - row)
      const bytes = await readCodeWords(this.source, weight, { firstRow: firstRow + row, rowCount: count, columns })
      await this.write(target, targetOffset + row * rowBytes, bytes)
    }
  }

  private async embedding(isHalf: boolean): Promise<EmbeddingSegment[]> {
    const { vocabularySize: V, hiddenSize: D } = this.source.config
    const rowBytes = D * (isHalf ? 2 : 4)
    // Two rows of an odd number of binary16 make whole words.
    const even = (rows: number): number => rows - (rows % 2)
    const mostRows = even(Math.floor(this.gpu.maximumBindingBytes / rowBytes))
    if (mostRows < 2) throw tooLargeRow(2 * rowBytes, this.gpu.maximumBindingBytes)
    const rowsAtOnce = Math.max(2, even(Math.floor(READ_BYTES / rowBytes)))
    const segments: EmbeddingSegment[] = []
    for (let firstRow = 0; firstRow < V; firstRow += mostRows) {
      const rowCount = Math.min(mostRows, V - firstRow)
      const rows = await this.largeBuffer(EMBEDDING, rowCount * rowBytes)
      for (let row = 0; row < rowCount; row += rowsAtOnce) {
        const count = Math.min(rowsAtOnce, rowCount - row)
        const data = isHalf
          ? await readHalfRows(this.source, EMBEDDING, { firstRow: firstRow + row, rowCount: count, columns: D })
          : await readFloatRows(this.source, EMBEDDING, firstRow + row, count, D)
        await this.write(rows, row * rowBytes, data)
      }
      segments.push({ rows, dispatch: this.dispatch(Uint32Array.of(firstRow, rowCount, 0, 0)) })
    }
    return segments
  }

  private dispatch(words: Uint32Array): GPUBuffer {
    const buffer = this.buffer('dispatch', words.byteLength, USAGE.uniform | USAGE.copyDst)
    this.gpu.write(buffer, 0, words)
    return buffer
  }

  private buffer(label: string, bytes: number, usage?: number): GPUBuffer {
    const buffer = this.gpu.buffer(label, bytes, usage)
    this.made.push(buffer)
    return buffer
  }

  /** Waits until the device has it or says that it has no room: before more is read. Throws `out-of-memory`. */
  private largeBuffer(label: string, bytes: number): Promise<GPUBuffer> {
    return this.gpu.checked(() => this.buffer(label, bytes))
  }

  private async write(buffer: GPUBuffer, offset: number, data: ArrayBufferView): Promise<void> {
    if (this.options.signal?.aborted) throw cancelled()
    this.gpu.write(buffer, offset, data)
    this.bytesDone += data.byteLength
    this.bytesInFlight += data.byteLength
    if (this.bytesInFlight < BYTES_IN_FLIGHT) return
    this.bytesInFlight = 0
    await this.gpu.idle()
    this.options.onProgress?.(Math.min(0.999, this.bytesDone / this.totalBytes))
  }
}

/** Of a tensor. */
interface Rows {
  firstRow: number
  rowCount: number
  columns: number
}

const BLOCK_CODE_BYTES = 64

/**
 * Rows as the GPU wants them: TQ2_0 blocks without their scales. What is not plainly that (another type, a code 3, another
 * scale) goes through `readTernaryRows`, which converts it or says what is wrong.
 */
async function readCodeWords(source: ModelSource, name: string, rows: Rows): Promise<Uint8Array> {
  const { firstRow, rowCount, columns } = rows
  const storedRowBytes = ternaryRowBytes('TQ2_0', columns)
  if (source.tensor(name).type === 'TQ2_0') {
    const stored = await source.readTensor(name, firstRow * storedRowBytes, rowCount * storedRowBytes)
    const words = withoutBlockScales(stored)
    if (words) return words
  }
  const codes = await readTernaryRows(source, name, firstRow, rowCount, columns)
  const blocks = new Uint8Array(rowCount * storedRowBytes)
  for (let row = 0; row < rowCount; row++) {
    packTernaryRow('TQ2_0', codes, row * columns, columns, blocks, row * storedRowBytes)
  }
  return withoutBlockScales(blocks)!
}

/** null: a scale other than 1, or a code that is not ternary. */
function withoutBlockScales(blocks: Uint8Array): Uint8Array | null {
  const count = blocks.length / (BLOCK_CODE_BYTES + 2)
  const words = new Uint8Array(count * BLOCK_CODE_BYTES)
  for (let block = 0, from = 0; block < count; block++, from += BLOCK_CODE_BYTES + 2) {
    if (blocks[from + BLOCK_CODE_BYTES] !== 0 || blocks[from + BLOCK_CODE_BYTES + 1] !== 0x3c) return null
    words.set(blocks.subarray(from, from + BLOCK_CODE_BYTES), block * BLOCK_CODE_BYTES)
  }
  let threes = 0
  for (const word of new Uint32Array(words.buffer)) threes |= word & (word >>> 1)
  return (threes & 0x55555555) === 0 ? words : null
}

/** Rows of binary16, checked for infinities, padded to whole words. */
async function readHalfRows(source: ModelSource, name: string, part: Rows): Promise<Uint8Array> {
  const { firstRow, rowCount, columns } = part
  const bytes = await source.readTensor(name, firstRow * columns * 2, rowCount * columns * 2)
  const rows = new Uint8Array(Math.ceil(bytes.length / 4) * 4)
  rows.set(bytes)
  for (const half of new Uint16Array(rows.buffer)) {
    if ((half & 0x7c00) === 0x7c00) {
      // Says which element it is.
      await readFloatRows(source, name, firstRow, rowCount, columns)
    }
  }
  return rows
}

const tooLargeRow = (bytes: number, limit: number): EngineError =>
  new EngineError('backend-unavailable', 'This graphics processor cannot hold a single row of the model.', {
    expected: `buffers of ${bytes} bytes`,
    actual: `at most ${limit} bytes`,
    remedy: 'Use the CPU.',
  })
