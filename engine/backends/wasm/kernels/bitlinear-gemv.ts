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
import { MASK_CODE_0, MASK_CODE_0_16, MASK_CODE_1, MASK_CODE_1_16 } from './memory-layout'

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
/**
 * sum + the products of the codes at `mask` (0x0003 or 0x000c) in both bytes of every 16-bit lane. Bits that the shift by
 * 4 moved from a high byte into a low one are above the mask.
 */
function dot16(even: v128, odd: v128, codes: v128, mask: v128, sum: v128): v128 {
  const low = i32x4.dot_i16x8_s(even, v128.and(codes, mask))
  const high = i32x4.dot_i16x8_s(odd, v128.and(i16x8.shr_u(codes, 8), mask))
  return i32x4.add(i32x4.add(sum, low), high)
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
  if (!ASC_FEATURE_SIMD) {
    gemvBlockScalar(w, q, groups, qSum, out)
    return
  }
  let a0 = i32x4.splat(0)
  let a1 = i32x4.splat(0)
  let a2 = i32x4.splat(0)
  let a3 = i32x4.splat(0)
  const end = w + ((<usize>groups) << 4)
  for (; w < end; w += 16) {
    const x = v128.load32_splat(q)
    const low = v128.load(w)
    const high = i16x8.shr_u(low, 4)
    if (ASC_FEATURE_RELAXED_SIMD) {
      a0 = dot(x, v128.and(low, v128.load(MASK_CODE_0)), a0)
      a1 = dot(x, v128.and(low, v128.load(MASK_CODE_1)), a1)
      a2 = dot(x, v128.and(high, v128.load(MASK_CODE_0)), a2)
      a3 = dot(x, v128.and(high, v128.load(MASK_CODE_1)), a3)
    } else {
      const even = evenInputs(x)
      const odd = oddInputs(x)
      a0 = dot16(even, odd, low, v128.load(MASK_CODE_0_16), a0)
      a1 = dot16(even, odd, low, v128.load(MASK_CODE_1_16), a1)
      a2 = dot16(even, odd, high, v128.load(MASK_CODE_0_16), a2)
      a3 = dot16(even, odd, high, v128.load(MASK_CODE_1_16), a3)
    }
    q += 4
  }
  storeBlock(out, a0, a1, a2, a3, qSum)
}

/**
 * Two blocks of one matrix, far apart, so that memory is read as two streams. Eight accumulators, two masks, the input,
 * two weight vectors and a product: as much as 15 vector registers hold (V8 keeps one of x64's 16 for itself). With
 * twelve accumulators some live on the stack and the loop takes twice as long.
 */
function gemvBlocks2(w0: usize, w1: usize, q: usize, groups: i32, qSum: i32, out0: usize, out1: usize): void {
  let a0 = i32x4.splat(0)
  let a1 = i32x4.splat(0)
  let a2 = i32x4.splat(0)
  let a3 = i32x4.splat(0)
  let b0 = i32x4.splat(0)
  let b1 = i32x4.splat(0)
  let b2 = i32x4.splat(0)
  let b3 = i32x4.splat(0)
  const end = w0 + ((<usize>groups) << 4)
  for (; w0 < end; w0 += 16) {
    const x = v128.load32_splat(q)
    let low = v128.load(w0)
    let high = i16x8.shr_u(low, 4)
    a0 = dot(x, v128.and(low, v128.load(MASK_CODE_0)), a0)
    a2 = dot(x, v128.and(high, v128.load(MASK_CODE_0)), a2)
    a1 = dot(x, v128.and(low, v128.load(MASK_CODE_1)), a1)
    a3 = dot(x, v128.and(high, v128.load(MASK_CODE_1)), a3)
    low = v128.load(w1)
    high = i16x8.shr_u(low, 4)
    b0 = dot(x, v128.and(low, v128.load(MASK_CODE_0)), b0)
    b2 = dot(x, v128.and(high, v128.load(MASK_CODE_0)), b2)
    b1 = dot(x, v128.and(low, v128.load(MASK_CODE_1)), b1)
    b3 = dot(x, v128.and(high, v128.load(MASK_CODE_1)), b3)
    w1 += 16
    q += 4
  }
  storeBlock(out0, a0, a1, a2, a3, qSum)
  storeBlock(out1, b0, b1, b2, b3, qSum)
}

/** Blocks first..last-1 of one matrix: out i32, 16 a block, from the matrix's row 0. */
export function gemv(w: usize, q: usize, groups: i32, qSum: i32, first: i32, last: i32, out: usize): void {
  const bytes = (<usize>groups) << 4
  let b = first
  if (ASC_FEATURE_RELAXED_SIMD) {
    const distance = (last - first) >> 1
    for (; b < first + distance; b++) {
      const block = w + <usize>b * bytes
      const rows = out + ((<usize>b) << 6)
      const farRows = rows + ((<usize>distance) << 6)
      gemvBlocks2(block, block + <usize>distance * bytes, q, groups, qSum, rows, farRows)
    }
    b += distance
  }
  for (; b < last; b++) gemvBlock(w + <usize>b * bytes, q, groups, qSum, out + ((<usize>b) << 6))
}
