/** A part of a model as a model: its first layers, or none, between its embedding and its head. */
import type { ModelSource } from './source.ts'

/** The model cut after its first layers: every size but the layer count is its own. */
export const firstLayers = (source: ModelSource, layerCount: number): ModelSource => ({
  config: {
    ...source.config,
    layerCount: Math.min(layerCount, source.config.layerCount),
    // The bounds are stored for all layers at once; without them a step does the same work.
    useLowerBound: false,
  },
  name: source.name,
  byteLength: source.byteLength,
  tensors: () => source.tensors(),
  tensor: name => source.tensor(name),
  readTensor: (name, offset, length) => source.readTensor(name, offset, length),
})
