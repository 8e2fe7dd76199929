/** Reads a model into plain arrays: every float as float32, every ternary code as one int8. Large and simple. */

import { cancelled } from '../../errors.ts'
import { checkTensors } from '../../formats/check-tensors.ts'
import { readLowerBounds } from '../../formats/read-lower-bounds.ts'
import { readFloats, readScale, readTernaryRows } from '../../formats/read-tensors.ts'
import type { ModelConfig } from '../../model/config.ts'
import type { BlockWeights, ModelWeights } from '../../model/forward.ts'
import type { ModelSource } from '../../model/source.ts'
import { EMBEDDING, headTensors, type LinearTensors, mapBlock, type NormTensor, sizeOf } from '../../model/tensors.ts'
import type { LoadOptions } from '../backend.ts'
import type { BitLinearWeights } from '../ops.ts'

/** Throws `tensor-*`, `file-*`, `cancelled` (between tensors). */
export async function readWeights(source: ModelSource, options: LoadOptions = {}): Promise<ModelWeights> {
  checkTensors(source)
  const { config } = source
  const { layerCount } = config
  const progress = (fraction: number): void => {
    if (options.signal?.aborted) throw cancelled()
    options.onProgress?.(fraction)
  }
  const bitLinear = async ({
    weight,
    scale,
    inNorm,
    rows,
    columns,
    planes,
  }: LinearTensors): Promise<BitLinearWeights> => ({
    matrix: {
      rows: planes * rows,
      columns,
      codes: await readTernaryRows(source, weight, 0, planes * rows, columns),
      scale: await readScale(source, scale),
    },
    inNorm: await readFloats(source, inNorm, [columns]),
  })
  const norm = ({ name, width }: NormTensor) => readFloats(source, name, [width])

  progress(0)
  const embedding = await readFloats(source, EMBEDDING, [config.vocabularySize, config.hiddenSize])
  const bounds = await readLowerBounds(source)
  const blocks: BlockWeights[] = []
  for (let l = 0; l < layerCount; l++) {
    progress((l + 1) / (layerCount + 2))
    blocks.push({ ...(await mapBlock(config, l, norm, bitLinear)), lowerBound: bounds[l] })
  }
  progress((layerCount + 1) / (layerCount + 2))
  const { outputNorm, output } = headTensors(config)
  const weights = { embedding, blocks, outputNorm: await norm(outputNorm), output: await bitLinear(output) }
  progress(1)
  return weights
}

/** Bytes that the plain arrays of `readWeights` take. */
export const weightBytesOf = (config: ModelConfig): number =>
  sizeOf(config, {
    embedding: (rows, columns) => rows * columns * 4,
    norm: width => width * 4,
    ternary: (rows, columns) => rows * columns,
    // The first layer has none.
    lowerBounds: ({ useLowerBound, layerCount, stateWidth }) => (useLowerBound ? (layerCount - 1) * stateWidth * 4 : 0),
    block: 0,
    rest: 0,
  })
