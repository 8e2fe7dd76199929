/**
 * One chunk of tokens of one thread: as step.ts, but with matrix products over all tokens of the chunk. What needs whole
 * rows (norms, quantisation) is split by tokens, matrix rows and the recurrence by channels; every float operation is
 * the one of step.ts in the same order, so chunks of any size give the same bits. Each token names the address of its
 * recurrent state: tokens of one sequence are advanced in order, tokens of several sequences side by side.
 */
import { barrier } from './barrier'
import { gemm } from './bitlinear-gemm'
import { quantizeInput, quantizeNormalized } from './bitlinear-input'
import { addDequantized, dequantize, dequantizeFactor } from './dequantize'
import { embeddingRow } from './embedding'
import { glu } from './glu'
import * as layout from './memory-layout'
import { mlgru, mlgruOutput, sigmoidRange } from './mlgru'
import { rmsNorm, sumOfSquares } from './rms-norm'
import * as share from './share'
import { head } from './step'
import { rowBlocks, shareStart } from './work-split'

let tokens = 0
/** The thread's: whatever needs whole rows. */
let tokenFirst = 0
let tokenLast = 0
/** Bytes of a token's row: of the residual; of i, f, g; of gate and up; of int8 inputs. */
let hiddenRow: usize = 0
let stateRow: usize = 0
let gateRow: usize = 0
let qRow: usize = 0
/** Bytes of a float row padded to whole blocks of 16 values. */
function rowBytes(values: i32): usize {
  return (<usize>rowBlocks(values)) << 6
}

function takeTokens(thread: i32, threads: i32): void {
  tokens = load<i32>(layout.COMMAND_COUNT)
  tokenFirst = shareStart(tokens, thread, threads)
  tokenLast = shareStart(tokens, thread + 1, threads)
  hiddenRow = rowBytes(share.hiddenSize)
  stateRow = rowBytes(share.stateWidth)
  gateRow = rowBytes(share.intermediate)
  qRow = load<usize>(layout.SCRATCH_Q_ROW_BYTES)
  share.takeSharedInputs()
}

/** Runs COMMAND_PREFILL. */
export function prefill(thread: i32, threads: i32): void {
  share.take(thread, threads)
  takeTokens(thread, threads)
  // The tokens of a thread are its own until the first barrier: their embedding needs none.
  for (let t = tokenFirst; t < tokenLast; t++) {
    const token = load<usize>(load<usize>(layout.SCRATCH_TOKEN_IDS) + ((<usize>t) << 2))
    const row = load<usize>(layout.MODEL_EMBEDDING) + token * load<usize>(layout.MODEL_EMBEDDING_ROW_BYTES)
    embeddingRow(row, load<i32>(layout.MODEL_EMBEDDING_TYPE), share.hiddenSize, share.x + <usize>t * hiddenRow)
  }

  let layer = load<usize>(layout.MODEL_LAYER_RECORDS)
  let layerState: usize = 0
  for (let l = load<i32>(layout.MODEL_LAYERS); l > 0; l--) {
    mlgruInputs(layer)
    barrier()
    mlgruRows(layer, layerState)
    barrier()
    mlgruOutputs(layer)
    barrier()
    addProducts(load<usize>(layer, layout.LAYER_O_WEIGHT), share.stateWidth, load<f32>(layer, layout.LAYER_O_SCALE))
    barrier()
    normInputs(load<usize>(layer, layout.LAYER_GLU_NORM), load<usize>(layer, layout.LAYER_GATE_UP_IN_NORM))
    barrier()
    gluRows(layer)
    barrier()
    gluDownInputs(layer)
    barrier()
    addProducts(
      load<usize>(layer, layout.LAYER_DOWN_WEIGHT),
      share.intermediate,
      load<f32>(layer, layout.LAYER_DOWN_SCALE),
    )
    barrier()
    layer += layout.LAYER_RECORD_BYTES
    layerState += (<usize>share.stateWidth) << 2
  }

  const wanted = load<i32>(layout.COMMAND_LOGITS)
  if (wanted === layout.LOGITS_LAST) head(share.x + <usize>(tokens - 1) * hiddenRow, share.logits, thread)
  else if (wanted === layout.LOGITS_ALL) allLogits()
}

/** int8 inputs of i, f and g, which share the norm and its root. */
function mlgruInputs(layer: usize): void {
  const n = share.hiddenSize
  const normalised = share.normalised
  const scaled = share.scaled
  const norm = load<usize>(layer, layout.LAYER_MLGRU_NORM)
  const iNorm = load<usize>(layer, layout.LAYER_I_IN_NORM)
  const fNorm = load<usize>(layer, layout.LAYER_F_IN_NORM)
  const gNorm = load<usize>(layer, layout.LAYER_G_IN_NORM)
  for (let t = tokenFirst; t < tokenLast; t++) {
    const to = <usize>t * qRow
    const record = (<usize>t) << 3
    const sum = rmsNorm(share.x + <usize>t * hiddenRow, n, norm, share.epsilon, normalised)
    quantizeInput(normalised, n, sum, iNorm, normalised, scaled, share.q0 + to, share.meta0 + record)
    quantizeNormalized(normalised, n, fNorm, scaled, share.q1 + to, share.meta1 + record)
    quantizeNormalized(normalised, n, gNorm, scaled, share.q2 + to, share.meta2 + record)
  }
}

/** i, f, g and the recurrence, by channel. h replaces i, sigmoid(h) replaces f. */
function mlgruRows(layer: usize, layerState: usize): void {
  const n = share.hiddenSize
  const first = share.stateFirst
  const last = share.stateLast
  products(load<usize>(layer, layout.LAYER_I_WEIGHT), n, first, last, share.q0, share.meta0, share.i, stateRow)
  products(load<usize>(layer, layout.LAYER_F_WEIGHT), n, first, last, share.q1, share.meta1, share.f, stateRow)
  products(load<usize>(layer, layout.LAYER_G_WEIGHT), n, first, last, share.q2, share.meta2, share.g, stateRow)
  const states = load<usize>(layout.SCRATCH_TOKEN_STATES)
  const lowerBound = load<usize>(layer, layout.LAYER_LOWER_BOUND)
  const from = share.channelFirst
  const to = share.channelLast
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const i = share.i + t * stateRow
    const f = share.f + t * stateRow
    const record = t << 3
    dequantize(i, from, to, dequantizeFactor(load<f32>(layer, layout.LAYER_I_SCALE), share.meta0 + record))
    dequantize(f, from, to, dequantizeFactor(load<f32>(layer, layout.LAYER_F_SCALE), share.meta1 + record))
    const gFactor = dequantizeFactor(load<f32>(layer, layout.LAYER_G_SCALE), share.meta2 + record)
    dequantize(share.g + t * stateRow, from, to, gFactor)
    mlgru(i, f, lowerBound, load<usize>(states + (t << 2)) + layerState, i, from, to)
    sigmoidRange(i, f, from, to)
  }
}

/** What the states show, as the inputs of o. */
function mlgruOutputs(layer: usize): void {
  const n = share.stateWidth
  const outNorm = load<usize>(layer, layout.LAYER_OUT_NORM)
  for (let t = tokenFirst; t < tokenLast; t++) {
    const row = <usize>t * stateRow
    const sum = mlgruOutput(share.g + row, share.i + row, share.f + row, n, outNorm, share.epsilon, share.normalised)
    quantizeToken(t, share.normalised, n, sum, load<usize>(layer, layout.LAYER_O_IN_NORM))
  }
}

/** silu(gate) up, which replaces gate. */
function gluRows(layer: usize): void {
  const n = share.hiddenSize
  const first = share.gateFirst
  const last = share.gateLast
  products(load<usize>(layer, layout.LAYER_GATE_WEIGHT), n, first, last, share.q0, share.meta0, share.gate, gateRow)
  products(load<usize>(layer, layout.LAYER_UP_WEIGHT), n, first, last, share.q0, share.meta0, share.up, gateRow)
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const gate = share.gate + t * gateRow
    const up = share.up + t * gateRow
    const factor = dequantizeFactor(load<f32>(layer, layout.LAYER_GATE_UP_SCALE), share.meta0 + (t << 3))
    dequantize(gate, share.gateRowFirst, share.gateRowLast, factor)
    dequantize(up, share.gateRowFirst, share.gateRowLast, factor)
    glu(gate, up, share.gateRowFirst, share.gateRowLast)
  }
}

function gluDownInputs(layer: usize): void {
  const n = share.intermediate
  for (let t = tokenFirst; t < tokenLast; t++) {
    const gate = share.gate + <usize>t * gateRow
    quantizeToken(t, gate, n, sumOfSquares(gate, n), load<usize>(layer, layout.LAYER_DOWN_IN_NORM))
  }
}

/** The residual through a norm, as the inputs of one matrix. */
function normInputs(norm: usize, inNorm: usize): void {
  const n = share.hiddenSize
  for (let t = tokenFirst; t < tokenLast; t++) {
    const sum = rmsNorm(share.x + <usize>t * hiddenRow, n, norm, share.epsilon, share.normalised)
    quantizeToken(t, share.normalised, n, sum, inNorm)
  }
}

function allLogits(): void {
  normInputs(load<usize>(layout.MODEL_OUTPUT_NORM), load<usize>(layout.MODEL_OUTPUT_IN_NORM))
  barrier()
  const row = rowBytes(share.vocabulary)
  const weight = load<usize>(layout.MODEL_OUTPUT_WEIGHT)
  products(weight, share.hiddenSize, share.logitsFirst, share.logitsLast, share.q0, share.meta0, share.logits, row)
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const factor = dequantizeFactor(load<f32>(layout.MODEL_OUTPUT_SCALE), share.meta0 + (t << 3))
    dequantize(share.logits + t * row, share.logitsRowFirst, share.logitsRowLast, factor)
  }
}

/** x f32 [n], whose sum of squares is known, as a token's input of one matrix. */
function quantizeToken(t: i32, x: usize, n: i32, sum: f64, inNorm: usize): void {
  const meta = share.meta0 + ((<usize>t) << 3)
  quantizeInput(x, n, sum, inNorm, share.normalised, share.scaled, share.q0 + <usize>t * qRow, meta)
}

/** Blocks first..last-1 of a matrix with n inputs, for all tokens. */
function products(
  weight: usize,
  n: i32,
  first: i32,
  last: i32,
  q: usize,
  meta: usize,
  out: usize,
  outRow: usize,
): void {
  gemm(weight, (n + 3) >> 2, first, last, tokens, q, qRow, meta, out, outRow)
}

/** x += the thread's rows of a matrix with n inputs, for all tokens. */
function addProducts(weight: usize, n: i32, scale: f32): void {
  products(weight, n, share.hiddenFirst, share.hiddenLast, share.q0, share.meta0, share.projected, hiddenRow)
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const factor = dequantizeFactor(scale, share.meta0 + (t << 3))
    const row = t * hiddenRow
    addDequantized(share.x + row, share.projected + row, share.hiddenRowFirst, share.hiddenRowLast, factor)
  }
}
