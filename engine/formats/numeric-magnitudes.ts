/** Reads what a model's numeric envelope is computed from: norms and scales, and of the embedding only what its type allows. */
import type { ModelConfig } from '../model/config.ts'
import {
  type BitLinearMagnitudes,
  type BlockMagnitudes,
  type ModelMagnitudes,
  type NumericEnvelope,
  numericEnvelope,
} from '../model/numeric-domain.ts'
import type { ModelSource, TensorType } from '../model/source.ts'
import { EMBEDDING, headTensors, type LinearTensors, mapBlock, type NormTensor } from '../model/tensors.ts'
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
  const norm = async ({ name, width }: NormTensor) => largestOf(await readFloats(source, name, [width]))
  const bitLinear = async ({ scale, inNorm, columns }: LinearTensors): Promise<BitLinearMagnitudes> => ({
    scale: await readScale(source, scale),
    inNorm: await norm({ name: inNorm, width: columns }),
  })
  const { config } = source
  const blocks: BlockMagnitudes[] = []
  for (let layer = 0; layer < config.layerCount; layer++) blocks.push(await mapBlock(config, layer, norm, bitLinear))
  const { outputNorm, output } = headTensors(config)
  return {
    embedding: await embeddingMagnitude(source, config),
    blocks,
    outputNorm: await norm(outputNorm),
    output: await bitLinear(output),
  }
}

async function embeddingMagnitude(source: ModelSource, { vocabularySize, hiddenSize }: ModelConfig): Promise<number> {
  const known = MAX_OF_TYPE[source.tensor(EMBEDDING).type]
  if (known !== undefined) return known
  let largest = 0
  for (let row = 0; row < vocabularySize; row += ROWS_AT_ONCE) {
    const rows = Math.min(ROWS_AT_ONCE, vocabularySize - row)
    largest = Math.max(largest, largestOf(await readFloatRows(source, EMBEDDING, row, rows, hiddenSize)))
  }
  return largest
}

function largestOf(values: Float32Array): number {
  let largest = 0
  for (const value of values) largest = Math.max(largest, Math.abs(value))
  return largest
}
