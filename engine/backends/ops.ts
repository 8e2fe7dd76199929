/**
 * The single operations of the model, as every backend must offer them for conformance tests and kernel benchmarks.
 * Arrays are row-major, last axis contiguous; T tokens, K inputs, N outputs, E state width, I intermediate size.
 * Outputs are fresh arrays owned by the caller. Semantics: docs/model-format.md, "Arithmetic"; the living definition is reference/.
 */
import type { MaybePromise } from '../engine-environment.ts'

/** Of a BitLinear's own RMSNorm: not the model's. The WASM kernels, which import nothing, have it again. */
export const BITLINEAR_EPSILON = 1e-6

export interface TernaryMatrix {
  /** N */
  rows: number
  /** K */
  columns: number
  /** [N, K], each -1, 0 or +1. */
  codes: Int8Array
  /** absmean m of the original weights; multiplies. */
  scale: number
}

export interface BitLinearWeights {
  matrix: TernaryMatrix
  /** [K], RMSNorm weight of the inputs. */
  inNorm: Float32Array
}

export interface Quantized {
  /** [T, K] int8. */
  q: Int8Array
  /** [T], s = 127 / absmax; dequantisation divides by it. */
  scales: Float32Array
}

export interface MlgruInput {
  /** [T, E] output of BitLinear_i. */
  input: Float32Array
  /** [T, E] output of BitLinear_f, before the sigmoid. */
  forget: Float32Array
  /** [E], or null where the layer has no lower bound (layer 0). */
  lowerBound: Float32Array | null
  /** [E], the recurrent state before the first token; not changed. */
  state: Float32Array
}

export interface OpTable {
  /** x / sqrt(mean(x^2) + epsilon) * weight for each of T rows. x [T, K], weight [K]. */
  rmsNorm(x: Float32Array, weight: Float32Array, epsilon: number): MaybePromise<Float32Array>
  /** int8 absmax quantisation of each of T rows of K; ties round to even. */
  absmaxQuantize(y: Float32Array, columns: number): MaybePromise<Quantized>
  /** Exact integer sums [T, N] of q [T, K] with a ternary matrix. Equal on every backend bit for bit. */
  ternaryMatmul(q: Int8Array, matrix: TernaryMatrix): MaybePromise<Int32Array>
  /** RMSNorm (epsilon 1e-6), quantisation, ternary product, dequantisation. x [T, K] gives [T, N]. */
  bitLinear(x: Float32Array, weights: BitLinearWeights): MaybePromise<Float32Array>
  /** c = silu(i) * (1 - f); h = f * h + c, scanned over T. Returns every h [T, E]; the last row is the new state. */
  mlgru(input: MlgruInput): MaybePromise<Float32Array>
  /** rms(g) * h * sigmoid(h). g, h [T, E]. */
  mlgruOutput(g: Float32Array, h: Float32Array, outNorm: Float32Array, epsilon: number): MaybePromise<Float32Array>
  /** silu(gate) * up; gateUp [T, 2I] holds gate then up in each row; gives [T, I]. */
  glu(gateUp: Float32Array, intermediateSize: number): MaybePromise<Float32Array>
}

export type OpName = keyof OpTable

/** What a backend lists that offers every operation. */
export const ALL_OPS: readonly OpName[] = [
  'rmsNorm',
  'absmaxQuantize',
  'ternaryMatmul',
  'bitLinear',
  'mlgru',
  'mlgruOutput',
  'glu',
]
