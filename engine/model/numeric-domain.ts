/**
 * The numbers that a model can make at most, from its weights alone. Inside the domain no infinity and no NaN can arise, so
 * that float32 means the same on every backend: how NaN travels through a maximum, or what a GPU makes of an overflow, does
 * not matter (docs/model-format.md, "Numeric domain").
 */
import { EngineError } from '../errors.ts'
import type { ModelConfig } from './config.ts'
import { type BlockOf, blockTensors, headTensors, type LinearTensors, type NormTensor } from './tensors.ts'

/**
 * No value that a step computes is larger: far enough from float32's end that sums of squares of a row, scaled as the shaders
 * scale them, stay finite too. Trained models stay below 2^30.
 */
export const MAX_MAGNITUDE = 2 ** 60
/** The root that a norm divides by is then at least 1e-6, also of a row of zeros. */
const MIN_EPSILON = 1e-12

/** The floor of the quantiser: a row below it is scaled as if its largest value were this. */
const ABSMAX_FLOOR = 1e-5
const INT8_MAGNITUDE = 128

/** Largest magnitudes of one ternary matrix's parameters. */
export interface BitLinearMagnitudes {
  /** The absmean scale. */
  scale: number
  /** The weight of the norm of its inputs. */
  inNorm: number
}

/** Largest magnitudes of a block's parameters. */
export type BlockMagnitudes = BlockOf<number, BitLinearMagnitudes>

export interface ModelMagnitudes {
  embedding: number
  blocks: BlockMagnitudes[]
  outputNorm: number
  output: BitLinearMagnitudes
}

export interface NumericEnvelope {
  /** By layer: no |h| that the model computes from an empty state is larger. */
  stateBounds: number[]
  /** Of everything. */
  largest: number
}

/**
 * Bounds of every intermediate value: |x / rms(x)| <= sqrt(K), |q| <= 128, |silu(x)| <= |x|, and h is a convex mean of
 * values of silu(i). Throws `format-invalid` with the place whose bound is above MAX_MAGNITUDE, or for an epsilon outside
 * MIN_EPSILON to 1.
 */
export function numericEnvelope(config: ModelConfig, model: ModelMagnitudes): NumericEnvelope {
  const { rmsNormEpsilon } = config
  if (!(rmsNormEpsilon >= MIN_EPSILON && rmsNormEpsilon < 1)) {
    throw outside('The epsilon of the norms', `from ${MIN_EPSILON} to 1`, rmsNormEpsilon)
  }
  let largest = 0
  const within = (what: string, bound: number): number => {
    if (!(bound <= MAX_MAGNITUDE)) throw outside(what, 'at most 2^60', bound)
    largest = Math.max(largest, bound)
    return bound
  }
  const norm = ({ name, width }: NormTensor, weight: number) => within(name, Math.sqrt(width) * weight)
  const bitLinear = (tensors: LinearTensors, { scale, inNorm }: BitLinearMagnitudes) => {
    const { columns } = tensors
    const absmax = Math.max(ABSMAX_FLOOR, norm({ name: tensors.inNorm, width: columns }, inNorm))
    return within(tensors.weight, (INT8_MAGNITUDE * columns * scale * absmax) / 127)
  }

  let x = within('The embedding', model.embedding)
  const stateBounds = model.blocks.map((block, layer) => {
    const tensors = blockTensors(config, layer)
    norm(tensors.mlgruNorm, block.mlgruNorm)
    const h = bitLinear(tensors.mlgruI, block.mlgruI)
    bitLinear(tensors.mlgruF, block.mlgruF)
    bitLinear(tensors.mlgruG, block.mlgruG)
    within(tensors.mlgruOutNorm.name, norm(tensors.mlgruOutNorm, block.mlgruOutNorm) * h)
    x = within(tensors.mlgruO.weight, x + bitLinear(tensors.mlgruO, block.mlgruO))
    norm(tensors.gluNorm, block.gluNorm)
    within(tensors.gluGateUp.weight, bitLinear(tensors.gluGateUp, block.gluGateUp) ** 2)
    x = within(tensors.gluDown.weight, x + bitLinear(tensors.gluDown, block.gluDown))
    return h
  })
  const { outputNorm, output } = headTensors(config)
  norm(outputNorm, model.outputNorm)
  bitLinear(output, model.output)
  return { stateBounds, largest }
}

/**
 * Throws `state-corrupt` when a state [L, E] holds what this model cannot have computed. Rounding may carry h above its bound
 * by a few units in the last place; a factor of two leaves room for that and for another numeric mode.
 */
export function checkStateDomain(state: Float32Array, { stateBounds }: NumericEnvelope): void {
  const width = state.length / stateBounds.length
  for (const [i, value] of state.entries()) {
    const bound = 2 * stateBounds[Math.floor(i / width)]
    if (Math.abs(value) <= bound) continue
    throw new EngineError('state-corrupt', 'This state holds numbers that its model cannot have computed.', {
      expected: `at most ${bound.toPrecision(3)} in magnitude`,
      actual: String(value),
      remedy: 'The file is damaged: use another copy, or read the conversation again.',
    })
  }
}

const outside = (what: string, expected: string, actual: number): EngineError =>
  new EngineError('format-invalid', `${what} lets this model compute numbers that no processor can hold.`, {
    expected,
    actual: actual.toPrecision(3),
    remedy: 'The file is damaged, or its weights have diverged in training: use another copy or another model.',
  })
