/**
 * The one table of a model's tensors: what there is, how it is called here and upstream, how large it is and what it is for.
 * Readers, writers, loaders, memory plans and checks all follow it. Upstream: ridgerchu/matmulfreellm at a016f72.
 */
import type { ModelConfig } from './config.ts'

/** Sizes as in ModelConfig: hidden, state width, intermediate, vocabulary. */
type Width = 'D' | 'E' | 'I' | 'V'

/** The weight of a norm, or a ternary matrix with its scale and the norm of its inputs. */
interface NormEntry {
  readonly kind: 'norm'
  readonly stem: string
  readonly width: Width
  readonly upstream: string
}
interface LinearEntry {
  readonly kind: 'linear'
  readonly stem: string
  /** N, of one plane. */
  readonly rows: Width
  /** K */
  readonly columns: Width
  /** Matrices that lie one below the other in the tensor. */
  readonly planes: number
  readonly upstream: string
}

const norm = <const W extends Width>(stem: string, width: W, upstream: string) =>
  ({ kind: 'norm', stem, width, upstream }) as const satisfies NormEntry
const linear = (stem: string, rows: Width, columns: Width, upstream: string, planes = 1) =>
  ({ kind: 'linear', stem, rows, columns, upstream, planes }) as const satisfies LinearEntry

/** A block's parameters in the order of a file. */
const BLOCK = {
  mlgruNorm: norm('mlgru_norm', 'D', 'attn_norm'),
  mlgruOutNorm: norm('mlgru_out_norm', 'E', 'attn.g_norm'),
  gluNorm: norm('glu_norm', 'D', 'mlp_norm'),
  mlgruI: linear('mlgru_i', 'E', 'D', 'attn.i_proj'),
  mlgruF: linear('mlgru_f', 'E', 'D', 'attn.f_proj'),
  mlgruG: linear('mlgru_g', 'E', 'D', 'attn.g_proj'),
  mlgruO: linear('mlgru_o', 'D', 'E', 'attn.o_proj'),
  /** Gate, then up. */
  gluGateUp: linear('glu_gate_up', 'I', 'D', 'mlp.gate_proj', 2),
  gluDown: linear('glu_down', 'D', 'I', 'mlp.down_proj'),
} as const
const HEAD = linear('output', 'V', 'D', 'lm_head')

type Block = typeof BLOCK
export type BlockKey = keyof Block
export type BlockNormKey = { [K in BlockKey]: Block[K] extends { kind: 'norm' } ? K : never }[BlockKey]
export type BlockLinearKey = Exclude<BlockKey, BlockNormKey>
export const BLOCK_NORMS = keysOf('norm') as BlockNormKey[]
export const BLOCK_LINEARS = keysOf('linear') as BlockLinearKey[]

function keysOf(kind: 'norm' | 'linear'): BlockKey[] {
  return (Object.keys(BLOCK) as BlockKey[]).filter(key => BLOCK[key].kind === kind)
}

/** A block's parameters as something holds them: one type for norms, one for matrices. */
export type BlockOf<Norm, Linear> = Record<BlockNormKey, Norm> & Record<BlockLinearKey, Linear>

/** A ternary matrix X is stored as X.weight, X.scale (absmean m, multiplies) and X_in_norm.weight. */
export interface LinearTensors {
  readonly weight: string
  readonly scale: string
  readonly inNorm: string
  /** N, of one plane. */
  readonly rows: number
  /** K */
  readonly columns: number
  readonly planes: number
}

export interface NormTensor {
  readonly name: string
  readonly width: number
}

const widthOf = (config: ModelConfig, width: Width): number =>
  ({ D: config.hiddenSize, E: config.stateWidth, I: config.intermediateSize, V: config.vocabularySize })[width]

const linearOf = (
  config: ModelConfig,
  prefix: string,
  { stem, rows, columns, planes }: LinearEntry,
): LinearTensors => ({
  weight: `${prefix}${stem}.weight`,
  scale: `${prefix}${stem}.scale`,
  inNorm: `${prefix}${stem}_in_norm.weight`,
  rows: widthOf(config, rows),
  columns: widthOf(config, columns),
  planes,
})

/** The tensors of one block, by what they are for. */
export function blockTensors(config: ModelConfig, layer: number): BlockOf<NormTensor, LinearTensors> {
  const prefix = `blk.${layer}.`
  const entries = (Object.keys(BLOCK) as BlockKey[]).map(key => {
    const entry = BLOCK[key]
    if (entry.kind === 'linear') return [key, linearOf(config, prefix, entry)]
    return [key, { name: `${prefix}${entry.stem}.weight`, width: widthOf(config, entry.width) }]
  })
  return Object.fromEntries(entries) as BlockOf<NormTensor, LinearTensors>
}

export const EMBEDDING = 'token_embd.weight'
/** [L, E]; only in models that use them. */
export const LOWER_BOUNDS = 'mlgru_lower_bounds.weight'

/** What follows the blocks. */
export const headTensors = (config: ModelConfig): { outputNorm: NormTensor; output: LinearTensors } => ({
  outputNorm: { name: 'output_norm.weight', width: config.hiddenSize },
  output: linearOf(config, '', HEAD),
})

/** Upstream name of the embedding. */
export const UPSTREAM_EMBEDDING = 'model.embeddings.weight'

export type TensorRole = 'embedding' | 'lowerBounds' | 'norm' | 'inNorm' | 'ternary' | 'scale'

export interface ModelTensor {
  readonly name: string
  readonly role: TensorRole
  /** True sizes, outermost first; ternary rows are stored padded to multiples of 256. */
  readonly shape: number[]
  /** null: of the model as a whole. */
  readonly layer: number | null
  /** Upstream name; null for a scale, which upstream computes from its matrix. */
  readonly upstream: string | null
}

/** All tensors of a model, in the order of a file. `tieWordEmbeddings`: upstream, the head's weight is the embedding's. */
export function tensorsOf(config: ModelConfig, tieWordEmbeddings = false): ModelTensor[] {
  const { vocabularySize: V, hiddenSize: D, stateWidth: E, layerCount: L, useLowerBound } = config
  const whole = (name: string, role: TensorRole, shape: number[], upstream: string): ModelTensor => ({
    name,
    role,
    shape,
    layer: null,
    upstream,
  })
  const ofLinear = (tensors: LinearTensors, layer: number | null, upstream: string): ModelTensor[] => {
    const { weight, scale, inNorm, rows, columns, planes } = tensors
    return [
      { name: weight, role: 'ternary', shape: [planes * rows, columns], layer, upstream: `${upstream}.weight` },
      { name: scale, role: 'scale', shape: [1], layer, upstream: null },
      { name: inNorm, role: 'inNorm', shape: [columns], layer, upstream: `${upstream}.norm.weight` },
    ]
  }
  const blocks = Array.from({ length: L }, (_, layer) => {
    const tensors = blockTensors(config, layer)
    const prefix = `model.layers.${layer}.`
    const norms = BLOCK_NORMS.map((key): ModelTensor => {
      const { name, width } = tensors[key]
      return { name, role: 'norm', shape: [width], layer, upstream: `${prefix}${BLOCK[key].upstream}.weight` }
    })
    return [...norms, ...BLOCK_LINEARS.flatMap(key => ofLinear(tensors[key], layer, prefix + BLOCK[key].upstream))]
  })
  const { outputNorm, output } = headTensors(config)
  const head = ofLinear(output, null, HEAD.upstream)
  // Tying shares the weight only; the norm of the head's inputs is its own.
  if (tieWordEmbeddings) head[0] = { ...head[0], upstream: UPSTREAM_EMBEDDING }
  return [
    whole(EMBEDDING, 'embedding', [V, D], UPSTREAM_EMBEDDING),
    ...(useLowerBound ? [whole(LOWER_BOUNDS, 'lowerBounds', [L, E], 'model.lower_bounds')] : []),
    ...blocks.flat(),
    whole(outputNorm.name, 'norm', [outputNorm.width], 'model.norm.weight'),
    ...head,
  ]
}

export const elementCount = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1)

/** Numbers that the model has learned, and how many of them are ternary; scales follow from their matrices. */
export function parameterCounts(config: ModelConfig): { all: number; ternary: number } {
  const countOf = (tensors: ModelTensor[]) => tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0)
  const learned = tensorsOf(config).filter(({ role }) => role !== 'scale')
  return { all: countOf(learned), ternary: countOf(learned.filter(({ role }) => role === 'ternary')) }
}

/** Multiply-adds of a token in ternary matrices. */
export const ternaryWeightsPerToken = (config: ModelConfig): number =>
  config.layerCount * sumOf(BLOCK_LINEARS, key => weightCount(blockTensors(config, 0)[key])) +
  weightCount(headTensors(config).output)

/** One value for each tensor of a block, made one after another in the order of a file. */
export async function mapBlock<Norm, Linear>(
  config: ModelConfig,
  layer: number,
  ofNorm: (tensor: NormTensor) => Promise<Norm>,
  ofLinear: (tensors: LinearTensors) => Promise<Linear>,
): Promise<BlockOf<Norm, Linear>> {
  const tensors = blockTensors(config, layer)
  const made = new Map<BlockKey, Norm | Linear>()
  for (const key of BLOCK_NORMS) made.set(key, await ofNorm(tensors[key]))
  for (const key of BLOCK_LINEARS) made.set(key, await ofLinear(tensors[key]))
  return Object.fromEntries(made) as BlockOf<Norm, Linear>
}

/** How many bytes a backend's own layout takes for each part of a model. */
export interface TensorLayout {
  embedding(rows: number, columns: number): number
  /** The weight of a norm. */
  norm(width: number): number
  /** One plane of a matrix [N, K]. */
  ternary(rows: number, columns: number): number
  /** All layers' lower bounds; asked whether the model uses them or not. */
  lowerBounds(config: ModelConfig): number
  /** Whatever else is kept for a block, and once for the embedding and the head: records, scales. */
  block: number
  rest: number
}

/** Bytes of all weights in a layout. */
export function sizeOf(config: ModelConfig, layout: TensorLayout): number {
  const linearBytes = ({ planes, rows, columns }: LinearTensors): number =>
    planes * layout.ternary(rows, columns) + layout.norm(columns)
  const block = blockTensors(config, 0)
  const { outputNorm, output } = headTensors(config)
  const blockBytes =
    layout.block +
    sumOf(BLOCK_NORMS, key => layout.norm(block[key].width)) +
    sumOf(BLOCK_LINEARS, key => linearBytes(block[key]))
  return (
    layout.rest +
    layout.embedding(config.vocabularySize, config.hiddenSize) +
    layout.lowerBounds(config) +
    config.layerCount * blockBytes +
    layout.norm(outputNorm.width) +
    linearBytes(output)
  )
}

const sumOf = <T>(list: readonly T[], of: (entry: T) => number): number => list.reduce((sum, e) => sum + of(e), 0)
const weightCount = ({ planes, rows, columns }: LinearTensors): number => planes * rows * columns
