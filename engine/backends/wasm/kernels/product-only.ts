/** All matrix products of the model with whatever the quantised inputs hold, and nothing else: for benchmarks. */
import { gemm } from './bitlinear-gemm'
import { gemv } from './bitlinear-gemv'
import {
  COMMAND_COUNT,
  LAYER_DOWN_WEIGHT,
  LAYER_F_WEIGHT,
  LAYER_G_WEIGHT,
  LAYER_GATE_WEIGHT,
  LAYER_I_WEIGHT,
  LAYER_O_WEIGHT,
  LAYER_RECORD_BYTES,
  LAYER_UP_WEIGHT,
  MODEL_HIDDEN,
  MODEL_INTERMEDIATE,
  MODEL_LAYER_RECORDS,
  MODEL_LAYERS,
  MODEL_OUTPUT_WEIGHT,
  MODEL_STATE_WIDTH,
  MODEL_VOCABULARY,
  SCRATCH_LOGITS,
  SCRATCH_Q_ROW_BYTES,
  SCRATCH_Q0,
  SCRATCH_QMETA0,
  SCRATCH_UP,
} from './memory-layout'
import { rowBlocks, shareStart } from './work-split'

/** Runs COMMAND_GEMV_ONLY (one token) and COMMAND_GEMM_ONLY (COMMAND_COUNT tokens, without the head). */
export function productsOnly(thread: i32, threads: i32, batched: bool): void {
  const hidden = load<i32>(MODEL_HIDDEN)
  const state = load<i32>(MODEL_STATE_WIDTH)
  const intermediate = load<i32>(MODEL_INTERMEDIATE)
  const out = load<usize>(SCRATCH_UP)
  let layer = load<usize>(MODEL_LAYER_RECORDS)
  for (let l = load<i32>(MODEL_LAYERS); l > 0; l--) {
    product(load<usize>(layer, LAYER_I_WEIGHT), state, hidden, out, thread, threads, batched)
    product(load<usize>(layer, LAYER_F_WEIGHT), state, hidden, out, thread, threads, batched)
    product(load<usize>(layer, LAYER_G_WEIGHT), state, hidden, out, thread, threads, batched)
    product(load<usize>(layer, LAYER_O_WEIGHT), hidden, state, out, thread, threads, batched)
    product(load<usize>(layer, LAYER_GATE_WEIGHT), intermediate, hidden, out, thread, threads, batched)
    product(load<usize>(layer, LAYER_UP_WEIGHT), intermediate, hidden, out, thread, threads, batched)
    product(load<usize>(layer, LAYER_DOWN_WEIGHT), hidden, intermediate, out, thread, threads, batched)
    layer += LAYER_RECORD_BYTES
  }
  if (!batched) {
    const logits = load<usize>(SCRATCH_LOGITS)
    product(load<usize>(MODEL_OUTPUT_WEIGHT), load<i32>(MODEL_VOCABULARY), hidden, logits, thread, threads, false)
  }
}

function product(w: usize, rows: i32, inputs: i32, out: usize, thread: i32, threads: i32, batched: bool): void {
  const groups = (inputs + 3) >> 2
  const blocks = rowBlocks(rows)
  const first = shareStart(blocks, thread, threads)
  const last = shareStart(blocks, thread + 1, threads)
  const q = load<usize>(SCRATCH_Q0)
  if (!batched) {
    gemv(w, q, groups, 0, first, last, out)
  } else {
    const qRow = load<usize>(SCRATCH_Q_ROW_BYTES)
    gemm(
      w,
      groups,
      first,
      last,
      load<i32>(COMMAND_COUNT),
      q,
      qRow,
      load<usize>(SCRATCH_QMETA0),
      out,
      (<usize>blocks) << 6,
    )
  }
}
