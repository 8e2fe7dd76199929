/** A small model with random weights, in memory: everything a backend and the engine's facade need of a file. */

import { storedShape } from '../../engine/formats/check-tensors.ts'
import { bytesOfFloats } from '../../engine/formats/floats.ts'
import type { GgufModel } from '../../engine/formats/gguf.ts'
import { f32ToF16 } from '../../engine/formats/half.ts'
import type { TernaryType } from '../../engine/formats/tensor-types.ts'
import { packTernaryRow, ternaryRowBytes } from '../../engine/formats/ternary-blocks.ts'
import type { ModelConfig } from '../../engine/model/config.ts'
import type { TensorInfo } from '../../engine/model/source.ts'
import { elementCount, tensorsOf } from '../../engine/model/tensors.ts'
import { createRandom, normal, wholeBelow } from '../../engine/seeded-random.ts'

/** Sizes that no vector width divides. */
export const SMALL_CONFIG: ModelConfig = {
  vocabularySize: 97,
  hiddenSize: 33,
  stateWidth: 33,
  layerCount: 3,
  intermediateSize: 51,
  rmsNormEpsilon: 1e-6,
  useLowerBound: true,
  trainingContextLength: 128,
  bosTokenId: 1,
  eosTokenIds: [2],
}

export interface RandomModelOptions {
  seed: number
  config?: Partial<ModelConfig>
  tokenizerJson?: string
  chatTemplate?: string
  /** How matrices and the embedding are stored. TQ2_0 and F32 by default. */
  packing?: TernaryType
  embeddingType?: 'F32' | 'F16' | 'BF16' | 'Q8_0'
}

export function randomModel(options: RandomModelOptions): GgufModel {
  const { seed, config: changes, tokenizerJson, chatTemplate, packing = 'TQ2_0', embeddingType = 'F32' } = options
  const config = { ...SMALL_CONFIG, ...changes }
  const random = createRandom(seed)
  const stored = new Map<string, { info: TensorInfo; bytes: Uint8Array }>()
  for (const { name, role, shape } of tensorsOf(config)) {
    if (role === 'ternary') {
      const [rows, columns] = shape
      const rowBytes = ternaryRowBytes(packing, columns)
      const bytes = new Uint8Array(rows * rowBytes)
      const codes = Int8Array.from({ length: rows * columns }, () => wholeBelow(random, 3) - 1)
      for (let n = 0; n < rows; n++) packTernaryRow(packing, codes, n * columns, columns, bytes, n * rowBytes)
      const info: TensorInfo = { name, type: packing, shape: storedShape(packing, shape), byteLength: bytes.length }
      stored.set(name, { info, bytes })
      continue
    }
    const isCentred = role === 'embedding' || role === 'lowerBounds'
    const values = Float32Array.from({ length: elementCount(shape) }, () =>
      isCentred ? normal(random) : 0.5 + random(),
    )
    const type = role === 'embedding' ? embeddingType : 'F32'
    const bytes = type === 'Q8_0' ? q8Bytes(values, shape[1]) : bytesOfFloats(type, values)
    stored.set(name, { info: { name, type, shape, byteLength: bytes.length }, bytes })
  }
  return {
    config,
    name: `random-${seed}`,
    byteLength: [...stored.values()].reduce((total, { bytes }) => total + bytes.length, 0),
    tensors: () => [...stored.values()].map(({ info }) => info),
    tensor: name => stored.get(name)!.info,
    readTensor: async (name, offset = 0, length) => {
      const { bytes } = stored.get(name)!
      return bytes.slice(offset, length === undefined ? undefined : offset + length)
    },
    metadata: new Map(),
    tokenizerJson: tokenizerJson ?? null,
    chatTemplate: chatTemplate ?? null,
    license: null,
    description: null,
    parameterCount: 0,
    ternaryParameterCount: 0,
    packing,
    embeddingType,
    close: async () => {},
  }
}

/** Rows in blocks of 32: a binary16 scale and 32 int8. */
function q8Bytes(values: Float32Array, columns: number): Uint8Array {
  const bytes = new Uint8Array((values.length / 32) * 34)
  if (columns % 32 !== 0) throw new Error('Q8_0 rows are whole blocks')
  for (let block = 0; block < values.length / 32; block++) {
    const row = values.subarray(32 * block, 32 * block + 32)
    const scale = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127
    new DataView(bytes.buffer).setUint16(34 * block, f32ToF16(scale), true)
    for (const [i, value] of row.entries()) bytes[34 * block + 2 + i] = Math.round(value / scale)
  }
  return bytes
}
