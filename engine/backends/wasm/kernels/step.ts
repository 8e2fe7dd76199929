/**
 * One decode step of one thread: a token in, logits out, everything between in one call. Matrix rows are split between
 * threads so that whatever is elementwise afterwards stays on the thread that made it: rows of i, f and g by channel,
 * rows of gate and up in pairs. Norms and quantisations of shared vectors are cheap and done by every thread for itself,
 * in private memory; so a layer needs four barriers.
 */
import { barrier } from './barrier'
import { gemv } from './bitlinear-gemv'
import { quantizeInput, quantizeNormalized } from './bitlinear-input'
import { addDequantized, dequantize, dequantizeFactor } from './dequantize'
import { embeddingRow } from './embedding'
import { glu } from './glu'
import * as layout from './memory-layout'
import { mlgru, mlgruOutput, sigmoidRange } from './mlgru'
import { rmsNorm, sumOfSquares } from './rms-norm'
import * as share from './share'

/** Runs COMMAND_DECODE. */
export function decode(thread: i32, threads: i32): void {
  share.take(thread, threads)
  share.takePrivateInputs(thread)
  if (thread === 0) {
    const token = <usize>load<i32>(layout.COMMAND_COUNT)
    const row = load<usize>(layout.MODEL_EMBEDDING) + token * load<usize>(layout.MODEL_EMBEDDING_ROW_BYTES)
    embeddingRow(row, load<i32>(layout.MODEL_EMBEDDING_TYPE), share.hiddenSize, share.x)
  }
  barrier()

  let layer = load<usize>(layout.MODEL_LAYER_RECORDS)
  let state = load<usize>(layout.COMMAND_STATE)
  for (let l = load<i32>(layout.MODEL_LAYERS); l > 0; l--) {
    mlgruRows(layer, state)
    barrier()
    mlgruOutputRows(layer)
    barrier()
    gluRows(layer)
    barrier()
    gluDownRows(layer)
    barrier()
    layer += layout.LAYER_RECORD_BYTES
    state += (<usize>share.stateWidth) << 2
  }
  headRows(share.x, share.logits)
}

/** Logits f32 [V] of one hidden state f32 [D], rows split between threads. Not whole before the next barrier. */
export function head(x: usize, logits: usize, thread: i32): void {
  share.takePrivateInputs(thread)
  headRows(x, logits)
}

/** i, f, g and the recurrence, by channel. h replaces i, sigmoid(h) replaces f. */
function mlgruRows(layer: usize, state: usize): void {
  const n = share.hiddenSize
  const normalised = share.normalised
  const scaled = share.scaled
  const sum = rmsNorm(share.x, n, load<usize>(layer, layout.LAYER_MLGRU_NORM), share.epsilon, normalised)
  quantizeInput(
    normalised,
    n,
    sum,
    load<usize>(layer, layout.LAYER_I_IN_NORM),
    normalised,
    scaled,
    share.q0,
    share.meta0,
  )
  quantizeNormalized(normalised, n, load<usize>(layer, layout.LAYER_F_IN_NORM), scaled, share.q1, share.meta1)
  quantizeNormalized(normalised, n, load<usize>(layer, layout.LAYER_G_IN_NORM), scaled, share.q2, share.meta2)
  const first = share.stateFirst
  const last = share.stateLast
  product(load<usize>(layer, layout.LAYER_I_WEIGHT), n, share.q0, share.meta0, first, last, share.i)
  product(load<usize>(layer, layout.LAYER_F_WEIGHT), n, share.q1, share.meta1, first, last, share.f)
  product(load<usize>(layer, layout.LAYER_G_WEIGHT), n, share.q2, share.meta2, first, last, share.g)
  const from = share.channelFirst
  const to = share.channelLast
  dequantize(share.i, from, to, dequantizeFactor(load<f32>(layer, layout.LAYER_I_SCALE), share.meta0))
  dequantize(share.f, from, to, dequantizeFactor(load<f32>(layer, layout.LAYER_F_SCALE), share.meta1))
  dequantize(share.g, from, to, dequantizeFactor(load<f32>(layer, layout.LAYER_G_SCALE), share.meta2))
  mlgru(share.i, share.f, load<usize>(layer, layout.LAYER_LOWER_BOUND), state, share.i, from, to)
  sigmoidRange(share.i, share.f, from, to)
}

/** What the state shows, through o, to the residual. */
function mlgruOutputRows(layer: usize): void {
  const n = share.stateWidth
  const outNorm = load<usize>(layer, layout.LAYER_OUT_NORM)
  const sum = mlgruOutput(share.g, share.i, share.f, n, outNorm, share.epsilon, share.normalised)
  quantize(share.normalised, n, sum, load<usize>(layer, layout.LAYER_O_IN_NORM))
  addProduct(load<usize>(layer, layout.LAYER_O_WEIGHT), n, load<f32>(layer, layout.LAYER_O_SCALE))
}

/** silu(gate) up, which replaces gate. */
function gluRows(layer: usize): void {
  const n = share.hiddenSize
  const sum = rmsNorm(share.x, n, load<usize>(layer, layout.LAYER_GLU_NORM), share.epsilon, share.normalised)
  quantize(share.normalised, n, sum, load<usize>(layer, layout.LAYER_GATE_UP_IN_NORM))
  const first = share.gateFirst
  const last = share.gateLast
  product(load<usize>(layer, layout.LAYER_GATE_WEIGHT), n, share.q0, share.meta0, first, last, share.gate)
  product(load<usize>(layer, layout.LAYER_UP_WEIGHT), n, share.q0, share.meta0, first, last, share.up)
  const factor = dequantizeFactor(load<f32>(layer, layout.LAYER_GATE_UP_SCALE), share.meta0)
  dequantize(share.gate, share.gateRowFirst, share.gateRowLast, factor)
  dequantize(share.up, share.gateRowFirst, share.gateRowLast, factor)
  glu(share.gate, share.up, share.gateRowFirst, share.gateRowLast)
}

/** The way back to the residual. */
function gluDownRows(layer: usize): void {
  const n = share.intermediate
  quantize(share.gate, n, sumOfSquares(share.gate, n), load<usize>(layer, layout.LAYER_DOWN_IN_NORM))
  addProduct(load<usize>(layer, layout.LAYER_DOWN_WEIGHT), n, load<f32>(layer, layout.LAYER_DOWN_SCALE))
}

function headRows(x: usize, logits: usize): void {
  const n = share.hiddenSize
  const sum = rmsNorm(x, n, load<usize>(layout.MODEL_OUTPUT_NORM), share.epsilon, share.normalised)
  quantize(share.normalised, n, sum, load<usize>(layout.MODEL_OUTPUT_IN_NORM))
  product(
    load<usize>(layout.MODEL_OUTPUT_WEIGHT),
    n,
    share.q0,
    share.meta0,
    share.logitsFirst,
    share.logitsLast,
    logits,
  )
  const factor = dequantizeFactor(load<f32>(layout.MODEL_OUTPUT_SCALE), share.meta0)
  dequantize(logits, share.logitsRowFirst, share.logitsRowLast, factor)
}

/** x f32 [n], whose sum of squares is known, as the input of one matrix. */
function quantize(x: usize, n: i32, sum: f64, inNorm: usize): void {
  quantizeInput(x, n, sum, inNorm, share.normalised, share.scaled, share.q0, share.meta0)
}

/** Blocks first..last-1 of a matrix with n inputs. */
function product(weight: usize, n: i32, q: usize, meta: usize, first: i32, last: i32, out: usize): void {
  gemv(weight, q, (n + 3) >> 2, load<i32>(meta, 4), first, last, out)
}

/** x += the thread's rows of a matrix with n inputs. */
function addProduct(weight: usize, n: i32, scale: f32): void {
  product(weight, n, share.q0, share.meta0, share.hiddenFirst, share.hiddenLast, share.projected)
  const factor = dequantizeFactor(scale, share.meta0)
  addDequantized(share.x, share.projected, share.hiddenRowFirst, share.hiddenRowLast, factor)
}
