/**
 * Reads a model into the shared memory: ternary rows in pieces through two staging areas, one of which is being read while
 * the other is repacked by a kernel into the layout of bitlinear-gemv.ts; the embedding straight to its place; everything
 * else as float32. At no time is there more than the finished layout and two pieces of the file in memory.
 */
import { cancelled, EngineError } from '../../errors.ts'
import { readLowerBounds } from '../../formats/read-lower-bounds.ts'
import { notFinite, readFloats, readScale } from '../../formats/read-tensors.ts'
import { paddedColumns, rowBytes, type TernaryType } from '../../formats/tensor-types.ts'
import { unpackTernaryRow } from '../../formats/ternary-blocks.ts'
import type { ModelSource } from '../../model/source.ts'
import {
  BLOCK_LINEARS,
  BLOCK_NORMS,
  type BlockLinearKey,
  type BlockNormKey,
  blockTensors,
  EMBEDDING,
  headTensors,
  type LinearTensors,
  type NormTensor,
} from '../../model/tensors.ts'
import type { LoadOptions } from '../backend.ts'
import * as layout from './kernels/memory-layout.ts'
import { inputGroups, type KernelExports, matrixBytes } from './kernels.ts'
import { embeddingType, type ModelMemory, STAGING_BYTES } from './model-memory.ts'

/** Fills `memory` by `plan`. Throws `tensor-*`, `format-invalid`, `file-*`, `cancelled` (between pieces). */
export async function loadWeights(
  source: ModelSource,
  memory: WebAssembly.Memory,
  kernels: KernelExports,
  plan: ModelMemory,
  options: LoadOptions,
): Promise<void> {
  const places = new WeightPlaces(source, memory, kernels, plan)
  const { config } = source
  places.addEmbedding()
  const bounds = await readLowerBounds(source)
  for (let l = 0; l < config.layerCount; l++) {
    const record = plan.layerRecords + l * layout.LAYER_RECORD_BYTES
    const tensors = blockTensors(config, l)
    for (const key of BLOCK_NORMS) await places.addNorm(tensors[key], record + NORM_FIELDS[key])
    for (const key of BLOCK_LINEARS) await places.addLinear(tensors[key], record, LINEAR_FIELDS[key])
    places.addLowerBound(bounds[l], record + layout.LAYER_LOWER_BOUND)
  }
  const { outputNorm, output } = headTensors(config)
  await places.addNorm(outputNorm, layout.MODEL_OUTPUT_NORM)
  await places.addLinear(output, 0, OUTPUT_FIELDS)

  await readPieces(source, places.pieces, memory.buffer, options)
  // Nothing of the file stays behind in scratch.
  new Uint8Array(memory.buffer).fill(0, plan.scratch.start, plan.scratch.start + plan.scratch.bytes)
  options.onProgress?.(1)
}

/** Where the kernels look for the parts of a matrix, in bytes from a layer's record or the header. */
interface LinearFields {
  inNorm: number
  scale: number
  /** One a plane. */
  weights: readonly number[]
}

const NORM_FIELDS: Readonly<Record<BlockNormKey, number>> = {
  mlgruNorm: layout.LAYER_MLGRU_NORM,
  mlgruOutNorm: layout.LAYER_OUT_NORM,
  gluNorm: layout.LAYER_GLU_NORM,
}
const LINEAR_FIELDS: Readonly<Record<BlockLinearKey, LinearFields>> = {
  mlgruI: { inNorm: layout.LAYER_I_IN_NORM, scale: layout.LAYER_I_SCALE, weights: [layout.LAYER_I_WEIGHT] },
  mlgruF: { inNorm: layout.LAYER_F_IN_NORM, scale: layout.LAYER_F_SCALE, weights: [layout.LAYER_F_WEIGHT] },
  mlgruG: { inNorm: layout.LAYER_G_IN_NORM, scale: layout.LAYER_G_SCALE, weights: [layout.LAYER_G_WEIGHT] },
  mlgruO: { inNorm: layout.LAYER_O_IN_NORM, scale: layout.LAYER_O_SCALE, weights: [layout.LAYER_O_WEIGHT] },
  gluGateUp: {
    inNorm: layout.LAYER_GATE_UP_IN_NORM,
    scale: layout.LAYER_GATE_UP_SCALE,
    weights: [layout.LAYER_GATE_WEIGHT, layout.LAYER_UP_WEIGHT],
  },
  gluDown: { inNorm: layout.LAYER_DOWN_IN_NORM, scale: layout.LAYER_DOWN_SCALE, weights: [layout.LAYER_DOWN_WEIGHT] },
}
const OUTPUT_FIELDS: LinearFields = {
  inNorm: layout.MODEL_OUTPUT_IN_NORM,
  scale: layout.MODEL_OUTPUT_SCALE,
  weights: [layout.MODEL_OUTPUT_WEIGHT],
}

/** Gives every tensor its place and writes its address into a record. Small ones are read at once, large ones as `pieces`. */
class WeightPlaces {
  /** Parts of large tensors, to be read in this order. */
  readonly pieces: Piece[] = []
  private readonly source: ModelSource
  private readonly bytes: Uint8Array
  private readonly view: DataView
  private readonly kernels: KernelExports
  private readonly plan: ModelMemory

  constructor(source: ModelSource, { buffer }: WebAssembly.Memory, kernels: KernelExports, plan: ModelMemory) {
    this.source = source
    this.bytes = new Uint8Array(buffer)
    this.view = new DataView(buffer)
    this.kernels = kernels
    this.plan = plan
  }

  async addNorm({ name, width }: NormTensor, field: number): Promise<void> {
    this.word(field, this.place(await readFloats(this.source, name, [width])))
  }

  async addLinear(tensors: LinearTensors, record: number, { inNorm, scale, weights }: LinearFields): Promise<void> {
    await this.addNorm({ name: tensors.inNorm, width: tensors.columns }, record + inNorm)
    this.view.setFloat32(record + scale, await readScale(this.source, tensors.scale), true)
    for (const [plane, field] of weights.entries()) this.word(record + field, this.addPlane(tensors, plane))
  }

  /** null: the layer has none. */
  addLowerBound(bound: Float32Array | null, field: number): void {
    this.word(field, bound === null ? 0 : this.place(bound))
  }

  /** The embedding, as it is. */
  addEmbedding(): void {
    const { bytes, kernels, plan } = this
    const { vocabularySize, hiddenSize } = this.source.config
    const { type } = this.source.tensor(EMBEDDING)
    const rowsPerPiece = Math.max(1, Math.floor(STAGING_BYTES / plan.embeddingRowBytes))
    for (let row = 0; row < vocabularySize; row += rowsPerPiece) {
      const offset = row * plan.embeddingRowBytes
      const length = Math.min(rowsPerPiece, vocabularySize - row) * plan.embeddingRowBytes
      const address = plan.embeddingAddress + offset
      const use = (piece: Uint8Array): void => {
        if (piece.buffer !== bytes.buffer) bytes.set(piece, address)
        if (kernels.embeddingIsFinite(address, length, embeddingType(type)) !== 0) return
        throw notFinite(EMBEDDING, Number.NaN, row * hiddenSize)
      }
      this.pieces.push({ name: EMBEDDING, offset, length, address, use })
    }
  }

  /** Rows of a ternary tensor, read later; their address. */
  private addPlane({ weight: name, rows, columns }: LinearTensors, plane: number): number {
    const { bytes, kernels, plan } = this
    const type = this.source.tensor(name).type as TernaryType
    const bytesPerRow = rowBytes(type, paddedColumns(columns))
    const repack = type === 'TQ2_0' ? kernels.repackTq2 : kernels.repackTq1
    const address = plan.weights.allocate(matrixBytes(rows, columns))
    const blockBytes = inputGroups(columns) * 16
    const rowsPerPiece = Math.max(16, Math.floor(STAGING_BYTES / bytesPerRow / 16) * 16)
    for (let row = 0; row < rows; row += rowsPerPiece) {
      const count = Math.min(rowsPerPiece, rows - row)
      const raw = plan.scratch.staging[this.pieces.length % 2]
      const use = (piece: Uint8Array): void => {
        if (piece.buffer !== bytes.buffer) bytes.set(piece, raw)
        for (let r = 0; r < count; r += 16) {
          const out = address + ((row + r) / 16) * blockBytes
          const some = Math.min(16, count - r)
          if (repack(raw + r * bytesPerRow, some, columns, plan.scratch.codes, out)) continue
          throw invalidRows({ name, type }, piece.subarray(r * bytesPerRow, (r + some) * bytesPerRow), columns)
        }
      }
      this.pieces.push({
        name,
        offset: (plane * rows + row) * bytesPerRow,
        length: count * bytesPerRow,
        address: raw,
        use,
      })
    }
    return address
  }

  private place(values: Float32Array): number {
    const address = this.plan.weights.allocate(values.byteLength)
    new Float32Array(this.view.buffer, address, values.length).set(values)
    return address
  }

  private word(at: number, value: number): void {
    this.view.setUint32(at, value, true)
  }
}

/** A part of a tensor: read to `address` where the source can, then used. */
interface Piece {
  name: string
  offset: number
  length: number
  address: number
  use(bytes: Uint8Array): void
}

/** Uses the pieces in order; while one is used, the next is being read. */
async function readPieces(
  source: ModelSource,
  pieces: readonly Piece[],
  buffer: ArrayBufferLike,
  { signal, onProgress }: LoadOptions,
): Promise<void> {
  const totalBytes = pieces.reduce((sum, { length }) => sum + length, 0)
  let bytesDone = 0
  const read = (index: number): Promise<Uint8Array> | null => {
    if (index >= pieces.length) return null
    const { name, offset, length, address } = pieces[index]
    return source.readTensor(name, offset, length, new Uint8Array(buffer, address, length))
  }
  let reading = read(0)
  try {
    for (const [index, piece] of pieces.entries()) {
      if (signal?.aborted) throw cancelled()
      const bytes = await reading!
      reading = read(index + 1)
      piece.use(bytes)
      bytesDone += piece.length
      onProgress?.(bytesDone / totalBytes)
    }
  } finally {
    // After an error: the file may be closed and the memory dropped only when nobody reads any more.
    await Promise.allSettled([reading])
  }
}

/** The kernel has found something wrong in these rows: the slow unpacking says what. */
function invalidRows(
  { name, type }: { name: string; type: TernaryType },
  rows: Uint8Array,
  columns: number,
): EngineError {
  const codes = new Int8Array(columns)
  const bytesPerRow = rowBytes(type, paddedColumns(columns))
  try {
    for (let at = 0; at < rows.length; at += bytesPerRow) {
      unpackTernaryRow(type, rows, at, columns, codes, 0, name)
    }
  } catch (error) {
    if (error instanceof EngineError) return error
    throw error
  }
  return new EngineError('format-invalid', `Tensor "${name}" holds bytes that are no ternary weights.`)
}
