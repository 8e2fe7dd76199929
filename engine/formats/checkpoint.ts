/**
 * What the readers of checkpoint files have in common: named tensors whose elements come as float32.
 */
import { EngineError } from '../errors.ts'

export interface CheckpointTensor {
  readonly name: string
  /** F32, F16, BF16 and F64 can be read; others are only listed. */
  readonly dtype: string
  readonly shape: readonly number[]
}

export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, CheckpointTensor>
  /**
   * Elements `first` to `first + count` of a tensor, row-major, as float32; valid until the next call.
   * Throws `tensor-missing`, `tensor-type-unsupported`, `file-truncated`. Finiteness is the caller's to check.
   */
  readElements(name: string, first: number, count: number): Promise<Float32Array>
  close(): Promise<void>
}

export const missingInCheckpoint = (name: string): EngineError =>
  new EngineError('tensor-missing', `The checkpoint has no tensor "${name}".`, {
    remedy: 'The checkpoint is incomplete: download all of its files.',
  })

export const notFloat = (name: string, dtype: string): EngineError =>
  new EngineError('tensor-type-unsupported', `Tensor "${name}" is not stored as floats.`, {
    expected: 'float32, float16, bfloat16 or float64',
    actual: dtype.slice(0, 32),
    remedy: 'Use the original checkpoint, not a quantised one.',
  })
