/** The lower bounds of a model's forget gates, read from its file. */
import { lowerBounds } from '../model/lower-bounds.ts'
import type { ModelSource } from '../model/source.ts'
import { LOWER_BOUNDS } from '../model/tensors.ts'
import { readFloats } from './read-tensors.ts'

/** [E] a layer; null: the layer has none. Throws `tensor-*`, `file-*`. */
export async function readLowerBounds(source: ModelSource): Promise<(Float32Array | null)[]> {
  const { useLowerBound, layerCount, stateWidth } = source.config
  const raw = useLowerBound ? await readFloats(source, LOWER_BOUNDS, [layerCount, stateWidth]) : null
  return lowerBounds(raw, layerCount, stateWidth)
}
