/**
 * Ternary matrix times one int8 vector: exact integer sums. Nothing here knows of scales or norms.
 *
 * Weight layout: blocks of 16 rows. A block holds one 16-byte vector for each group of 4 inputs; byte 4j + t of it
 * holds the codes (weight + 1, 2 bits each, low bits first) of rows j, 4 + j, 8 + j and 12 + j for input t of the
 * group. So one load gives 16 rows x 4 inputs, an accumulator's lanes are rows, and nothing is summed across lanes.
 * Rows are padded to 16 and inputs to 4; the activation of a padded input is 0.
 *
 * sum(q * t) = sum(q * code) - sum(q), the latter subtracted once. The second and fourth code of a byte are used in
 * place, four times too large, and accumulated apart, so a byte needs one shift: at most 12 * 128 * K < 2^31 for
 * K < 2^20.
 */
import { MASK_CODE_0, MASK_CODE_1 } from './memory-layout'

/** Bytes of a block of 16 rows. */
export function blockBytes(inputs: i32): usize {
  return (<usize>((inputs + 3) >> 2)) << 4
}

function dot(q: v128, codes: v128, sum: v128): v128 {
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(q, codes, sum)
}

/** The inputs of even, and of odd, place in a group of four as int16 pairs, matching the low and high byte of codes. */
function evenInputs(q: v128): v128 {
  return i16x8.shr_s(i16x8.shl(q, 8), 8)
}
function oddInputs(q: v128): v128 {
  return i16x8.shr_s(q, 8)
}
/** sum + the products of the codes at `mask` (0x0003 or 0x000c) in both bytes of every 16-bit lane. */
function dot16(even: v128, odd: v128, low: v128, high: v128, mask: v128, sum: v128): v128 {
  return i32x4.add(
    i32x4.add(sum, i32x4.dot_i16x8_s(even, v128.and(low, mask))),
    i32x4.dot_i16x8_s(odd, v128.and(high, mask)),
  )
}

/** Writes rows (i32 [16]) from the four accumulators of a block. */
export function storeBlock(out: usize, a0: v128, a1: v128, a2: v128, a3: v128, qSum: i32): void {
  const s = i32x4.splat(qSum)
  v128.store(out, i32x4.sub(a0, s))
  v128.store(out, i32x4.sub(i32x4.shr_s(a1, 2), s), 16)
  v128.store(out, i32x4.sub(a2, s), 32)
  v128.store(out, i32x4.sub(i32x4.shr_s(a3, 2), s), 48)
}

/** One block without SIMD. */
function gemvBlockScalar(w: usize, q: usize, groups: i32, qSum: i32, out: usize): void {
  for (let j: usize = 0; j < 4; j++) {
    let a0 = 0
    let a1 = 0
    let a2 = 0
    let a3 = 0
    let p = w + 4 * j
    let x = q
    for (let g = 0; g < groups; g++) {
      for (let t: usize = 0; t < 4; t++) {
        const codes = <i32>load<u8>(p + t)
        const value = <i32>load<i8>(x + t)
        a0 += (codes & 3) * value
        a1 += ((codes >> 2) & 3) * value
        a2 += ((codes >> 4) & 3) * value
        a3 += (codes >> 6) * value
      }
      p += 16
      x += 4
    }
    store<i32>(out + 4 * j, a0 - qSum)
    store<i32>(out + 4 * j, a1 - qSum, 16)
    store<i32>(out + 4 * j, a2 - qSum, 32)
    store<i32>(out + 4 * j, a3 - qSum, 48)
  }
}

/** One block: out i32 [16]. */
export function gemvBlock(w: usize, q: usize, groups: i32, qSum: i32, out: usize): void {
  if (ASC_FEATURE_SIMD) {
    let a0 = i32x4.splat(0)
    let a1 = i32x4.splat(0)
    let a2 = i32x4.splat(0)
    let a3 = i32x4.splat(0)
    const end = w + ((<usize>groups) << 4)
    if (ASC_FEATURE_RELAXED_SIMD) {
      for (; w < end; w += 16) {
        const x = v128.load32_splat(q)
        const low = v128.load(w)
        const high = i16x8.shr_u(low, 4)
        a0 = dot(x, v128.and(low, v128.load(MASK_CODE_0)), a0)
        a1 = dot(x, v128.and(low, v128.load(MASK_CODE_1)), a1)
        a2 = dot(x, v128.and(high, v128.load(MASK_CODE_0)), a2)
        a3 = dot(x, v128.and(high, v128.load(MASK_CODE_1)), a3)
        q += 4
      }
    } else {
      const m0 = i16x8.splat(0x0003)
      const m1 = i16x8.splat(0x000c)
      for (; w < end; w += 16) {
        const x = v128.load32_splat(q)
        const even = evenInputs(x)
        const odd = oddInputs(x)
        const c0 = v128.load(w)
        const c2 = i16x8.shr_u(c0, 4)
        const c4 = i16x8.shr_u(c0, 8)
        const c6 = i16x8.shr_u(c0, 12)
        a0 = dot16(even, odd, c0, c4, m0, a0)
        a1 = dot16(even, odd, c0, c4, m1, a1)
        a2 = dot16(even, odd, c2, c6, m0, a2)
        a3 = dot16(even, odd, c2, c6, m1, a3)
        q += 4
      }
    }
    storeBlock(out, a0, a1, a2, a3, qSum)
  } else {
    gemvBlockScalar(w, q, groups, qSum, out)
  }
}

/**
 * Three blocks of equal width, each with an input vector of its own (they may be the same). The weights lie far apart,
 * so that memory is read as three streams: one sequential stream does not saturate it.
 */
export function gemvBlocks3(
  w0: usize,
  w1: usize,
  w2: usize,
  q0: usize,
  q1: usize,
  q2: usize,
  groups: i32,
  qSum0: i32,
  qSum1: i32,
  qSum2: i32,
  out0: usize,
  out1: usize,
  out2: usize,
): void {
  if (ASC_FEATURE_RELAXED_SIMD) {
    let a0 = i32x4.splat(0)
    let a1 = i32x4.splat(0)
    let a2 = i32x4.splat(0)
    let a3 = i32x4.splat(0)
    let b0 = i32x4.splat(0)
    let b1 = i32x4.splat(0)
    let b2 = i32x4.splat(0)
    let b3 = i32x4.splat(0)
    let c0 = i32x4.splat(0)
    let c1 = i32x4.splat(0)
    let c2 = i32x4.splat(0)
    let c3 = i32x4.splat(0)
    const end = w0 + ((<usize>groups) << 4)
    for (; w0 < end; w0 += 16) {
      let x = v128.load32_splat(q0)
      let low = v128.load(w0)
      let high = i16x8.shr_u(low, 4)
      a0 = dot(x, v128.and(low, v128.load(MASK_CODE_0)), a0)
      a1 = dot(x, v128.and(low, v128.load(MASK_CODE_1)), a1)
      a2 = dot(x, v128.and(high, v128.load(MASK_CODE_0)), a2)
      a3 = dot(x, v128.and(high, v128.load(MASK_CODE_1)), a3)
      x = v128.load32_splat(q1)
      low = v128.load(w1)
      high = i16x8.shr_u(low, 4)
      b0 = dot(x, v128.and(low, v128.load(MASK_CODE_0)), b0)
      b1 = dot(x, v128.and(low, v128.load(MASK_CODE_1)), b1)
      b2 = dot(x, v128.and(high, v128.load(MASK_CODE_0)), b2)
      b3 = dot(x, v128.and(high, v128.load(MASK_CODE_1)), b3)
      x = v128.load32_splat(q2)
      low = v128.load(w2)
      high = i16x8.shr_u(low, 4)
      c0 = dot(x, v128.and(low, v128.load(MASK_CODE_0)), c0)
      c1 = dot(x, v128.and(low, v128.load(MASK_CODE_1)), c1)
      c2 = dot(x, v128.and(high, v128.load(MASK_CODE_0)), c2)
      c3 = dot(x, v128.and(high, v128.load(MASK_CODE_1)), c3)
      w1 += 16
      w2 += 16
      q0 += 4
      q1 += 4
      q2 += 4
    }
    storeBlock(out0, a0, a1, a2, a3, qSum0)
    storeBlock(out1, b0, b1, b2, b3, qSum1)
    storeBlock(out2, c0, c1, c2, c3, qSum2)
  } else {
    gemvBlock(w0, q0, groups, qSum0, out0)
    gemvBlock(w1, q1, groups, qSum1, out1)
    gemvBlock(w2, q2, groups, qSum2, out2)
  }
}

/** Blocks first..last-1 of one matrix: out i32, 16 a block, from the matrix's row 0. */
export function gemv(w: usize, q: usize, groups: i32, qSum: i32, first: i32, last: i32, out: usize): void {
  const bytes = (<usize>groups) << 4
  const stride = (last - first) / 3
  let b = first
  for (; b < first + stride; b++) {
    const w0 = w + <usize>b * bytes
    const out0 = out + ((<usize>b) << 6)
    gemvBlocks3(
      w0,
      w0 + <usize>stride * bytes,
      w0 + <usize>(2 * stride) * bytes,
      q,
      q,
      q,
      groups,
      qSum,
      qSum,
      qSum,
      out0,
      out0 + ((<usize>stride) << 6),
      out0 + ((<usize>(2 * stride)) << 6),
    )
  }
  for (b = first + 3 * stride; b < last; b++) {
    gemvBlock(w + <usize>b * bytes, q, groups, qSum, out + ((<usize>b) << 6))
  }
}
