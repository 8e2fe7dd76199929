/**
 * The tensor types a model file may hold: their ids in GGUF, their blocks and sizes. Only types that a MatMul-free
 * model needs; a file with any other is refused.
 * Source: ggml.h (enum ggml_type) and ggml-common.h (block structs).
 */
import type { TensorType } from '../model/source.ts'

export interface TensorTypeLayout {
  ggmlId: number
  /** Elements of a row that are stored together. */
  blockElements: number
  blockBytes: number
}

export const TENSOR_TYPES: Record<TensorType, TensorTypeLayout> = {
  F32: { ggmlId: 0, blockElements: 1, blockBytes: 4 },
  F16: { ggmlId: 1, blockElements: 1, blockBytes: 2 },
  Q8_0: { ggmlId: 8, blockElements: 32, blockBytes: 34 },
  BF16: { ggmlId: 30, blockElements: 1, blockBytes: 2 },
  TQ1_0: { ggmlId: 34, blockElements: 256, blockBytes: 54 },
  TQ2_0: { ggmlId: 35, blockElements: 256, blockBytes: 66 },
}

export type TernaryType = 'TQ1_0' | 'TQ2_0'

export const isTernaryType = (type: TensorType): type is TernaryType => type === 'TQ1_0' || type === 'TQ2_0'

export const tensorTypeOfGgmlId = (id: number): TensorType | undefined =>
  (Object.keys(TENSOR_TYPES) as TensorType[]).find(type => TENSOR_TYPES[type].ggmlId === id)

/** Inputs of a ternary row as stored: the next multiple of 256. */
export const paddedColumns = (columns: number): number => 256 * Math.ceil(columns / 256)

/** Bytes of a row of K elements; K is a multiple of the type's block. */
export function rowBytes(type: TensorType, columns: number): number {
  const { blockElements, blockBytes } = TENSOR_TYPES[type]
  return (columns / blockElements) * blockBytes
}

/** Bytes of a tensor; its last dimension is a multiple of the type's block. */
export const tensorBytes = (type: TensorType, shape: number[]): number =>
  shape.slice(0, -1).reduce((product, size) => product * size, 1) * rowBytes(type, shape.at(-1) ?? 1)
