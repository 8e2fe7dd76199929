/** The metadata keys of a model file that follow from its configuration. See docs/model-format.md. */
import type { ModelConfig } from '../model/config.ts'
import { GGUF_ARCHITECTURE } from './gguf.ts'
import type { GgufEntry } from './gguf-writer.ts'
import { elementCount, modelTensors } from './model-tensors.ts'
import type { TernaryType } from './tensor-types.ts'

/** ggml's file types "mostly TQ1_0" and "mostly TQ2_0". */
const FILE_TYPE: Record<TernaryType, number> = { TQ1_0: 36, TQ2_0: 37 }

export function modelMetadata(config: ModelConfig, name: string, packing: TernaryType): GgufEntry[] {
  const own = (key: string, value: number): GgufEntry => ({ key: `hgrn_bit.${key}`, type: 'uint32', value })
  const expandRatio = config.stateWidth / config.hiddenSize
  return [
    { key: 'general.architecture', type: 'string', value: GGUF_ARCHITECTURE },
    { key: 'general.name', type: 'string', value: name },
    { key: 'general.size_label', type: 'string', value: sizeLabel(config) },
    own('block_count', config.layerCount),
    own('context_length', config.trainingContextLength),
    own('embedding_length', config.hiddenSize),
    own('feed_forward_length', config.intermediateSize),
    own('vocab_size', config.vocabularySize),
    { key: 'hgrn_bit.attention.layer_norm_rms_epsilon', type: 'float32', value: config.rmsNormEpsilon },
    Number.isInteger(expandRatio)
      ? own('expand_ratio', expandRatio)
      : { key: 'hgrn_bit.expand_ratio', type: 'float64', value: expandRatio },
    { key: 'hgrn_bit.use_lower_bound', type: 'bool', value: config.useLowerBound },
    { key: 'general.file_type', type: 'uint32', value: FILE_TYPE[packing] },
  ]
}

/** "98M", "1.4B": all weights, without scales. */
function sizeLabel(config: ModelConfig): string {
  const count = modelTensors(config).reduce((sum, { shape, isScale }) => sum + (isScale ? 0 : elementCount(shape)), 0)
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)}B`
  return count >= 1e6 ? `${Math.round(count / 1e6)}M` : `${Math.max(1, Math.round(count / 1e3))}K`
}
