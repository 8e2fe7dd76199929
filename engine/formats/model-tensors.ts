/**
 * Every tensor that a model of a given configuration has, in the order of a file, with its shape. Readers check a file
 * against this list; the writers follow it.
 */
import type { ModelConfig } from '../model/config.ts'
import { type BitLinearNames, blockNames, MODEL_NAMES } from '../model/tensor-names.ts'

export interface ModelTensor {
  name: string
  /** 'ternary': TQ1_0 or TQ2_0. 'embedding': F32, F16, BF16 or Q8_0. 'float': F32, F16 or BF16. */
  kind: 'ternary' | 'embedding' | 'float'
  /** True sizes, outermost first; ternary rows are stored padded to multiples of 256. */
  shape: number[]
  /** A weight scale: one number that belongs to a ternary matrix. */
  isScale: boolean
}

/** The tensors of one ternary matrix [N, K]: codes, absmean scale, norm weight of its inputs. */
function bitLinearTensors(names: BitLinearNames, rows: number, columns: number): ModelTensor[] {
  return [
    { name: names.weight, kind: 'ternary', shape: [rows, columns], isScale: false },
    { name: names.scale, kind: 'float', shape: [1], isScale: true },
    { name: names.inNorm, kind: 'float', shape: [columns], isScale: false },
  ]
}

const float = (name: string, ...shape: number[]): ModelTensor => ({ name, kind: 'float', shape, isScale: false })

/** All tensors of a model. Symbols as in ModelConfig. */
export function modelTensors(config: ModelConfig): ModelTensor[] {
  const { vocabularySize: V, hiddenSize: D, stateWidth: E, layerCount: L, intermediateSize: I } = config
  const tensors: ModelTensor[] = [{ name: MODEL_NAMES.embedding, kind: 'embedding', shape: [V, D], isScale: false }]
  if (config.useLowerBound) tensors.push(float(MODEL_NAMES.lowerBounds, L, D))
  for (let layer = 0; layer < L; layer++) {
    const names = blockNames(layer)
    tensors.push(
      float(names.mlgruNorm, D),
      float(names.mlgruOutNorm, E),
      float(names.gluNorm, D),
      ...bitLinearTensors(names.mlgruI, E, D),
      ...bitLinearTensors(names.mlgruF, E, D),
      ...bitLinearTensors(names.mlgruG, E, D),
      ...bitLinearTensors(names.mlgruO, D, E),
      ...bitLinearTensors(names.gluGateUp, 2 * I, D),
      ...bitLinearTensors(names.gluDown, D, I),
    )
  }
  tensors.push(float(MODEL_NAMES.outputNorm, D), ...bitLinearTensors(MODEL_NAMES.output, V, D))
  return tensors
}

export const elementCount = (shape: number[]): number => shape.reduce((product, size) => product * size, 1)
