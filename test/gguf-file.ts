/**
 * Writes GGUF files for tests, right or wrong in any field. Independent of the writer in engine/formats.
 */
import { concat, u16, u32, u64 } from './torch-files.ts'

export const string = (text: string): Uint8Array => concat(u64(Buffer.byteLength(text)), text)

function f32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes
}

/** A typed value as in a metadata entry: type id, then the value. */
export const V = {
  u32: (value: number) => concat(u32(4), u32(value)),
  u64: (value: bigint) => concat(u32(10), u64(value)),
  f32: (value: number) => concat(u32(6), f32(value)),
  bool: (value: boolean) => concat(u32(7), value ? 1 : 0),
  string: (text: string) => concat(u32(8), string(text)),
  strings: (texts: string[]) => concat(u32(9), u32(8), u64(texts.length), ...texts.map(string)),
  u32s: (values: number[]) => concat(u32(9), u32(4), u64(values.length), ...values.map(u32)),
}

export interface GgufFileTensor {
  name: string
  typeId: number
  /** Innermost first, as in the file. */
  dimensions: (number | bigint)[]
  bytes: Uint8Array
  /** What the header says instead of the truth. */
  offset?: number | bigint
}

export interface GgufFile {
  magic?: string
  version?: number
  metadata: [key: string, value: Uint8Array][]
  tensors: GgufFileTensor[]
  tensorCount?: number | bigint
  metadataCount?: number | bigint
}

const pad = (length: number) => new Uint8Array((32 - (length % 32)) % 32)

export function ggufFile({ magic = 'GGUF', version = 3, metadata, tensors, tensorCount, metadataCount }: GgufFile) {
  let offset = 0
  const infos: Uint8Array[] = []
  for (const tensor of tensors) {
    const { name, dimensions, typeId, bytes } = tensor
    infos.push(
      concat(string(name), u32(dimensions.length), ...dimensions.map(u64), u32(typeId), u64(tensor.offset ?? offset)),
    )
    offset += bytes.length + pad(bytes.length).length
  }
  const header = concat(
    magic,
    u32(version),
    u64(tensorCount ?? tensors.length),
    u64(metadataCount ?? metadata.length),
    ...metadata.flatMap(([key, value]) => [string(key), value]),
    ...infos,
  )
  return concat(header, pad(header.length), ...tensors.flatMap(({ bytes }) => [bytes, pad(bytes.length)]))
}

const F32_ONES = (count: number) => new Uint8Array(new Float32Array(count).fill(1).buffer)

/** TQ2_0 rows whose codes are all zero. */
function ternaryZeros(rows: number, columns: number): Uint8Array {
  const block = concat(new Uint8Array(64).fill(0x55), u16(0x3c00))
  return concat(...new Array(rows * Math.ceil(columns / 256)).fill(block))
}

/** A complete model: V 6, D 8, E 8, L 1, I 10. */
export function tinyGguf(): GgufFile {
  const V_ = 6
  const D = 8
  const I = 10
  const vector = (name: string, size: number): GgufFileTensor => ({
    name,
    typeId: 0,
    dimensions: [size],
    bytes: F32_ONES(size),
  })
  const bitLinear = (stem: string, rows: number, columns: number): GgufFileTensor[] => [
    { name: `${stem}.weight`, typeId: 35, dimensions: [256, rows], bytes: ternaryZeros(rows, columns) },
    vector(`${stem}.scale`, 1),
    vector(`${stem}_in_norm.weight`, columns),
  ]
  return {
    metadata: [
      ['general.architecture', V.string('hgrn_bit')],
      ['general.name', V.string('Tiny')],
      ['hgrn_bit.block_count', V.u32(1)],
      ['hgrn_bit.context_length', V.u32(64)],
      ['hgrn_bit.embedding_length', V.u32(D)],
      ['hgrn_bit.feed_forward_length', V.u32(I)],
      ['hgrn_bit.vocab_size', V.u32(V_)],
      ['hgrn_bit.attention.layer_norm_rms_epsilon', V.f32(1e-6)],
      ['hgrn_bit.expand_ratio', V.u32(1)],
      ['hgrn_bit.use_lower_bound', V.bool(true)],
      ['tokenizer.ggml.tokens', V.strings(['<unk>', '<s>', '</s>', 'a', 'b', '<|end|>'])],
      ['tokenizer.ggml.bos_token_id', V.u32(1)],
      ['tokenizer.ggml.eos_token_id', V.u32(5)],
    ],
    tensors: [
      { name: 'token_embd.weight', typeId: 0, dimensions: [D, V_], bytes: F32_ONES(V_ * D) },
      { name: 'mlgru_lower_bounds.weight', typeId: 0, dimensions: [D, 1], bytes: F32_ONES(D) },
      vector('blk.0.mlgru_norm.weight', D),
      vector('blk.0.mlgru_out_norm.weight', D),
      vector('blk.0.glu_norm.weight', D),
      ...bitLinear('blk.0.mlgru_i', D, D),
      ...bitLinear('blk.0.mlgru_f', D, D),
      ...bitLinear('blk.0.mlgru_g', D, D),
      ...bitLinear('blk.0.mlgru_o', D, D),
      ...bitLinear('blk.0.glu_gate_up', 2 * I, D),
      ...bitLinear('blk.0.glu_down', D, I),
      vector('output_norm.weight', D),
      ...bitLinear('output', V_, D),
    ],
  }
}
