/**
 * What every backend uses to get numbers out of a model: floats as float32, ternary rows as codes. Shapes, types,
 * finiteness and block contents are checked here, once. Kernel layouts are the backends' own business.
 */
import { EngineError } from '../errors.ts'
import type { ModelSource, TensorInfo, TensorType } from '../model/source.ts'
import { elementCount } from '../model/tensors.ts'
import { checkShape, TYPES_OF_ROLE, wrongType } from './check-tensors.ts'
import { firstNotFinite, floatsOfBytes } from './floats.ts'
import { f16ToF32 } from './half.ts'
import { isTernaryType, paddedColumns, rowBytes } from './tensor-types.ts'
import { unpackTernaryRow } from './ternary-blocks.ts'

const REMEDY = 'The file is damaged or was not written by Tern: download it again, or convert the original checkpoint.'

/**
 * A whole F32, F16, BF16 or Q8_0 tensor as float32. F32 may share memory with what the source returned.
 * @throws EngineError `tensor-missing`, `tensor-shape-mismatch`, `tensor-type-unsupported`, `tensor-not-finite`
 */
export async function readFloats(source: ModelSource, name: string, expectedShape: number[]): Promise<Float32Array> {
  const info = source.tensor(name)
  checkShape(info, expectedShape)
  return decodeFloats(info.type, await source.readTensor(name), elementCount(expectedShape), name)
}

/**
 * Rows of a float matrix [N, K] (the embedding) as float32 [rowCount, K], owned by the caller.
 * @throws as readFloats; `invalid-argument` for rows outside the matrix
 */
export async function readFloatRows(
  source: ModelSource,
  name: string,
  firstRow: number,
  rowCount: number,
  columns: number,
): Promise<Float32Array> {
  const info = source.tensor(name)
  checkShape(info, [info.shape[0] ?? 0, columns])
  checkRows(info, firstRow, rowCount)
  const bytesPerRow = rowBytes(info.type, columns)
  const bytes = await source.readTensor(name, firstRow * bytesPerRow, rowCount * bytesPerRow)
  return decodeFloats(info.type, bytes, rowCount * columns, name)
}

/**
 * The absmean scale of a ternary matrix; multiplies.
 * @throws EngineError `tensor-missing`, `tensor-shape-mismatch`, `tensor-not-finite`; `format-invalid` when not above 0
 */
export async function readScale(source: ModelSource, name: string): Promise<number> {
  const scale = (await readFloats(source, name, [1]))[0]!
  if (scale > 0) return scale
  throw new EngineError('format-invalid', `The weight scale "${name}" is not positive.`, {
    expected: 'a number above 0',
    actual: String(scale),
    remedy: REMEDY,
  })
}

/**
 * Rows of a ternary matrix as codes -1, 0, +1, without padding: int8 [rowCount, columns], owned by the caller.
 * @param columns K, the true width of a row
 * @throws EngineError `tensor-missing`, `tensor-shape-mismatch`, `tensor-type-unsupported`, `format-invalid` (a block
 *   whose scale is not 1, or bytes that are no ternary codes), `invalid-argument` for rows outside the matrix
 */
export async function readTernaryRows(
  source: ModelSource,
  name: string,
  firstRow: number,
  rowCount: number,
  columns: number,
): Promise<Int8Array> {
  const info = source.tensor(name)
  const { type } = info
  if (!isTernaryType(type)) throw wrongType(info, TYPES_OF_ROLE.ternary)
  checkShape(info, [info.shape[0] ?? 0, paddedColumns(columns)])
  checkRows(info, firstRow, rowCount)
  const bytesPerRow = rowBytes(type, paddedColumns(columns))
  const bytes = await source.readTensor(name, firstRow * bytesPerRow, rowCount * bytesPerRow)
  const codes = new Int8Array(rowCount * columns)
  for (let row = 0; row < rowCount; row++) {
    unpackTernaryRow(type, bytes, row * bytesPerRow, columns, codes, row * columns, name)
  }
  return codes
}

/**
 * Float32 of stored elements. F32 bytes at an aligned address are used in place, not copied.
 * @throws EngineError `tensor-type-unsupported`, `tensor-not-finite`
 */
export function decodeFloats(type: TensorType, bytes: Uint8Array, count: number, name: string): Float32Array {
  if (isTernaryType(type)) throw wrongType({ name, type }, TYPES_OF_ROLE.embedding)
  const values = type === 'Q8_0' ? floatsOfQ8(bytes, count) : floatsOfBytes(type, bytes, count)
  const at = firstNotFinite(values)
  if (at >= 0) throw notFinite(name, values[at]!, at)
  return values
}

export const notFinite = (name: string, value: number, index: number): EngineError =>
  new EngineError('tensor-not-finite', `Tensor "${name}" holds a value that is not a finite number.`, {
    expected: 'finite numbers',
    actual: `${value} at element ${index}`,
    remedy: REMEDY,
  })

/** Blocks of 32: a binary16 scale, then 32 int8. */
function floatsOfQ8(bytes: Uint8Array, count: number): Float32Array {
  const values = new Float32Array(count)
  for (let block = 0, at = 0; block < count / 32; block++, at += 34) {
    const scale = f16ToF32(bytes[at]! | (bytes[at + 1]! << 8))
    for (let i = 0; i < 32; i++) values[32 * block + i] = scale * ((bytes[at + 2 + i]! << 24) >> 24)
  }
  return values
}

function checkRows(info: TensorInfo, firstRow: number, rowCount: number): void {
  if (firstRow >= 0 && rowCount >= 0 && firstRow + rowCount <= info.shape[0]!) return
  throw new EngineError('invalid-argument', `Rows outside tensor "${info.name}".`, {
    expected: `within ${info.shape[0]} rows`,
    actual: `${rowCount} from row ${firstRow}`,
  })
}
