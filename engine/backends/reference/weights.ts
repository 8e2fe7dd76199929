/** Reads a model into plain arrays: every float as float32, every ternary code as one int8. Large and simple. */

import { cancelled } from '../../errors.ts'
import { readFloats, readScale, readTernaryRows } from '../../formats/read-tensors.ts'
import type { BlockWeights, ModelWeights } from '../../model/forward.ts'
import { lowerBounds } from '../../model/lower-bounds.ts'
import type { ModelSource } from '../../model/source.ts'
import { type BitLinearNames, blockNames, MODEL_NAMES } from '../../model/tensor-names.ts'
import type { LoadOptions } from '../backend.ts'
import type { BitLinearWeights } from '../ops.ts'

/** Throws `tensor-*`, `file-*`, `cancelled` (between tensors). */
export async function readWeights(source: ModelSource, options: LoadOptions = {}): Promise<ModelWeights> {
  const { vocabularySize, hiddenSize, stateWidth, layerCount, intermediateSize, useLowerBound } = source.config
  const progress = (fraction: number): void => {
    if (options.signal?.aborted) throw cancelled()
    options.onProgress?.(fraction)
  }
  const bitLinear = async (names: BitLinearNames, rows: number, columns: number): Promise<BitLinearWeights> => ({
    matrix: {
      rows,
      columns,
      codes: await readTernaryRows(source, names.weight, 0, rows, columns),
      scale: await readScale(source, names.scale),
    },
    inNorm: await readFloats(source, names.inNorm, [columns]),
  })

  progress(0)
  const embedding = await readFloats(source, MODEL_NAMES.embedding, [vocabularySize, hiddenSize])
  const rawBounds = useLowerBound ? await readFloats(source, MODEL_NAMES.lowerBounds, [layerCount, stateWidth]) : null
  const bounds = lowerBounds(rawBounds, layerCount, stateWidth)
  const blocks: BlockWeights[] = []
  for (let l = 0; l < layerCount; l++) {
    progress((l + 1) / (layerCount + 2))
    const names = blockNames(l)
    blocks.push({
      mlgruNorm: await readFloats(source, names.mlgruNorm, [hiddenSize]),
      mlgruI: await bitLinear(names.mlgruI, stateWidth, hiddenSize),
      mlgruF: await bitLinear(names.mlgruF, stateWidth, hiddenSize),
      mlgruG: await bitLinear(names.mlgruG, stateWidth, hiddenSize),
      mlgruO: await bitLinear(names.mlgruO, hiddenSize, stateWidth),
      mlgruOutNorm: await readFloats(source, names.mlgruOutNorm, [stateWidth]),
      lowerBound: bounds[l],
      gluNorm: await readFloats(source, names.gluNorm, [hiddenSize]),
      gluGateUp: await bitLinear(names.gluGateUp, 2 * intermediateSize, hiddenSize),
      gluDown: await bitLinear(names.gluDown, hiddenSize, intermediateSize),
    })
  }
  progress((layerCount + 1) / (layerCount + 2))
  const weights = {
    embedding,
    blocks,
    outputNorm: await readFloats(source, MODEL_NAMES.outputNorm, [hiddenSize]),
    output: await bitLinear(MODEL_NAMES.output, vocabularySize, hiddenSize),
  }
  progress(1)
  return weights
}

/** Bytes that the plain arrays take. */
export function weightBytes(weights: ModelWeights): number {
  const bitLinear = ({ matrix, inNorm }: BitLinearWeights): number => matrix.codes.byteLength + inNorm.byteLength
  let bytes = weights.embedding.byteLength + weights.outputNorm.byteLength + bitLinear(weights.output)
  for (const b of weights.blocks) {
    bytes += b.mlgruNorm.byteLength + b.mlgruOutNorm.byteLength + b.gluNorm.byteLength + (b.lowerBound?.byteLength ?? 0)
    for (const linear of [b.mlgruI, b.mlgruF, b.mlgruG, b.mlgruO, b.gluGateUp, b.gluDown]) bytes += bitLinear(linear)
  }
  return bytes
}
