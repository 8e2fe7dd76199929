/**
 * What a thread works with in the present command: sizes of the model, buffers of all threads and its own, and its share of
 * channels and rows. Globals: every thread has an instance of the module for itself, and memory alone is shared.
 */
import * as layout from './memory-layout'
import { rowBlocks, rowEnd, shareStart } from './work-split'

/** D, E, I, V; of the model's norms. */
export let hiddenSize = 0
export let stateWidth = 0
export let intermediate = 0
export let vocabulary = 0
export let epsilon: f64 = 0

/** Buffers of all threads, a row a token. */
export let x: usize = 0
export let i: usize = 0
export let f: usize = 0
export let g: usize = 0
export let gate: usize = 0
export let up: usize = 0
export let projected: usize = 0
export let logits: usize = 0

/** The thread's own. */
export let normalised: usize = 0
export let scaled: usize = 0

/** int8 inputs of up to three matrices, and their records: the thread's own, or a row a token of all threads. */
export let q0: usize = 0
export let q1: usize = 0
export let q2: usize = 0
export let meta0: usize = 0
export let meta1: usize = 0
export let meta2: usize = 0

/** Its blocks of 16 rows, and the same in rows: of i, f, g and the state; of the residual; of gate and up; of the logits. */
export let stateFirst = 0
export let stateLast = 0
export let channelFirst = 0
export let channelLast = 0
export let hiddenFirst = 0
export let hiddenLast = 0
export let hiddenRowFirst = 0
export let hiddenRowLast = 0
export let gateFirst = 0
export let gateLast = 0
export let gateRowFirst = 0
export let gateRowLast = 0
export let logitsFirst = 0
export let logitsLast = 0
export let logitsRowFirst = 0
export let logitsRowLast = 0

/** A thread's private buffers. */
export function privateBuffer(thread: i32, offset: i32): usize {
  return (
    load<usize>(layout.SCRATCH_PRIVATE) +
    <usize>thread * load<usize>(layout.SCRATCH_PRIVATE_BYTES) +
    <usize>offset * load<usize>(layout.SCRATCH_Q_ROW_BYTES)
  )
}

/** The inputs are the thread's own. */
export function takePrivateInputs(thread: i32): void {
  q0 = privateBuffer(thread, layout.PRIVATE_Q0)
  q1 = privateBuffer(thread, layout.PRIVATE_Q1)
  q2 = privateBuffer(thread, layout.PRIVATE_Q2)
  meta0 = privateBuffer(thread, layout.PRIVATE_META)
  meta1 = meta0 + 8
  meta2 = meta0 + 16
}

/** The inputs are those of all tokens. */
export function takeSharedInputs(): void {
  q0 = load<usize>(layout.SCRATCH_Q0)
  q1 = load<usize>(layout.SCRATCH_Q1)
  q2 = load<usize>(layout.SCRATCH_Q2)
  meta0 = load<usize>(layout.SCRATCH_QMETA0)
  meta1 = load<usize>(layout.SCRATCH_QMETA1)
  meta2 = load<usize>(layout.SCRATCH_QMETA2)
}

/** Sets all but the inputs for a command. */
export function take(thread: i32, threads: i32): void {
  hiddenSize = load<i32>(layout.MODEL_HIDDEN)
  stateWidth = load<i32>(layout.MODEL_STATE_WIDTH)
  intermediate = load<i32>(layout.MODEL_INTERMEDIATE)
  vocabulary = load<i32>(layout.MODEL_VOCABULARY)
  epsilon = load<f64>(layout.MODEL_EPSILON)

  x = load<usize>(layout.SCRATCH_HIDDEN)
  i = load<usize>(layout.SCRATCH_I)
  f = load<usize>(layout.SCRATCH_F)
  g = load<usize>(layout.SCRATCH_G)
  gate = load<usize>(layout.SCRATCH_GATE)
  up = load<usize>(layout.SCRATCH_UP)
  projected = load<usize>(layout.SCRATCH_PROJECTED)
  logits = load<usize>(layout.SCRATCH_LOGITS)
  normalised = privateBuffer(thread, layout.PRIVATE_NORMALISED)
  scaled = privateBuffer(thread, layout.PRIVATE_SCALED)

  stateFirst = shareStart(rowBlocks(stateWidth), thread, threads)
  stateLast = shareStart(rowBlocks(stateWidth), thread + 1, threads)
  channelFirst = stateFirst << 4
  channelLast = rowEnd(stateLast, stateWidth)
  hiddenFirst = shareStart(rowBlocks(hiddenSize), thread, threads)
  hiddenLast = shareStart(rowBlocks(hiddenSize), thread + 1, threads)
  hiddenRowFirst = hiddenFirst << 4
  hiddenRowLast = rowEnd(hiddenLast, hiddenSize)
  gateFirst = shareStart(rowBlocks(intermediate), thread, threads)
  gateLast = shareStart(rowBlocks(intermediate), thread + 1, threads)
  gateRowFirst = gateFirst << 4
  gateRowLast = rowEnd(gateLast, intermediate)
  logitsFirst = shareStart(rowBlocks(vocabulary), thread, threads)
  logitsLast = shareStart(rowBlocks(vocabulary), thread + 1, threads)
  logitsRowFirst = logitsFirst << 4
  logitsRowLast = rowEnd(logitsLast, vocabulary)
}
