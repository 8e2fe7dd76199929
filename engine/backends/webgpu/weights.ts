/**
 * The model in the GPU's memory: ternary matrices as words of sixteen codes (shaders/ternary.wgsl), split over several
 * buffers where one would be larger than the adapter binds; norms as float32; the embedding as binary16 or float32.
 */
import { cancelled, EngineError } from '../../errors.ts'
import { readFloatRows, readFloats, readScale, readTernaryRows } from '../../formats/read-tensors.ts'
import { packTernaryRow, ternaryRowBytes } from '../../formats/ternary-blocks.ts'
import { lowerBounds } from '../../model/lower-bounds.ts'
import type { ModelSource } from '../../model/source.ts'
import { type BitLinearNames, blockNames, MODEL_NAMES } from '../../model/tensor-names.ts'
import type { LoadOptions } from '../backend.ts'
import { type Gpu, USAGE } from './gpu.ts'
import { padded, rowWords } from './kernel-shapes.ts'

/** Rows `firstRow` and on of every plane, in one buffer. */
export interface MatrixSegment {
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

export interface EmbeddingSegment {
  rows: GPUBuffer
  /** Uniform: firstRow, rowCount. */
  dispatch: GPUBuffer
}

export interface BlockBuffers {
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

/** Bytes of the weights on the GPU, known before anything is read. */
export function weightBytesOf(source: ModelSource): number {
  const { vocabularySize: V, hiddenSize: D, stateWidth: E, layerCount: L, intermediateSize: I } = source.config
  const matrix = (rows: number, columns: number): number => rows * rowWords(columns) * 4
  const norm = (columns: number): number => padded(columns) * 4
  const block =
    3 * matrix(E, D) + matrix(D, E) + matrix(2 * I, D) + matrix(D, I) + 6 * norm(D) + 2 * norm(E) + norm(I) + 4 * 32
  const elementBytes = source.tensor(MODEL_NAMES.embedding).type === 'F16' ? 2 : 4
  return L * (block + E * 4) + V * D * elementBytes + matrix(V, D) + 2 * norm(D) + 48
}

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
    this.totalBytes = weightBytesOf(source)
  }

  async load(): Promise<WeightBuffers> {
    const { hiddenSize: D, stateWidth: E, layerCount: L, intermediateSize: I, vocabularySize: V } = this.source.config
    this.options.onProgress?.(0)
    const embeddingIsHalf = this.source.tensor(MODEL_NAMES.embedding).type === 'F16'
    const embedding = await this.embedding(embeddingIsHalf)
    const bounds = await this.lowerBounds()
    const blocks: BlockBuffers[] = []
    for (let l = 0; l < L; l++) {
      const names = blockNames(l)
      blocks.push({
        mlgruNorm: await this.norms([names.mlgruNorm], D),
        mlgruIfg: await this.matrices([names.mlgruI, names.mlgruF, names.mlgruG], E, D, l),
        mlgruOutNorm: await this.norms([names.mlgruOutNorm], E),
        mlgruO: await this.matrices([names.mlgruO], D, E, l),
        gluNorm: await this.norms([names.gluNorm], D),
        gluGateUp: await this.matrices([names.gluGateUp], I, D, l, 2),
        gluDown: await this.matrices([names.gluDown], D, I, l),
      })
    }
    const outputNorm = await this.norms([MODEL_NAMES.outputNorm], D)
    const output = await this.matrices([MODEL_NAMES.output], V, D, 0)
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

  /** Norm weights one after the other, each padded with zeros. */
  private async norms(names: string[], columns: number): Promise<GPUBuffer> {
    const values = new Float32Array(names.length * padded(columns))
    for (const [i, name] of names.entries()) {
      values.set(await readFloats(this.source, name, [columns]), i * padded(columns))
    }
    const buffer = this.buffer(names[0], values.byteLength)
    await this.write(buffer, 0, values)
    return buffer
  }

  private async lowerBounds(): Promise<GPUBuffer> {
    const { layerCount: L, stateWidth: E, useLowerBound } = this.source.config
    const raw = useLowerBound ? await readFloats(this.source, MODEL_NAMES.lowerBounds, [L, E]) : null
    const values = new Float32Array(L * E)
    for (const [l, bounds] of lowerBounds(raw, L, E).entries()) if (bounds) values.set(bounds, l * E)
    const buffer = this.buffer('lower bounds', values.byteLength)
    await this.write(buffer, 0, values)
    return buffer
  }

  /**
   * Matrices of the same shape, planes of one group; `stacked` planes lie one below the other in each tensor.
   * @param rows of one plane
   */
  private async matrices(
    names: BitLinearNames[],
    rows: number,
    columns: number,
    layer: number,
    stacked = 1,
  ): Promise<MatrixGroup> {
    const planes = names.length * stacked
    const rowBytes = rowWords(columns) * 4
    const scales = new Float32Array(4)
    for (const [i, name] of names.entries()) {
      scales.fill(await readScale(this.source, name.scale), i * stacked, (i + 1) * stacked)
    }
    const segments: MatrixSegment[] = []
    const mostRows = Math.floor(this.gpu.maximumBindingBytes / (planes * rowBytes))
    if (mostRows < 1) throw tooLargeRow(planes * rowBytes, this.gpu.maximumBindingBytes)
    for (let firstRow = 0; firstRow < rows; firstRow += mostRows) {
      const rowCount = Math.min(mostRows, rows - firstRow)
      const codes = await this.largeBuffer(names[0].weight, planes * rowCount * rowBytes)
      for (let plane = 0; plane < planes; plane++) {
        const name = names[Math.floor(plane / stacked)].weight
        const tensorRows = rows * stacked
        const tensorRow = (plane % stacked) * rows + firstRow
        await this.codes(name, tensorRows, tensorRow, rowCount, columns, codes, plane * rowCount * rowBytes)
      }
      const dispatch = this.dispatch(Uint32Array.of(firstRow, rowCount, layer, 0, ...new Uint32Array(scales.buffer)))
      segments.push({ firstRow, rowCount, codes, dispatch })
    }
    const inNorms = await this.norms(
      names.map(({ inNorm }) => inNorm),
      columns,
    )
    return { planes, rows, columns, segments, inNorms }
  }

  private async codes(
    name: string,
    tensorRows: number,
    firstRow: number,
    rowCount: number,
    columns: number,
    target: GPUBuffer,
    targetOffset: number,
  ): Promise<void> {
    const rowBytes = rowWords(columns) * 4
    const rowsAtOnce = Math.max(1, Math.floor(READ_BYTES / rowBytes))
    for (let row = 0; row < rowCount; row += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, rowCount - row)
      const bytes = await readCodeWords(this.source, name, tensorRows, firstRow + row, count, columns)
      await this.write(target, targetOffset + row * rowBytes, bytes)
    }
  }

  private async embedding(isHalf: boolean): Promise<EmbeddingSegment[]> {
    const { vocabularySize: V, hiddenSize: D } = this.source.config
    const name = MODEL_NAMES.embedding
    const rowBytes = D * (isHalf ? 2 : 4)
    // Two rows of an odd number of binary16 make whole words.
    const even = (rows: number): number => rows - (rows % 2)
    const mostRows = even(Math.floor(this.gpu.maximumBindingBytes / rowBytes))
    if (mostRows < 2) throw tooLargeRow(2 * rowBytes, this.gpu.maximumBindingBytes)
    const rowsAtOnce = Math.max(2, even(Math.floor(READ_BYTES / rowBytes)))
    const segments: EmbeddingSegment[] = []
    for (let firstRow = 0; firstRow < V; firstRow += mostRows) {
      const rowCount = Math.min(mostRows, V - firstRow)
      const rows = await this.largeBuffer(name, rowCount * rowBytes)
      for (let row = 0; row < rowCount; row += rowsAtOnce) {
        const count = Math.min(rowsAtOnce, rowCount - row)
        const data = isHalf
          ? await readHalfRows(this.source, name, firstRow + row, count, V, D)
          : await readFloatRows(this.source, name, firstRow + row, count, D)
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

const BLOCK_CODE_BYTES = 64

/**
 * Rows as the GPU wants them: TQ2_0 blocks without their scales. What is not plainly that (another type or shape, a code 3,
 * another scale) goes through `readTernaryRows`, which converts it or says what is wrong.
 */
async function readCodeWords(
  source: ModelSource,
  name: string,
  tensorRows: number,
  firstRow: number,
  rowCount: number,
  columns: number,
): Promise<Uint8Array> {
  const info = source.tensor(name)
  const storedRowBytes = ternaryRowBytes('TQ2_0', columns)
  if (info.type === 'TQ2_0' && info.shape.join() === `${tensorRows},${padded(columns)}`) {
    const stored = await source.readTensor(name, firstRow * storedRowBytes, rowCount * storedRowBytes)
    const words = withoutBlockScales(stored)
    if (words) return words
  }
  if (info.shape[0] !== tensorRows) {
    throw new EngineError('tensor-shape-mismatch', `Tensor "${name}" has an unexpected shape.`, {
      expected: `${tensorRows} rows`,
      actual: `[${info.shape.join(', ')}]`,
      remedy: 'The file is damaged or was not written by Tern: download it again, or convert the original checkpoint.',
    })
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
async function readHalfRows(
  source: ModelSource,
  name: string,
  firstRow: number,
  rowCount: number,
  totalRows: number,
  columns: number,
): Promise<Uint8Array> {
  if (source.tensor(name).shape.join() !== `${totalRows},${columns}`) {
    await readFloats(source, name, [totalRows, columns])
  }
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
