/**
 * A model's weights as the device holds them: norm weights folded into the inputs of the matrices and rounded once, scales as
 * 16 bits and a power of two. All of it is float64 arithmetic with one rounding at the end (docs/fpga-numerics.md).
 */
import { cancelled, EngineError } from '../../../errors.ts'
import { checkTensors } from '../../../formats/check-tensors.ts'
import { readLowerBounds } from '../../../formats/read-lower-bounds.ts'
import { readFloats, readScale, readTernaryRows } from '../../../formats/read-tensors.ts'
import type { ModelConfig } from '../../../model/config.ts'
import type { ModelSource } from '../../../model/source.ts'
import { type BlockOf, type LinearTensors, mapBlock, type NormTensor } from '../../../model/tensors.ts'
import type { LoadOptions } from '../../backend.ts'
import { BITLINEAR_EPSILON } from '../../ops.ts'
import { largestMagnitude } from './arithmetic.ts'
import type { Epsilon } from './rms-norm.ts'

export interface FixedLinear {
  /** N */
  readonly rows: number
  /** K */
  readonly columns: number
  /** -1, 0, +1 [N, K] */
  readonly codes: Int8Array
  /** s18 [K] */
  readonly w12: Int32Array
  /** C 2^ce: u16 in 2^15..2^16 - 1, s8 */
  readonly C: number
  readonly ce: number
}

export interface FixedBlock {
  /** u16, of x before the gates [D], of v [E], of x before the GLU [D], of z [I] */
  readonly w1Mlgru: Int32Array
  readonly w1Out: Int32Array
  readonly w1Glu: Int32Array
  readonly w1Down: Int32Array
  /** u16.16 [E]; zeros where the layer has none */
  readonly lowerBound: Int32Array
  /** cx of v's epsilon, whose cm follows from g. */
  readonly outEpsilonShift: number
  readonly downEpsilon: Epsilon
  readonly i: FixedLinear
  readonly f: FixedLinear
  readonly g: FixedLinear
  readonly o: FixedLinear
  readonly gateUp: FixedLinear
  readonly down: FixedLinear
}

export interface FixedWeights {
  readonly blocks: readonly FixedBlock[]
  /** XF: bits of the residual after the point. */
  readonly residualFraction: number
}

/** Bits after the point of i, f, g, gate and up; of v and z. */
const GATE_FRACTION = 12
const V_FRACTION = 14
/** The residual's where nothing speaks against it, and the least that the host may choose. */
const RESIDUAL_FRACTION = 16
const MIN_RESIDUAL_FRACTION = 8

/** The device's buffers. */
const MAX_WIDTH = 4096
const MAX_INTERMEDIATE = 8192
const MAX_LAYERS = 48
/**
 * What a sum may be multiplied by: the scale's mantissa is 2^15 or more, so below 2^15 its shift is at least one. A percent
 * less, because the weights behind the proof are rounded.
 */
const MAX_OUTPUT_FACTOR = 32_440

/** Throws `backend-unavailable` for a shape or weights that the formats do not hold, `tensor-*`, `file-*`, `cancelled`. */
export async function readFixedWeights(source: ModelSource, options: LoadOptions = {}): Promise<FixedWeights> {
  const { config } = source
  checkShape(config)
  checkTensors(source)
  const bounds = await readLowerBounds(source)
  const read: BlockParameters[] = []
  for (let layer = 0; layer < config.layerCount; layer++) {
    if (options.signal?.aborted) throw cancelled()
    options.onProgress?.(layer / config.layerCount)
    const block = await mapBlock(
      config,
      layer,
      tensor => readNorm(source, tensor),
      linear => readLinear(source, linear),
    )
    read.push({ ...block, lowerBound: bounds[layer] })
  }
  const residualFraction = residualFractionOf(read)
  options.onProgress?.(1)
  return { blocks: read.map(block => fixedBlock(block, residualFraction)), residualFraction }
}

/** A matrix as the model has it. */
interface LinearParameters {
  readonly rows: number
  readonly columns: number
  readonly codes: Int8Array
  readonly scale: number
  readonly inNorm: Float32Array
}
interface BlockParameters extends BlockOf<Float32Array, LinearParameters> {
  readonly lowerBound: Float32Array | null
}

const readNorm = (source: ModelSource, { name, width }: NormTensor) => readFloats(source, name, [width])

async function readLinear(source: ModelSource, tensors: LinearTensors): Promise<LinearParameters> {
  const { weight, scale, inNorm, rows, columns, planes } = tensors
  return {
    rows: planes * rows,
    columns,
    codes: await readTernaryRows(source, weight, 0, planes * rows, columns),
    scale: await readScale(source, scale),
    inNorm: await readFloats(source, inNorm, [columns]),
  }
}

function checkShape({ hiddenSize, stateWidth, intermediateSize, layerCount }: ModelConfig): void {
  const fits =
    Math.max(hiddenSize, stateWidth) <= MAX_WIDTH && intermediateSize <= MAX_INTERMEDIATE && layerCount <= MAX_LAYERS
  if (fits) return
  throw unfit(
    `width up to ${MAX_WIDTH}, intermediate size up to ${MAX_INTERMEDIATE}, up to ${MAX_LAYERS} layers`,
    `${Math.max(hiddenSize, stateWidth)}, ${intermediateSize}, ${layerCount}`,
  )
}

/** 16, or less where a matrix could write more than its scale can shift. Throws `backend-unavailable`. */
function residualFractionOf(blocks: readonly BlockParameters[]): number {
  const factorOf = ({ scale, columns, inNorm }: LinearParameters): number =>
    (scale * Math.sqrt(columns) * largestMagnitude(inNorm)) / 127
  const gates = Math.max(...blocks.flatMap(b => [b.mlgruI, b.mlgruF, b.mlgruG, b.gluGateUp].map(factorOf)))
  if (!(gates * 2 ** GATE_FRACTION < MAX_OUTPUT_FACTOR)) throw unfit('gates below 2,048', `a factor of ${gates}`)
  const residual = Math.max(...blocks.flatMap(b => [b.mlgruO, b.gluDown].map(factorOf)))
  for (let fraction = RESIDUAL_FRACTION; fraction >= MIN_RESIDUAL_FRACTION; fraction--) {
    if (residual * 2 ** fraction < MAX_OUTPUT_FACTOR) return fraction
  }
  throw unfit(`a residual of ${MIN_RESIDUAL_FRACTION} bits after the point or more`, `a factor of ${residual}`)
}

const unfit = (expected: string, actual: string): EngineError =>
  new EngineError('backend-unavailable', 'This model does not fit the accelerator’s numbers.', {
    expected,
    actual,
    remedy: 'Use the CPU or a graphics processor.',
  })

function fixedBlock(block: BlockParameters, residualFraction: number): FixedBlock {
  const { mlgruNorm, mlgruOutNorm, gluNorm, gluDown } = block
  const intermediate = gluDown.columns
  const withEpsilon = (weight: Float32Array) =>
    Float64Array.from(weight, value => Math.sqrt(value * value + BITLINEAR_EPSILON))
  const mlgru = integersOf(withEpsilon(mlgruNorm), 16)
  const out = integersOf(Float64Array.from(mlgruOutNorm, Math.abs), 16)
  const glu = integersOf(withEpsilon(gluNorm), 16)
  const downPower = 15
  const [cm, cx] = mantissaOf(intermediate * BITLINEAR_EPSILON * 2 ** (2 * (V_FRACTION + downPower)))
  const gate = (linear: LinearParameters) => fixedLinear(linear, mlgruNorm, mlgru.power, GATE_FRACTION)
  return {
    w1Mlgru: mlgru.integers,
    w1Out: out.integers,
    w1Glu: glu.integers,
    w1Down: new Int32Array(intermediate).fill(2 ** downPower),
    lowerBound: Int32Array.from({ length: mlgruOutNorm.length }, (_, e) =>
      Math.min(Math.floor(65_536 * (block.lowerBound?.[e] ?? 0) + 0.5), 65_535),
    ),
    outEpsilonShift: 2 * (V_FRACTION + out.power) - 16 - 2 * GATE_FRACTION,
    downEpsilon: { cm, cx },
    i: gate(block.mlgruI),
    f: gate(block.mlgruF),
    g: gate(block.mlgruG),
    o: fixedLinear(block.mlgruO, mlgruOutNorm, out.power, residualFraction),
    gateUp: fixedLinear(block.gluGateUp, gluNorm, glu.power, GATE_FRACTION),
    down: fixedLinear(gluDown, null, downPower, residualFraction),
  }
}

/** `norm`: the weight of the norm before the BitLinear's own; null: there is none. */
function fixedLinear(
  { rows, columns, codes, scale, inNorm }: LinearParameters,
  norm: Float32Array | null,
  w1Power: number,
  outputFraction: number,
): FixedLinear {
  const folded = integersOf(
    Float64Array.from(inNorm, (weight, k) => weight * (norm === null ? 1 : norm[k])),
    17,
  )
  const factor = ((scale * Math.sqrt(columns)) / 127) * 2 ** (w1Power - folded.power + outputFraction)
  const [C, ce] = mantissaOf(factor)
  return { rows, columns, codes, w12: folded.integers, C, ce }
}

/** w as integers of `bits` magnitude bits times one power of two for all, as large as they go. */
function integersOf(w: Float64Array, bits: number): { integers: Int32Array; power: number } {
  const largest = largestMagnitude(w)
  if (largest === 0) return { integers: new Int32Array(w.length), power: 0 }
  let power = bits - 1 - Math.floor(Math.log2(largest))
  while (Math.floor(largest * 2 ** power + 0.5) >= 2 ** bits) power--
  while (Math.floor(largest * 2 ** (power + 1) + 0.5) < 2 ** bits) power++
  return { integers: Int32Array.from(w, value => Math.floor(value * 2 ** power + 0.5)), power }
}

/** value > 0 as [u16 in 2^15..2^16 - 1, power of two], half up. */
function mantissaOf(value: number): [mantissa: number, power: number] {
  let power = Math.floor(Math.log2(value)) - 15
  let mantissa = Math.floor(value * 2 ** -power + 0.5)
  // The logarithm may be off by one beside a power of two, and rounding may reach the next.
  if (mantissa < 32_768) mantissa = Math.floor(value * 2 ** -(--power) + 0.5)
  if (mantissa >= 65_536) mantissa = Math.floor(value * 2 ** -++power + 0.5)
  return [mantissa, power]
}

/** Of the integers as they lie in this processor's memory. */
export const fixedWeightBytes = ({ blocks }: FixedWeights): number =>
  blocks.reduce((sum, { i, f, g, o, gateUp, down, ...rest }) => {
    const linears = [i, f, g, o, gateUp, down].reduce(
      (bytes, { codes, w12 }) => bytes + codes.length + 4 * w12.length,
      0,
    )
    const vectors = [rest.w1Mlgru, rest.w1Out, rest.w1Glu, rest.w1Down, rest.lowerBound]
    return sum + linears + vectors.reduce((bytes, vector) => bytes + vector.byteLength, 0)
  }, 0)
