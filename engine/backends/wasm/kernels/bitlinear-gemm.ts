/**
 * Ternary matrix times several int8 vectors: the same exact sums as bitlinear-gemv.ts, whose weight layout it reads.
 * A weight vector is loaded and its codes separated once for two tokens: 4 row groups x 2 tokens are eight accumulators,
 * as many as stay in registers (see gemvBlocks2).
 */
import { gemvBlock, storeBlock } from './bitlinear-gemv'
import { MASK_CODE_0, MASK_CODE_1 } from './memory-layout'

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
  for (let b = first; b < last; b++) {
    const block = w + <usize>b * bytes
    const blockOut = out + ((<usize>b) << 6)
    let t = 0
    if (ASC_FEATURE_RELAXED_SIMD) {
      for (; t + 2 <= tokens; t += 2) {
        gemmBlock2(
          block,
          groups,
          q + <usize>t * qRowBytes,
          qRowBytes,
          meta + ((<usize>t) << 3),
          blockOut + <usize>t * outRowBytes,
          outRowBytes,
        )
      }
    }
    for (; t < tokens; t++) {
      const qSum = load<i32>(meta + ((<usize>t) << 3), 4)
      gemvBlock(block, q + <usize>t * qRowBytes, groups, qSum, blockOut + <usize>t * outRowBytes)
    }
  }
}

function dot(q: v128, codes: v128, sum: v128): v128 {
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(q, codes, sum)
}

function gemmBlock2(
  w: usize,
  groups: i32,
  q: usize,
  qRowBytes: usize,
  meta: usize,
  out: usize,
  outRowBytes: usize,
): void {
  let a0 = i32x4.splat(0)
  let a1 = i32x4.splat(0)
  let a2 = i32x4.splat(0)
  let a3 = i32x4.splat(0)
  let b0 = i32x4.splat(0)
  let b1 = i32x4.splat(0)
  let b2 = i32x4.splat(0)
  let b3 = i32x4.splat(0)
  let q1 = q + qRowBytes
  const end = w + ((<usize>groups) << 4)
  for (; w < end; w += 16) {
    const x = v128.load32_splat(q)
    const y = v128.load32_splat(q1)
    const low = v128.load(w)
    const high = i16x8.shr_u(low, 4)
    let codes = v128.and(low, v128.load(MASK_CODE_0))
    a0 = dot(x, codes, a0)
    b0 = dot(y, codes, b0)
    codes = v128.and(low, v128.load(MASK_CODE_1))
    a1 = dot(x, codes, a1)
    b1 = dot(y, codes, b1)
    codes = v128.and(high, v128.load(MASK_CODE_0))
    a2 = dot(x, codes, a2)
    b2 = dot(y, codes, b2)
    codes = v128.and(high, v128.load(MASK_CODE_1))
    a3 = dot(x, codes, a3)
    b3 = dot(y, codes, b3)
    q += 4
    q1 += 4
  }
  storeBlock(out, a0, a1, a2, a3, load<i32>(meta, 4))
  storeBlock(out + outRowBytes, b0, b1, b2, b3, load<i32>(meta, 12))
}
