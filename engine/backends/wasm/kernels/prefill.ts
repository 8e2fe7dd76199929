/**
 * One chunk of tokens of one thread: as step.ts, but with matrix products over all tokens of the chunk. What needs whole
 * rows (norms, quantisation) is split by tokens, matrix rows and the recurrence by channels; every float operation is
 * the one of step.ts in the same order, so chunks of any size give the same bits. Each token names the address of its
 * recurrent state: tokens of one sequence are advanced in order, tokens of several sequences side by side.
 */
import { barrier } from './barrier'
import { gemm } from './bitlinear-gemm'
import { addDequantized, dequantize, dequantizeFactor } from './dequantize'
import { embeddingRow } from './embedding'
import { glu } from './glu'
import {
  COMMAND_COUNT,
  COMMAND_LOGITS,
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
  LOGITS_ALL,
  LOGITS_LAST,
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
  PRIVATE_NORMALISED,
  PRIVATE_SCALED,
  SCRATCH_F,
  SCRATCH_G,
  SCRATCH_GATE,
  SCRATCH_HIDDEN,
  SCRATCH_I,
  SCRATCH_LOGITS,
  SCRATCH_PROJECTED,
  SCRATCH_Q_ROW_BYTES,
  SCRATCH_Q0,
  SCRATCH_Q1,
  SCRATCH_Q2,
  SCRATCH_QMETA0,
  SCRATCH_QMETA1,
  SCRATCH_QMETA2,
  SCRATCH_TOKEN_IDS,
  SCRATCH_TOKEN_STATES,
  SCRATCH_UP,
} from './memory-layout'
import { mlgru, mlgruOutput, sigmoidRange } from './mlgru'
import { rmsNorm, sumOfSquares } from './rms-norm'
import { head, privateBuffer, quantizeInput, quantizeNormalized } from './step'
import { rowBlocks, rowEnd, shareStart } from './work-split'

/** Bytes of a float row padded to whole blocks of 16 values. */
function rowBytes(values: i32): usize {
  return (<usize>rowBlocks(values)) << 6
}

/** Runs COMMAND_PREFILL. */
export function prefill(thread: i32, threads: i32): void {
  const tokens = load<i32>(COMMAND_COUNT)
  const hiddenSize = load<i32>(MODEL_HIDDEN)
  const stateWidth = load<i32>(MODEL_STATE_WIDTH)
  const intermediate = load<i32>(MODEL_INTERMEDIATE)
  const epsilon = load<f64>(MODEL_EPSILON)
  const hiddenGroups = (hiddenSize + 3) >> 2
  const hiddenRow = rowBytes(hiddenSize)
  const stateRow = rowBytes(stateWidth)
  const gateRow = rowBytes(intermediate)

  const x = load<usize>(SCRATCH_HIDDEN)
  const i = load<usize>(SCRATCH_I)
  const f = load<usize>(SCRATCH_F)
  const g = load<usize>(SCRATCH_G)
  const gate = load<usize>(SCRATCH_GATE)
  const up = load<usize>(SCRATCH_UP)
  const projected = load<usize>(SCRATCH_PROJECTED)
  const qRow = load<usize>(SCRATCH_Q_ROW_BYTES)
  const q0 = load<usize>(SCRATCH_Q0)
  const q1 = load<usize>(SCRATCH_Q1)
  const q2 = load<usize>(SCRATCH_Q2)
  const meta0 = load<usize>(SCRATCH_QMETA0)
  const meta1 = load<usize>(SCRATCH_QMETA1)
  const meta2 = load<usize>(SCRATCH_QMETA2)
  const normalised = privateBuffer(thread, PRIVATE_NORMALISED)
  const scaled = privateBuffer(thread, PRIVATE_SCALED)

  const tokenFirst = shareStart(tokens, thread, threads)
  const tokenLast = shareStart(tokens, thread + 1, threads)
  const stateBlocks = rowBlocks(stateWidth)
  const stateFirst = shareStart(stateBlocks, thread, threads)
  const stateLast = shareStart(stateBlocks, thread + 1, threads)
  const channelFirst = stateFirst << 4
  const channelLast = rowEnd(stateLast, stateWidth)
  const hiddenBlocks = rowBlocks(hiddenSize)
  const hiddenFirst = shareStart(hiddenBlocks, thread, threads)
  const hiddenLast = shareStart(hiddenBlocks, thread + 1, threads)
  const gateBlocks = rowBlocks(intermediate)
  const gateFirst = shareStart(gateBlocks, thread, threads)
  const gateLast = shareStart(gateBlocks, thread + 1, threads)

  // The tokens of a thread are its own until the first barrier: their embedding needs none.
  for (let t = tokenFirst; t < tokenLast; t++) {
    const token = load<usize>(load<usize>(SCRATCH_TOKEN_IDS) + ((<usize>t) << 2))
    const row = load<usize>(MODEL_EMBEDDING) + token * load<usize>(MODEL_EMBEDDING_ROW_BYTES)
    embeddingRow(row, load<i32>(MODEL_EMBEDDING_TYPE), hiddenSize, x + <usize>t * hiddenRow)
  }

  const states = load<usize>(SCRATCH_TOKEN_STATES)
  let layer = load<usize>(MODEL_LAYER_RECORDS)
  let layerState: usize = 0
  for (let l = load<i32>(MODEL_LAYERS); l > 0; l--) {
    for (let t = tokenFirst; t < tokenLast; t++) {
      const at = <usize>t
      const to = at * qRow
      const record = at << 3
      const norm = load<usize>(layer, LAYER_MLGRU_NORM)
      const sum = rmsNorm(x + at * hiddenRow, hiddenSize, norm, epsilon, normalised)
      const iNorm = load<usize>(layer, LAYER_I_IN_NORM)
      const fNorm = load<usize>(layer, LAYER_F_IN_NORM)
      const gNorm = load<usize>(layer, LAYER_G_IN_NORM)
      quantizeInput(normalised, hiddenSize, sum, iNorm, normalised, scaled, q0 + to, meta0 + record)
      quantizeNormalized(normalised, hiddenSize, fNorm, scaled, q1 + to, meta1 + record)
      quantizeNormalized(normalised, hiddenSize, gNorm, scaled, q2 + to, meta2 + record)
    }
    barrier()

    gemm(load<usize>(layer, LAYER_I_WEIGHT), hiddenGroups, stateFirst, stateLast, tokens, q0, qRow, meta0, i, stateRow)
    gemm(load<usize>(layer, LAYER_F_WEIGHT), hiddenGroups, stateFirst, stateLast, tokens, q1, qRow, meta1, f, stateRow)
    gemm(load<usize>(layer, LAYER_G_WEIGHT), hiddenGroups, stateFirst, stateLast, tokens, q2, qRow, meta2, g, stateRow)
    for (let t = 0; t < tokens; t++) {
      const at = <usize>t
      const iRow = i + at * stateRow
      const fRow = f + at * stateRow
      const iFactor = dequantizeFactor(load<f32>(layer, LAYER_I_SCALE), meta0 + (at << 3))
      const fFactor = dequantizeFactor(load<f32>(layer, LAYER_F_SCALE), meta1 + (at << 3))
      const gFactor = dequantizeFactor(load<f32>(layer, LAYER_G_SCALE), meta2 + (at << 3))
      dequantize(iRow, channelFirst, channelLast, iFactor)
      dequantize(fRow, channelFirst, channelLast, fFactor)
      dequantize(g + at * stateRow, channelFirst, channelLast, gFactor)
      const state = load<usize>(states + (at << 2)) + layerState
      mlgru(iRow, fRow, load<usize>(layer, LAYER_LOWER_BOUND), state, iRow, channelFirst, channelLast)
      sigmoidRange(iRow, fRow, channelFirst, channelLast)
    }
    barrier()

    for (let t = tokenFirst; t < tokenLast; t++) {
      const at = <usize>t
      const row = at * stateRow
      const outNorm = load<usize>(layer, LAYER_OUT_NORM)
      const sum = mlgruOutput(g + row, i + row, f + row, stateWidth, outNorm, epsilon, normalised)
      const inNorm = load<usize>(layer, LAYER_O_IN_NORM)
      quantizeInput(normalised, stateWidth, sum, inNorm, normalised, scaled, q0 + at * qRow, meta0 + (at << 3))
    }
    barrier()

    gemm(
      load<usize>(layer, LAYER_O_WEIGHT),
      (stateWidth + 3) >> 2,
      hiddenFirst,
      hiddenLast,
      tokens,
      q0,
      qRow,
      meta0,
      projected,
      hiddenRow,
    )
    addProjected(x, projected, hiddenRow, tokens, hiddenFirst, hiddenLast, load<f32>(layer, LAYER_O_SCALE), meta0)
    barrier()

    for (let t = tokenFirst; t < tokenLast; t++) {
      const at = <usize>t
      const norm = load<usize>(layer, LAYER_GLU_NORM)
      const sum = rmsNorm(x + at * hiddenRow, hiddenSize, norm, epsilon, normalised)
      const inNorm = load<usize>(layer, LAYER_GATE_UP_IN_NORM)
      quantizeInput(normalised, hiddenSize, sum, inNorm, normalised, scaled, q0 + at * qRow, meta0 + (at << 3))
    }
    barrier()

    const gateWeight = load<usize>(layer, LAYER_GATE_WEIGHT)
    const upWeight = load<usize>(layer, LAYER_UP_WEIGHT)
    gemm(gateWeight, hiddenGroups, gateFirst, gateLast, tokens, q0, qRow, meta0, gate, gateRow)
    gemm(upWeight, hiddenGroups, gateFirst, gateLast, tokens, q0, qRow, meta0, up, gateRow)
    for (let t = 0; t < tokens; t++) {
      const row = <usize>t * gateRow
      const first = gateFirst << 4
      const last = rowEnd(gateLast, intermediate)
      const factor = dequantizeFactor(load<f32>(layer, LAYER_GATE_UP_SCALE), meta0 + ((<usize>t) << 3))
      dequantize(gate + row, first, last, factor)
      dequantize(up + row, first, last, factor)
      glu(gate + row, up + row, first, last)
    }
    barrier()

    for (let t = tokenFirst; t < tokenLast; t++) {
      const at = <usize>t
      const inNorm = load<usize>(layer, LAYER_DOWN_IN_NORM)
      const gateInput = gate + at * gateRow
      const sum = sumOfSquares(gateInput, intermediate)
      quantizeInput(gateInput, intermediate, sum, inNorm, normalised, scaled, q0 + at * qRow, meta0 + (at << 3))
    }
    barrier()

    gemm(
      load<usize>(layer, LAYER_DOWN_WEIGHT),
      (intermediate + 3) >> 2,
      hiddenFirst,
      hiddenLast,
      tokens,
      q0,
      qRow,
      meta0,
      projected,
      hiddenRow,
    )
    addProjected(x, projected, hiddenRow, tokens, hiddenFirst, hiddenLast, load<f32>(layer, LAYER_DOWN_SCALE), meta0)
    barrier()

    layer += LAYER_RECORD_BYTES
    layerState += (<usize>stateWidth) << 2
  }

  const wanted = load<i32>(COMMAND_LOGITS)
  const logits = load<usize>(SCRATCH_LOGITS)
  if (wanted === LOGITS_LAST) {
    head(x + <usize>(tokens - 1) * hiddenRow, logits, thread, threads)
  } else if (wanted === LOGITS_ALL) {
    const vocabulary = load<i32>(MODEL_VOCABULARY)
    const logitsRow = rowBytes(vocabulary)
    const blocks = rowBlocks(vocabulary)
    const first = shareStart(blocks, thread, threads)
    const last = shareStart(blocks, thread + 1, threads)
    for (let t = tokenFirst; t < tokenLast; t++) {
      const at = <usize>t
      const norm = load<usize>(MODEL_OUTPUT_NORM)
      const sum = rmsNorm(x + at * hiddenRow, hiddenSize, norm, epsilon, normalised)
      const inNorm = load<usize>(MODEL_OUTPUT_IN_NORM)
      quantizeInput(normalised, hiddenSize, sum, inNorm, normalised, scaled, q0 + at * qRow, meta0 + (at << 3))
    }
    barrier()
    gemm(load<usize>(MODEL_OUTPUT_WEIGHT), hiddenGroups, first, last, tokens, q0, qRow, meta0, logits, logitsRow)
    for (let t = 0; t < tokens; t++) {
      const factor = dequantizeFactor(load<f32>(MODEL_OUTPUT_SCALE), meta0 + ((<usize>t) << 3))
      dequantize(logits + <usize>t * logitsRow, first << 4, rowEnd(last, vocabulary), factor)
    }
  }
}

/** x += projected * factor for every token, rows of blocks first..last-1. */
function addProjected(
  x: usize,
  projected: usize,
  row: usize,
  tokens: i32,
  first: i32,
  last: i32,
  scale: f32,
  meta: usize,
): void {
  const end = rowEnd(last, load<i32>(MODEL_HIDDEN))
  for (let t: usize = 0; t < <usize>tokens; t++) {
    addDequantized(x + t * row, projected + t * row, first << 4, end, dequantizeFactor(scale, meta + (t << 3)))
  }
}
