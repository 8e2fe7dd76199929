/** Reads what a model's numeric envelope is computed from: norms and scales, and of the embedding only what its type allows. */
import type { ModelConfig } from '../model/config.ts'
import {
  type BitLinearMagnitudes,
  type ModelMagnitudes,
  type NumericEnvelope,
  numericEnvelope,
} from '../model/numeric-domain.ts'
import type { ModelSource, TensorType } from '../model/source.ts'
import { type BitLinearNames, blockNames, MODEL_NAMES } from '../model/tensor-names.ts'
import { readFloatRows, readFloats, readScale } from './read-tensors.ts'

/** Types that cannot hold more than this, whatever is in the file; the others are read. */
const MAX_OF_TYPE: Partial<Record<TensorType, number>> = {
  F16: 65_504,
  // A binary16 scale times an int8.
  Q8_0: 65_504 * 128,
}
/** Of an embedding that has to be read. */
const ROWS_AT_ONCE = 1024

/** Throws `format-invalid` for a model outside the numeric domain, and what reading its tensors throws. */
export async function checkNumericDomain(source: ModelSource): Promise<NumericEnvelope> {
  return numericEnvelope(source.config, await readMagnitudes(source))
}

async function readMagnitudes(source: ModelSource): Promise<ModelMagnitudes> {
  const { hiddenSize: D, stateWidth: E, intermediateSize: I, layerCount } = source.config
  const norm = async (name: string, width: number) => largestOf(await readFloats(source, name, [width]))
  const bitLinear = async (names: BitLinearNames, width: number): Promise<BitLinearMagnitudes> => ({
    scale: await readScale(source, names.scale),
    inNorm: await norm(names.inNorm, width),
  })
  const blocks: ModelMagnitudes['blocks'] = []
  for (let layer = 0; layer < layerCount; layer++) {
    const names = blockNames(layer)
    blocks.push({
      mlgruNorm: await norm(names.mlgruNorm, D),
      mlgruI: await bitLinear(names.mlgruI, D),
      mlgruF: await bitLinear(names.mlgruF, D),
      mlgruG: await bitLinear(names.mlgruG, D),
      mlgruO: await bitLinear(names.mlgruO, E),
      mlgruOutNorm: await norm(names.mlgruOutNorm, E),
      gluNorm: await norm(names.gluNorm, D),
      gluGateUp: await bitLinear(names.gluGateUp, D),
      gluDown: await bitLinear(names.gluDown, I),
    })
  }
  return {
    embedding: await embeddingMagnitude(source, source.config),
    blocks,
    outputNorm: await norm(MODEL_NAMES.outputNorm, D),
    output: await bitLinear(MODEL_NAMES.output, D),
  }
}

async function embeddingMagnitude(source: ModelSource, { vocabularySize, hiddenSize }: ModelConfig): Promise<number> {
  const known = MAX_OF_TYPE[source.tensor(MODEL_NAMES.embedding).type]
  if (known !== undefined) return known
  let largest = 0
  for (let row = 0; row < vocabularySize; row += ROWS_AT_ONCE) {
    const rows = Math.min(ROWS_AT_ONCE, vocabularySize - row)
    largest = Math.max(largest, largestOf(await readFloatRows(source, MODEL_NAMES.embedding, row, rows, hiddenSize)))
  }
  return largest
}

function largestOf(values: Float32Array): number {
  let largest = 0
  for (const value of values) largest = Math.max(largest, Math.abs(value))
  return largest
}
