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

/** `found`: the names that are there. */
export function missingInCheckpoint(name: string, found: Iterable<string> = []): EngineError {
  const names = [...found]
  const example = names.find(other => other.includes('layers')) ?? names[0]
  return new EngineError('tensor-missing', `The checkpoint has no tensor "${name}".`, {
    ...(example === undefined ? {} : { actual: `${names.length} tensors, such as "${example.slice(0, 128)}"` }),
    remedy:
      example?.endsWith(name) === true || example === undefined || name.split('.')[0] === example.split('.')[0]
        ? 'The checkpoint is incomplete: download all of its files.'
        : 'Its tensors have other names than those of a MatMul-free model: use the original checkpoint.',
  })
}

/** What wrappers of training put before every name, or before those of a part: torch.compile, data-parallel, FSDP. */
const WRAPPERS = /(^|\.)(?:(?:_orig_mod|_fsdp_wrapped_module|_forward_module|_checkpoint_wrapped_module)\.)+/g
const LEADING = /^(?:(?:module|model|state_dict)\.)+(?=model\.|lm_head\.)/

/** The same checkpoint under the names that its tensors had before training wrapped them. */
export function withPlainNames(checkpoint: Checkpoint): Checkpoint {
  const nameInFile = new Map<string, string>()
  for (const name of checkpoint.tensors.keys()) {
    const plain = name.replaceAll(WRAPPERS, '$1').replace(LEADING, '')
    // Two that would become one stay as they are.
    nameInFile.set(nameInFile.has(plain) ? name : plain, name)
  }
  const tensors = new Map<string, CheckpointTensor>()
  for (const [plain, name] of nameInFile) tensors.set(plain, checkpoint.tensors.get(name)!)
  return {
    tensors,
    readElements: (name, first, count) => checkpoint.readElements(nameInFile.get(name) ?? name, first, count),
    close: () => checkpoint.close(),
  }
}

export const notFloat = (name: string, dtype: string): EngineError =>
  new EngineError('tensor-type-unsupported', `Tensor "${name}" is not stored as floats.`, {
    expected: 'float32, float16, bfloat16 or float64',
    actual: dtype.slice(0, 32),
    remedy: 'Use the original checkpoint, not a quantised one.',
  })
