/**
 * Reads a model into the shared memory: ternary rows in pieces through two staging areas, one of which is being read while
 * the other is repacked by a kernel into the layout of bitlinear-gemv.ts; the embedding straight to its place; everything
 * else as float32. At no time is there more than the finished layout and two pieces of the file in memory.
 */
import { cancelled, EngineError } from '../../errors.ts'
import { notFinite, readFloats, readScale } from '../../formats/read-tensors.ts'
import { isTernaryType, paddedColumns, rowBytes } from '../../formats/tensor-types.ts'
import { unpackTernaryRow } from '../../formats/ternary-blocks.ts'
import { lowerBounds } from '../../model/lower-bounds.ts'
import type { ModelSource, TensorInfo } from '../../model/source.ts'
import { type BitLinearNames, blockNames, MODEL_NAMES } from '../../model/tensor-names.ts'
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
  const { hiddenSize, stateWidth, intermediateSize, vocabularySize, layerCount, useLowerBound } = source.config
  const { buffer } = memory
  const bytes = new Uint8Array(buffer)
  const view = new DataView(buffer)
  /** Parts of large tensors, read in this order. */
  const pieces: Piece[] = []
  const place = (values: Float32Array): number => {
    const address = plan.weights.allocate(values.byteLength)
    new Float32Array(buffer, address, values.length).set(values)
    return address
  }
  const floats = async (name: string, length: number): Promise<number> =>
    place(await readFloats(source, name, [length]))

  /** Rows [firstRow, firstRow + rows) of a ternary tensor, read later; their address. */
  const ternary = (name: string, firstRow: number, rows: number, inputs: number): number => {
    const info = source.tensor(name)
    const { type } = info
    if (!isTernaryType(type)) throw wrongType(info, 'TQ1_0 or TQ2_0')
    const bytesPerRow = rowBytes(type, paddedColumns(inputs))
    const repack = type === 'TQ2_0' ? kernels.repackTq2 : kernels.repackTq1
    const address = plan.weights.allocate(matrixBytes(rows, inputs))
    const blockBytes = inputGroups(inputs) * 16
    const rowsPerPiece = Math.max(16, Math.floor(STAGING_BYTES / bytesPerRow / 16) * 16)
    for (let row = 0; row < rows; row += rowsPerPiece) {
      const count = Math.min(rowsPerPiece, rows - row)
      const raw = plan.scratch.staging[pieces.length % 2]
      const use = (piece: Uint8Array): void => {
        if (piece.buffer !== buffer) bytes.set(piece, raw)
        for (let r = 0; r < count; r += 16) {
          const out = address + ((row + r) / 16) * blockBytes
          const some = Math.min(16, count - r)
          if (repack(raw + r * bytesPerRow, some, inputs, plan.scratch.codes, out)) continue
          throw invalidRows(info, piece, r, some, bytesPerRow, inputs)
        }
      }
      pieces.push({ name, offset: (firstRow + row) * bytesPerRow, length: count * bytesPerRow, address: raw, use })
    }
    return address
  }
  const checkMatrix = (name: string, rows: number, inputs: number) =>
    checkShape(source.tensor(name), [rows, paddedColumns(inputs)])

  // The embedding, as it is.
  const embedding = source.tensor(MODEL_NAMES.embedding)
  checkShape(embedding, [vocabularySize, hiddenSize])
  const embeddingRowBytes = rowBytes(embedding.type, hiddenSize)
  const rowsPerPiece = Math.max(1, Math.floor(STAGING_BYTES / embeddingRowBytes))
  for (let row = 0; row < vocabularySize; row += rowsPerPiece) {
    const offset = row * embeddingRowBytes
    const length = Math.min(rowsPerPiece, vocabularySize - row) * embeddingRowBytes
    const address = plan.embeddingAddress + offset
    const use = (piece: Uint8Array): void => {
      if (piece.buffer !== buffer) bytes.set(piece, address)
      if (kernels.embeddingIsFinite(address, length, embeddingType(embedding.type)) !== 0) return
      throw notFinite(embedding.name, Number.NaN, row * hiddenSize)
    }
    pieces.push({ name: embedding.name, offset, length, address, use })
  }

  const bounds = lowerBounds(
    useLowerBound ? await readFloats(source, MODEL_NAMES.lowerBounds, [layerCount, stateWidth]) : null,
    layerCount,
    stateWidth,
  )
  for (let l = 0; l < layerCount; l++) {
    const names = blockNames(l)
    const record = plan.layerRecords + l * layout.LAYER_RECORD_BYTES
    const word = (at: number, value: number) => view.setUint32(record + at, value, true)
    const scale = async (at: number, { scale: name }: BitLinearNames) =>
      view.setFloat32(record + at, await readScale(source, name), true)

    word(layout.LAYER_MLGRU_NORM, await floats(names.mlgruNorm, hiddenSize))
    word(layout.LAYER_I_IN_NORM, await floats(names.mlgruI.inNorm, hiddenSize))
    word(layout.LAYER_F_IN_NORM, await floats(names.mlgruF.inNorm, hiddenSize))
    word(layout.LAYER_G_IN_NORM, await floats(names.mlgruG.inNorm, hiddenSize))
    word(layout.LAYER_OUT_NORM, await floats(names.mlgruOutNorm, stateWidth))
    word(layout.LAYER_O_IN_NORM, await floats(names.mlgruO.inNorm, stateWidth))
    word(layout.LAYER_GLU_NORM, await floats(names.gluNorm, hiddenSize))
    word(layout.LAYER_GATE_UP_IN_NORM, await floats(names.gluGateUp.inNorm, hiddenSize))
    word(layout.LAYER_DOWN_IN_NORM, await floats(names.gluDown.inNorm, intermediateSize))
    const bound = bounds[l]
    word(layout.LAYER_LOWER_BOUND, bound ? place(bound) : 0)

    for (const { weight } of [names.mlgruI, names.mlgruF, names.mlgruG]) checkMatrix(weight, stateWidth, hiddenSize)
    checkMatrix(names.mlgruO.weight, hiddenSize, stateWidth)
    checkMatrix(names.gluGateUp.weight, 2 * intermediateSize, hiddenSize)
    checkMatrix(names.gluDown.weight, hiddenSize, intermediateSize)
    word(layout.LAYER_I_WEIGHT, ternary(names.mlgruI.weight, 0, stateWidth, hiddenSize))
    word(layout.LAYER_F_WEIGHT, ternary(names.mlgruF.weight, 0, stateWidth, hiddenSize))
    word(layout.LAYER_G_WEIGHT, ternary(names.mlgruG.weight, 0, stateWidth, hiddenSize))
    word(layout.LAYER_O_WEIGHT, ternary(names.mlgruO.weight, 0, hiddenSize, stateWidth))
    const gateUp = names.gluGateUp.weight
    word(layout.LAYER_GATE_WEIGHT, ternary(gateUp, 0, intermediateSize, hiddenSize))
    word(layout.LAYER_UP_WEIGHT, ternary(gateUp, intermediateSize, intermediateSize, hiddenSize))
    word(layout.LAYER_DOWN_WEIGHT, ternary(names.gluDown.weight, 0, hiddenSize, intermediateSize))
    await scale(layout.LAYER_I_SCALE, names.mlgruI)
    await scale(layout.LAYER_F_SCALE, names.mlgruF)
    await scale(layout.LAYER_G_SCALE, names.mlgruG)
    await scale(layout.LAYER_O_SCALE, names.mlgruO)
    await scale(layout.LAYER_GATE_UP_SCALE, names.gluGateUp)
    await scale(layout.LAYER_DOWN_SCALE, names.gluDown)
  }

  const { output } = MODEL_NAMES
  checkMatrix(output.weight, vocabularySize, hiddenSize)
  view.setUint32(layout.MODEL_OUTPUT_NORM, await floats(MODEL_NAMES.outputNorm, hiddenSize), true)
  view.setUint32(layout.MODEL_OUTPUT_IN_NORM, await floats(output.inNorm, hiddenSize), true)
  view.setUint32(layout.MODEL_OUTPUT_WEIGHT, ternary(output.weight, 0, vocabularySize, hiddenSize), true)
  view.setFloat32(layout.MODEL_OUTPUT_SCALE, await readScale(source, output.scale), true)

  await readPieces(source, pieces, buffer, options)
  // Nothing of the file stays behind in scratch.
  bytes.fill(0, plan.scratch.start, plan.scratch.start + plan.scratch.bytes)
  options.onProgress?.(1)
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

function checkShape(info: TensorInfo, shape: number[]): void {
  if (info.shape.length === shape.length && info.shape.every((size, axis) => size === shape[axis])) return
  throw new EngineError('tensor-shape-mismatch', `Tensor "${info.name}" has a shape that does not fit the model.`, {
    expected: `[${shape.join(', ')}]`,
    actual: `[${info.shape.join(', ')}]`,
    remedy: 'The file is damaged or was not written by Tern: download it again, or convert the original checkpoint.',
  })
}

const wrongType = (info: TensorInfo, expected: string): EngineError =>
  new EngineError('tensor-type-unsupported', `Tensor "${info.name}" is stored as ${info.type}.`, {
    expected,
    actual: info.type,
    remedy: 'Convert the original checkpoint again with this version of Tern.',
  })

/** The kernel has found something wrong in these rows: the slow unpacking says what. */
function invalidRows(
  info: TensorInfo,
  piece: Uint8Array,
  firstRow: number,
  rows: number,
  bytesPerRow: number,
  inputs: number,
): EngineError {
  const codes = new Int8Array(inputs)
  try {
    for (let row = firstRow; row < firstRow + rows; row++) {
      unpackTernaryRow(info.type as 'TQ1_0' | 'TQ2_0', piece, row * bytesPerRow, inputs, codes, 0, info.name)
    }
  } catch (error) {
    if (error instanceof EngineError) return error
    throw error
  }
  return new EngineError('format-invalid', `Tensor "${info.name}" holds bytes that are no ternary weights.`)
}
