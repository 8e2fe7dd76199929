/**
 * Ternary matrix times several int8 vectors: the same exact sums as bitlinear-gemv.ts, whose weight layout it reads.
 * A weight vector is loaded and its codes separated once for two tokens: 4 row groups x 2 tokens are eight accumulators,
 * as many as stay in registers (see gemvBlocks2).
 */
import { addProducts, addToBlock, clearBlock, finishBlock, gemvBlock, runBytes } from './bitlinear-gemv'
import { LANES, LANES_INT16, MASK_CODE_0, MASK_CODE_1 } from './memory-layout'

/**
 * Blocks first..last-1 of one matrix for T tokens. q int8 [T, qRowBytes], meta [T] records of absmaxQuantize,
 * out i32 [T, outRowBytes].
 */
export function gemm(
  w: usize,
  groups: i32,
  first: i32,
  last: i32,
  tokens: i32,
  q: usize,
  qRowBytes: usize,
  meta: usize,
  out: usize,
  outRowBytes: usize,
): void {
  const bytes = (<usize>groups) << 4
  const inInt16 = ASC_FEATURE_RELAXED_SIMD && load<i32>(LANES) === LANES_INT16
  for (let b = first; b < last; b++) {
    const block = w + <usize>b * bytes
    const blockOut = out + ((<usize>b) << 6)
    let t = 0
    if (ASC_FEATURE_RELAXED_SIMD) {
      for (; t + 2 <= tokens; t += 2) {
        const row = q + <usize>t * qRowBytes
        const sums = meta + ((<usize>t) << 3)
        const to = blockOut + <usize>t * outRowBytes
        if (inInt16) gemmBlock2<i16>(block, groups, row, qRowBytes, sums, to, outRowBytes)
        else gemmBlock2<i32>(block, groups, row, qRowBytes, sums, to, outRowBytes)
      }
    }
    for (; t < tokens; t++) {
      const qSum = load<i32>(meta + ((<usize>t) << 3), 4)
      gemvBlock(block, q + <usize>t * qRowBytes, groups, qSum, blockOut + <usize>t * outRowBytes)
    }
  }
}

/** One block for two tokens, summed in lanes of type T. */
function gemmBlock2<T>(
  w: usize,
  groups: i32,
  q: usize,
  qRowBytes: usize,
  meta: usize,
  out: usize,
  outRowBytes: usize,
): void {
  const mask0 = v128.load(MASK_CODE_0)
  const mask1 = v128.load(MASK_CODE_1)
  const out1 = out + outRowBytes
  clearBlock(out)
  clearBlock(out1)
  let q1 = q + qRowBytes
  const bytes = (<usize>groups) << 4
  const end = w + bytes
  while (w < end) {
    let a0 = i32x4.splat(0)
    let a1 = i32x4.splat(0)
    let a2 = i32x4.splat(0)
    let a3 = i32x4.splat(0)
    let b0 = i32x4.splat(0)
    let b1 = i32x4.splat(0)
    let b2 = i32x4.splat(0)
    let b3 = i32x4.splat(0)
    const runEnd = min<usize>(end, w + runBytes<T>(bytes))
    for (; w < runEnd; w += 16) {
      const x = v128.load32_splat(q)
      const y = v128.load32_splat(q1)
      const low = v128.load(w)
      const high = i16x8.shr_u(low, 4)
      let codes = v128.and(low, mask0)
      a0 = addProducts<T>(x, codes, a0)
      b0 = addProducts<T>(y, codes, b0)
      codes = v128.and(low, mask1)
      a1 = addProducts<T>(x, codes, a1)
      b1 = addProducts<T>(y, codes, b1)
      codes = v128.and(high, mask0)
      a2 = addProducts<T>(x, codes, a2)
      b2 = addProducts<T>(y, codes, b2)
      codes = v128.and(high, mask1)
      a3 = addProducts<T>(x, codes, a3)
      b3 = addProducts<T>(y, codes, b3)
      q += 4
      q1 += 4
    }
    addToBlock<T>(out, a0, a1, a2, a3)
    addToBlock<T>(out1, b0, b1, b2, b3)
  }
  finishBlock(out, load<i32>(meta, 4))
  finishBlock(out1, load<i32>(meta, 12))
}
