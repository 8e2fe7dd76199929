/**
 * Holds a model's tensors against its configuration: presence, type and shape of each, from headers alone. Files are held
 * against it when they are opened, and every backend does so before it loads: what reads tensors may rely on it.
 */
import { EngineError } from '../errors.ts'
import type { ModelSource, TensorInfo, TensorType } from '../model/source.ts'
import { type TensorRole, tensorsOf } from '../model/tensors.ts'
import { isTernaryType, paddedColumns } from './tensor-types.ts'

const REMEDY = 'The file is damaged or was not written by Tern: download it again, or convert the original checkpoint.'

const FLOAT_TYPES: readonly TensorType[] = ['F32', 'F16', 'BF16']

/** What a tensor may be stored as. */
export const TYPES_OF_ROLE: Readonly<Record<TensorRole, readonly TensorType[]>> = {
  ternary: ['TQ1_0', 'TQ2_0'],
  embedding: [...FLOAT_TYPES, 'Q8_0'],
  lowerBounds: FLOAT_TYPES,
  norm: FLOAT_TYPES,
  inNorm: FLOAT_TYPES,
  scale: FLOAT_TYPES,
}

/** Sizes as stored: ternary rows are padded. */
export const storedShape = (type: TensorType, shape: number[]): number[] =>
  isTernaryType(type) ? [shape[0], paddedColumns(shape[1])] : shape

/**
 * Every tensor of the configuration must be there with its shape and a type that belongs there; others are left alone.
 * @throws EngineError `tensor-missing`, `tensor-type-unsupported`, `tensor-shape-mismatch`
 */
export function checkTensors({ config, tensor }: Pick<ModelSource, 'config' | 'tensor'>): void {
  for (const { name, role, shape } of tensorsOf(config)) {
    const info = tensor(name)
    if (!TYPES_OF_ROLE[role].includes(info.type)) throw wrongType(info, TYPES_OF_ROLE[role])
    checkShape(info, storedShape(info.type, shape))
  }
}

export const wrongType = (
  { name, type }: Pick<TensorInfo, 'name' | 'type'>,
  expected: readonly TensorType[],
): EngineError =>
  new EngineError('tensor-type-unsupported', `Tensor "${name}" is stored in a type that does not belong there.`, {
    expected: expected.join(', '),
    actual: type,
    remedy: REMEDY,
  })

/** Throws `tensor-shape-mismatch`; `expected` as stored. */
export function checkShape(info: Pick<TensorInfo, 'name' | 'shape'>, expected: readonly number[]): void {
  if (info.shape.join() === expected.join()) return
  throw new EngineError('tensor-shape-mismatch', `Tensor "${info.name}" does not fit the model's configuration.`, {
    expected: `[${expected.join(', ')}]`,
    actual: `[${info.shape.join(', ')}]`,
    remedy: REMEDY,
  })
}
