/** All matrix products of the model with whatever the quantised inputs hold, and nothing else: for benchmarks. */
import { gemm } from './bitlinear-gemm'
import { gemv } from './bitlinear-gemv'
import * as layout from './memory-layout'
import { rowBlocks, shareStart } from './work-split'

/** Runs COMMAND_GEMV_ONLY (one token) and COMMAND_GEMM_ONLY (COMMAND_COUNT tokens, without the head). */
export function productsOnly(thread: i32, threads: i32, batched: bool): void {
  const hidden = load<i32>(layout.MODEL_HIDDEN)
  const state = load<i32>(layout.MODEL_STATE_WIDTH)
  const intermediate = load<i32>(layout.MODEL_INTERMEDIATE)
  const out = load<usize>(layout.SCRATCH_UP)
  let layer = load<usize>(layout.MODEL_LAYER_RECORDS)
  for (let l = load<i32>(layout.MODEL_LAYERS); l > 0; l--) {
    product(load<usize>(layer, layout.LAYER_I_WEIGHT), state, hidden, out, thread, threads, batched)
    product(load<usize>(layer, layout.LAYER_F_WEIGHT), state, hidden, out, thread, threads, batched)
    product(load<usize>(layer, layout.LAYER_G_WEIGHT), state, hidden, out, thread, threads, batched)
    product(load<usize>(layer, layout.LAYER_O_WEIGHT), hidden, state, out, thread, threads, batched)
    product(load<usize>(layer, layout.LAYER_GATE_WEIGHT), intermediate, hidden, out, thread, threads, batched)
    product(load<usize>(layer, layout.LAYER_UP_WEIGHT), intermediate, hidden, out, thread, threads, batched)
    product(load<usize>(layer, layout.LAYER_DOWN_WEIGHT), hidden, intermediate, out, thread, threads, batched)
    layer += layout.LAYER_RECORD_BYTES
  }
  if (!batched) {
    const logits = load<usize>(layout.SCRATCH_LOGITS)
    product(
      load<usize>(layout.MODEL_OUTPUT_WEIGHT),
      load<i32>(layout.MODEL_VOCABULARY),
      hidden,
      logits,
      thread,
      threads,
      false,
    )
  }
}

function product(w: usize, rows: i32, inputs: i32, out: usize, thread: i32, threads: i32, batched: bool): void {
  const groups = (inputs + 3) >> 2
  const blocks = rowBlocks(rows)
  const first = shareStart(blocks, thread, threads)
  const last = shareStart(blocks, thread + 1, threads)
  const q = load<usize>(layout.SCRATCH_Q0)
  if (!batched) {
    gemv(w, q, groups, 0, first, last, out)
  } else {
    const qRow = load<usize>(layout.SCRATCH_Q_ROW_BYTES)
    gemm(
      w,
      groups,
      first,
      last,
      load<i32>(layout.COMMAND_COUNT),
      q,
      qRow,
      load<usize>(layout.SCRATCH_QMETA0),
      out,
      (<usize>blocks) << 6,
    )
  }
}
