/**
 * One decode step of one thread: a token in, logits out, everything between in one call. Matrix rows are split between
 * threads so that whatever is elementwise afterwards stays on the thread that made it: rows of i, f and g by channel,
 * rows of gate and up in pairs. Norms and quantisations of shared vectors are cheap and done by every thread for itself,
 * in private memory; so a layer needs four barriers.
 */
import { ABSMAX_FLOOR, quantize } from './absmax-quantize'
import { barrier } from './barrier'
import { gemv } from './bitlinear-gemv'
import { addDequantized, dequantize, dequantizeFactor } from './dequantize'
import { embeddingRow } from './embedding'
import { glu } from './glu'
import {
  COMMAND_COUNT,
  COMMAND_STATE,
  LAYER_DOWN_IN_NORM,
  LAYER_DOWN_SCALE,
  LAYER_DOWN_WEIGHT,
  LAYER_F_IN_NORM,
  LAYER_F_SCALE,
  LAYER_F_WEIGHT,
  LAYER_G_IN_NORM,
  LAYER_G_SCALE,
  LAYER_G_WEIGHT,
  LAYER_GATE_UP_IN_NORM,
  LAYER_GATE_UP_SCALE,
  LAYER_GATE_WEIGHT,
  LAYER_GLU_NORM,
  LAYER_I_IN_NORM,
  LAYER_I_SCALE,
  LAYER_I_WEIGHT,
  LAYER_LOWER_BOUND,
  LAYER_MLGRU_NORM,
  LAYER_O_IN_NORM,
  LAYER_O_SCALE,
  LAYER_O_WEIGHT,
  LAYER_OUT_NORM,
  LAYER_RECORD_BYTES,
  LAYER_UP_WEIGHT,
  MODEL_EMBEDDING,
  MODEL_EMBEDDING_ROW_BYTES,
  MODEL_EMBEDDING_TYPE,
  MODEL_EPSILON,
  MODEL_HIDDEN,
  MODEL_INTERMEDIATE,
  MODEL_LAYER_RECORDS,
  MODEL_LAYERS,
  MODEL_OUTPUT_IN_NORM,
  MODEL_OUTPUT_NORM,
  MODEL_OUTPUT_SCALE,
  MODEL_OUTPUT_WEIGHT,
  MODEL_STATE_WIDTH,
  MODEL_VOCABULARY,
  PRIVATE_META,
  PRIVATE_NORMALISED,
  PRIVATE_Q0,
  PRIVATE_Q1,
  PRIVATE_Q2,
  PRIVATE_SCALED,
  SCRATCH_F,
  SCRATCH_G,
  SCRATCH_GATE,
  SCRATCH_HIDDEN,
  SCRATCH_I,
  SCRATCH_LOGITS,
  SCRATCH_PRIVATE,
  SCRATCH_PRIVATE_BYTES,
  SCRATCH_PROJECTED,
  SCRATCH_Q_ROW_BYTES,
  SCRATCH_UP,
} from './memory-layout'
import { mlgru, mlgruOutput, sigmoidRange } from './mlgru'
import { divideRow, rmsNorm, rootMeanSquare, sumOfSquares, weightRow } from './rms-norm'
import { rowBlocks, rowEnd, shareStart } from './work-split'

/** BitLinear's own RMSNorm epsilon: not the model's. */
export const BITLINEAR_EPSILON: f64 = 1e-6

/** A thread's private buffers. */
export function privateBuffer(thread: i32, offset: i32): usize {
  return (
    load<usize>(SCRATCH_PRIVATE) +
    <usize>thread * load<usize>(SCRATCH_PRIVATE_BYTES) +
    <usize>offset * load<usize>(SCRATCH_Q_ROW_BYTES)
  )
}

/**
 * A BitLinear's input f32 [n], whose sum of squares is known, normalised by the BitLinear's own norm and quantised.
 * `divided` (which may be x) and `scaled` are scratch f32 [n].
 */
export function quantizeInput(
  x: usize,
  n: i32,
  sum: f64,
  inNorm: usize,
  divided: usize,
  scaled: usize,
  q: usize,
  meta: usize,
): void {
  divideRow(x, n, rootMeanSquare(sum, n, BITLINEAR_EPSILON), divided)
  quantizeNormalized(divided, n, inNorm, scaled, q, meta)
}

/** The same for an input that is already divided by its root mean square: i, f and g share theirs. */
export function quantizeNormalized(x: usize, n: i32, inNorm: usize, scaled: usize, q: usize, meta: usize): void {
  quantize(scaled, n, weightRow(x, n, inNorm, scaled, ABSMAX_FLOOR), q, meta)
}

/** Runs COMMAND_DECODE. */
export function decode(thread: i32, threads: i32): void {
  const hiddenSize = load<i32>(MODEL_HIDDEN)
  const stateWidth = load<i32>(MODEL_STATE_WIDTH)
  const intermediate = load<i32>(MODEL_INTERMEDIATE)
  const epsilon = load<f64>(MODEL_EPSILON)
  const hiddenGroups = (hiddenSize + 3) >> 2

  const x = load<usize>(SCRATCH_HIDDEN)
  const i = load<usize>(SCRATCH_I)
  const f = load<usize>(SCRATCH_F)
  const g = load<usize>(SCRATCH_G)
  const gate = load<usize>(SCRATCH_GATE)
  const up = load<usize>(SCRATCH_UP)
  const projected = load<usize>(SCRATCH_PROJECTED)
  const normalised = privateBuffer(thread, PRIVATE_NORMALISED)
  const scaled = privateBuffer(thread, PRIVATE_SCALED)
  const q0 = privateBuffer(thread, PRIVATE_Q0)
  const q1 = privateBuffer(thread, PRIVATE_Q1)
  const q2 = privateBuffer(thread, PRIVATE_Q2)
  const meta0 = privateBuffer(thread, PRIVATE_META)
  const meta1 = meta0 + 8
  const meta2 = meta0 + 16

  const stateBlocks = rowBlocks(stateWidth)
  const stateFirst = shareStart(stateBlocks, thread, threads)
  const stateLast = shareStart(stateBlocks, thread + 1, threads)
  const hiddenBlocks = rowBlocks(hiddenSize)
  const hiddenFirst = shareStart(hiddenBlocks, thread, threads)
  const hiddenLast = shareStart(hiddenBlocks, thread + 1, threads)
  const gateBlocks = rowBlocks(intermediate)
  const gateFirst = shareStart(gateBlocks, thread, threads)
  const gateLast = shareStart(gateBlocks, thread + 1, threads)

  if (thread === 0) {
    const row = load<usize>(MODEL_EMBEDDING) + <usize>load<i32>(COMMAND_COUNT) * load<usize>(MODEL_EMBEDDING_ROW_BYTES)
    embeddingRow(row, load<i32>(MODEL_EMBEDDING_TYPE), hiddenSize, x)
  }
  barrier()

  let layer = load<usize>(MODEL_LAYER_RECORDS)
  let state = load<usize>(COMMAND_STATE)
  for (let l = load<i32>(MODEL_LAYERS); l > 0; l--) {
    // i, f, g and the recurrence, by channel. h replaces i, sigmoid(h) replaces f.
    let sum = rmsNorm(x, hiddenSize, load<usize>(layer, LAYER_MLGRU_NORM), epsilon, normalised)
    quantizeInput(normalised, hiddenSize, sum, load<usize>(layer, LAYER_I_IN_NORM), normalised, scaled, q0, meta0)
    quantizeNormalized(normalised, hiddenSize, load<usize>(layer, LAYER_F_IN_NORM), scaled, q1, meta1)
    quantizeNormalized(normalised, hiddenSize, load<usize>(layer, LAYER_G_IN_NORM), scaled, q2, meta2)
    gemv(load<usize>(layer, LAYER_I_WEIGHT), q0, hiddenGroups, load<i32>(meta0, 4), stateFirst, stateLast, i)
    gemv(load<usize>(layer, LAYER_F_WEIGHT), q1, hiddenGroups, load<i32>(meta1, 4), stateFirst, stateLast, f)
    gemv(load<usize>(layer, LAYER_G_WEIGHT), q2, hiddenGroups, load<i32>(meta2, 4), stateFirst, stateLast, g)
    const channelFirst = stateFirst << 4
    const channelLast = rowEnd(stateLast, stateWidth)
    dequantize(i, channelFirst, channelLast, dequantizeFactor(load<f32>(layer, LAYER_I_SCALE), meta0))
    dequantize(f, channelFirst, channelLast, dequantizeFactor(load<f32>(layer, LAYER_F_SCALE), meta1))
    dequantize(g, channelFirst, channelLast, dequantizeFactor(load<f32>(layer, LAYER_G_SCALE), meta2))
    mlgru(i, f, load<usize>(layer, LAYER_LOWER_BOUND), state, i, channelFirst, channelLast)
    sigmoidRange(i, f, channelFirst, channelLast)
    barrier()

    sum = mlgruOutput(g, i, f, stateWidth, load<usize>(layer, LAYER_OUT_NORM), epsilon, normalised)
    quantizeInput(normalised, stateWidth, sum, load<usize>(layer, LAYER_O_IN_NORM), normalised, scaled, q0, meta0)
    gemv(
      load<usize>(layer, LAYER_O_WEIGHT),
      q0,
      (stateWidth + 3) >> 2,
      load<i32>(meta0, 4),
      hiddenFirst,
      hiddenLast,
      projected,
    )
    const oFactor = dequantizeFactor(load<f32>(layer, LAYER_O_SCALE), meta0)
    addDequantized(x, projected, hiddenFirst << 4, rowEnd(hiddenLast, hiddenSize), oFactor)
    barrier()

    sum = rmsNorm(x, hiddenSize, load<usize>(layer, LAYER_GLU_NORM), epsilon, normalised)
    quantizeInput(normalised, hiddenSize, sum, load<usize>(layer, LAYER_GATE_UP_IN_NORM), normalised, scaled, q0, meta0)
    const gateSum = load<i32>(meta0, 4)
    gemv(load<usize>(layer, LAYER_GATE_WEIGHT), q0, hiddenGroups, gateSum, gateFirst, gateLast, gate)
    gemv(load<usize>(layer, LAYER_UP_WEIGHT), q0, hiddenGroups, gateSum, gateFirst, gateLast, up)
    const gateFactor = dequantizeFactor(load<f32>(layer, LAYER_GATE_UP_SCALE), meta0)
    const rowFirst = gateFirst << 4
    const rowLast = rowEnd(gateLast, intermediate)
    dequantize(gate, rowFirst, rowLast, gateFactor)
    dequantize(up, rowFirst, rowLast, gateFactor)
    glu(gate, up, rowFirst, rowLast)
    barrier()

    sum = sumOfSquares(gate, intermediate)
    quantizeInput(gate, intermediate, sum, load<usize>(layer, LAYER_DOWN_IN_NORM), normalised, scaled, q0, meta0)
    gemv(
      load<usize>(layer, LAYER_DOWN_WEIGHT),
      q0,
      (intermediate + 3) >> 2,
      load<i32>(meta0, 4),
      hiddenFirst,
      hiddenLast,
      projected,
    )
    const downFactor = dequantizeFactor(load<f32>(layer, LAYER_DOWN_SCALE), meta0)
    addDequantized(x, projected, hiddenFirst << 4, rowEnd(hiddenLast, hiddenSize), downFactor)
    barrier()

    layer += LAYER_RECORD_BYTES
    state += (<usize>stateWidth) << 2
  }
  head(x, load<usize>(SCRATCH_LOGITS), thread, threads)
}

/** Logits f32 [V] of one hidden state f32 [D], rows split between threads. Not whole before the next barrier. */
export function head(x: usize, logits: usize, thread: i32, threads: i32): void {
  const hiddenSize = load<i32>(MODEL_HIDDEN)
  const vocabulary = load<i32>(MODEL_VOCABULARY)
  const normalised = privateBuffer(thread, PRIVATE_NORMALISED)
  const scaled = privateBuffer(thread, PRIVATE_SCALED)
  const q = privateBuffer(thread, PRIVATE_Q0)
  const meta = privateBuffer(thread, PRIVATE_META)
  const blocks = rowBlocks(vocabulary)
  const first = shareStart(blocks, thread, threads)
  const last = shareStart(blocks, thread + 1, threads)

  const sum = rmsNorm(x, hiddenSize, load<usize>(MODEL_OUTPUT_NORM), load<f64>(MODEL_EPSILON), normalised)
  quantizeInput(normalised, hiddenSize, sum, load<usize>(MODEL_OUTPUT_IN_NORM), normalised, scaled, q, meta)
  gemv(load<usize>(MODEL_OUTPUT_WEIGHT), q, (hiddenSize + 3) >> 2, load<i32>(meta, 4), first, last, logits)
  const factor = dequantizeFactor(load<f32>(MODEL_OUTPUT_SCALE), meta)
  dequantize(logits, first << 4, rowEnd(last, vocabulary), factor)
}
