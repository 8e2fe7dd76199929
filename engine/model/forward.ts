/**
 * The forward pass, written over a table of operations: what model code means, whatever backend runs it.
 * It reads like the model's description (docs/model-format.md, "Arithmetic"). It is not how fast backends run: they fuse
 * whole steps, and this pass over their single operations is a test of them.
 */
import type { BitLinearWeights, OpTable } from '../backends/ops.ts'
import type { ModelConfig } from './config.ts'
import type { BlockOf } from './tensors.ts'

/** Norms as [D] or [E], matrices as model/tensors.ts has them. */
export interface BlockWeights extends BlockOf<Float32Array, BitLinearWeights> {
  /** [E], or null: see model/lower-bounds.ts */
  lowerBound: Float32Array | null
}

export interface ModelWeights {
  /** [V, D] */
  embedding: Float32Array
  blocks: BlockWeights[]
  /** [D] */
  outputNorm: Float32Array
  /** [V, D] */
  output: BitLinearWeights
}

/** Embedding rows of T tokens: the first hidden state [T, D]. Ids are checked by the caller. */
export function embed(weights: ModelWeights, tokens: ArrayLike<number>, hiddenSize: number): Float32Array {
  const x = new Float32Array(tokens.length * hiddenSize)
  for (let t = 0; t < tokens.length; t++) {
    x.set(weights.embedding.subarray(tokens[t] * hiddenSize, (tokens[t] + 1) * hiddenSize), t * hiddenSize)
  }
  return x
}

/** One block over T tokens: hidden state x [T, D] in and out; `state` [E], the block's recurrent memory, is replaced. */
export async function block(
  ops: OpTable,
  weights: BlockWeights,
  config: ModelConfig,
  x: Float32Array,
  state: Float32Array,
): Promise<Float32Array> {
  const epsilon = config.rmsNormEpsilon

  const a = await ops.rmsNorm(x, weights.mlgruNorm, epsilon)
  const input = await ops.bitLinear(a, weights.mlgruI)
  const forget = await ops.bitLinear(a, weights.mlgruF)
  const h = await ops.mlgru({ input, forget, lowerBound: weights.lowerBound, state })
  state.set(h.subarray(h.length - state.length))
  const g = await ops.bitLinear(a, weights.mlgruG)
  const o = await ops.mlgruOutput(g, h, weights.mlgruOutNorm, epsilon)
  const mixed = add(x, await ops.bitLinear(o, weights.mlgruO))

  const m = await ops.rmsNorm(mixed, weights.gluNorm, epsilon)
  const gateUp = await ops.bitLinear(m, weights.gluGateUp)
  const gated = await ops.glu(gateUp, config.intermediateSize)
  return add(mixed, await ops.bitLinear(gated, weights.gluDown))
}

/** All blocks over T >= 1 tokens: the last hidden state [T, D]. `state` [L, E] is advanced in place. */
export async function forward(
  ops: OpTable,
  weights: ModelWeights,
  config: ModelConfig,
  tokens: ArrayLike<number>,
  state: Float32Array,
): Promise<Float32Array> {
  let x = embed(weights, tokens, config.hiddenSize)
  for (let l = 0; l < config.layerCount; l++) {
    const blockState = state.subarray(l * config.stateWidth, (l + 1) * config.stateWidth)
    x = await block(ops, weights.blocks[l], config, x, blockState)
  }
  return x
}

/** Logits [T, V] of hidden states x [T, D]. */
export async function head(
  ops: OpTable,
  weights: ModelWeights,
  config: ModelConfig,
  x: Float32Array,
): Promise<Float32Array> {
  return await ops.bitLinear(await ops.rmsNorm(x, weights.outputNorm, config.rmsNormEpsilon), weights.output)
}

/** The residual connection, in float32. */
function add(x: Float32Array, y: Float32Array): Float32Array {
  const sum = new Float32Array(x.length)
  for (let i = 0; i < x.length; i++) sum[i] = x[i] + y[i]
  return sum
}
