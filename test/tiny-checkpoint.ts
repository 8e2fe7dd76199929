/**
 * A MatMul-free checkpoint of a few kilobytes with pseudo-random weights, as a folder in memory, in any of the file forms
 * that the converter reads.
 */
import { writeSafetensorsHeader } from '../engine/formats/safetensors.ts'
import { createRandom } from '../engine/seeded-random.ts'
import { memorySink } from './byte-sources.ts'
import type { TorchTensor } from './torch-files.ts'

interface PlainTensor {
  shape: number[]
  values: Float32Array
}
export type PlainTensors = Map<string, PlainTensor>

export const TINY_CONFIG = {
  model_type: 'hgrn_bit',
  vocab_size: 12,
  hidden_size: 8,
  num_hidden_layers: 2,
  num_heads: null as number | null,
  intermediate_size: 20,
  expand_ratio: null as number | null,
  use_lower_bound: true,
  use_short_conv: false,
  tie_word_embeddings: false,
  rms_norm_eps: 1e-6,
  max_position_embeddings: 64,
  bos_token_id: 1 as number | null,
  eos_token_id: 2 as number | number[] | null,
}
export type TinyConfig = typeof TINY_CONFIG

/** Tensors as upstream names and shapes them. */
export function tinyTensors(config: TinyConfig = TINY_CONFIG, seed = 1): PlainTensors {
  const random = createRandom(seed)
  const { vocab_size: V, hidden_size: D, num_hidden_layers: L, intermediate_size: I } = config
  const E = D * (config.expand_ratio ?? 1)
  const tensors: PlainTensors = new Map()
  const add = (name: string, ...shape: number[]) => {
    const count = shape.reduce((product, size) => product * size, 1)
    tensors.set(name, { shape, values: Float32Array.from({ length: count }, () => random() - 0.5) })
  }
  const addBitLinear = (stem: string, rows: number, columns: number) => {
    add(`${stem}.weight`, rows, columns)
    add(`${stem}.norm.weight`, columns)
  }
  add('model.embeddings.weight', V, D)
  if (config.use_lower_bound) add('model.lower_bounds', L, D)
  for (let layer = 0; layer < L; layer++) {
    const stem = `model.layers.${layer}`
    add(`${stem}.attn_norm.weight`, D)
    for (const name of ['i_proj', 'f_proj', 'g_proj']) addBitLinear(`${stem}.attn.${name}`, E, D)
    add(`${stem}.attn.g_norm.weight`, E)
    addBitLinear(`${stem}.attn.o_proj`, D, E)
    add(`${stem}.mlp_norm.weight`, D)
    addBitLinear(`${stem}.mlp.gate_proj`, 2 * I, D)
    addBitLinear(`${stem}.mlp.down_proj`, D, I)
  }
  add('model.norm.weight', D)
  addBitLinear('lm_head', V, D)
  return tensors
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) => new Uint8Array(buffer, byteOffset, byteLength)

export async function safetensorsFile(tensors: PlainTensors): Promise<Uint8Array> {
  const sink = memorySink()
  const infos = [...tensors].map(([name, { shape }]) => ({ name, dtype: 'F32' as const, shape }))
  await writeSafetensorsHeader(sink, infos, { format: 'pt' })
  for (const { values } of tensors.values()) await sink.write(bytesOf(values))
  await sink.finish()
  return sink.bytes()
}

/** Every tensor with a storage of its own. */
export function torchTensors(tensors: PlainTensors): Map<string, TorchTensor> {
  const named = [...tensors].map(([name, { shape, values }], index): [string, TorchTensor] => [
    name,
    { shape, storage: { kind: 'FloatStorage', key: String(index), bytes: bytesOf(values) } },
  ])
  return new Map(named)
}
