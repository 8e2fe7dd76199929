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
 *
 * The relaxed kernels sum in one of lanes of int32 or int16 (LANES); which is faster depends on the machine and is
 * measured at start. docs/adr/002-wasm-kernels.md has the figures.
 */
import { LANES, LANES_INT16, MASK_CODE_0, MASK_CODE_0_16, MASK_CODE_1, MASK_CODE_1_16 } from './memory-layout'

/**
 * sum + products, relaxed. T is i32: four products to each int32 lane, one instruction where the machine has it. T is i16:
 * two products to each int16 lane, one multiplication where the other form takes two.
 */
export function addProducts<T>(q: v128, codes: v128, sum: v128): v128 {
  if (sizeof<T>() === 2) return i16x8.add(sum, i16x8.relaxed_dot_i8x16_i7x16_s(q, codes))
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(q, codes, sum)
}

/**
 * Bytes of a block after which lanes of type T are added to the int32 sums. A code is at most 2 (loading refuses others), in
 * place at most 8, and a group adds two products to an int16 lane: after 16 groups it lies between 16 * 2 * 8 * -128 = -32768
 * and 16 * 2 * 8 * 127 = 32512, and fits exactly. Nor can the two products of one group saturate.
 */
export function runBytes<T>(blockBytes: usize): usize {
  return sizeof<T>() === 2 ? 16 * 16 : blockBytes
}

/** The int32 sums of a block at `out` (i32 [16]) = 0. */
export function clearBlock(out: usize): void {
  const zero = i32x4.splat(0)
  v128.store(out, zero)
  v128.store(out, zero, 16)
  v128.store(out, zero, 32)
  v128.store(out, zero, 48)
}

/** The int32 sums of a block at `out` += lanes of type T. */
export function addToBlock<T>(out: usize, a0: v128, a1: v128, a2: v128, a3: v128): void {
  v128.store(out, i32x4.add(v128.load(out), int32Lanes<T>(a0)))
  v128.store(out, i32x4.add(v128.load(out, 16), int32Lanes<T>(a1)), 16)
  v128.store(out, i32x4.add(v128.load(out, 32), int32Lanes<T>(a2)), 32)
  v128.store(out, i32x4.add(v128.load(out, 48), int32Lanes<T>(a3)), 48)
}

function int32Lanes<T>(a: v128): v128 {
  return sizeof<T>() === 2 ? i32x4.extadd_pairwise_i16x8_s(a) : a
}

/** What `addToBlock` has summed at `out` becomes the block's rows. */
export function finishBlock(out: usize, qSum: i32): void {
  storeBlock(out, v128.load(out), v128.load(out, 16), v128.load(out, 32), v128.load(out, 48), qSum)
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
function storeBlock(out: usize, a0: v128, a1: v128, a2: v128, a3: v128, qSum: i32): void {
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

/** One block with plain SIMD. */
function gemvBlockSimd(w: usize, q: usize, groups: i32, qSum: i32, out: usize): void {
  let a0 = i32x4.splat(0)
  let a1 = i32x4.splat(0)
  let a2 = i32x4.splat(0)
  let a3 = i32x4.splat(0)
  const end = w + ((<usize>groups) << 4)
  for (; w < end; w += 16) {
    const x = v128.load32_splat(q)
    const even = evenInputs(x)
    const odd = oddInputs(x)
    const low = v128.load(w)
    const high = i16x8.shr_u(low, 4)
    a0 = dot16(even, odd, low, v128.load(MASK_CODE_0_16), a0)
    a1 = dot16(even, odd, low, v128.load(MASK_CODE_1_16), a1)
    a2 = dot16(even, odd, high, v128.load(MASK_CODE_0_16), a2)
    a3 = dot16(even, odd, high, v128.load(MASK_CODE_1_16), a3)
    q += 4
  }
  storeBlock(out, a0, a1, a2, a3, qSum)
}

/** One block with relaxed SIMD, summed in lanes of type T. */
function gemvBlockRelaxed<T>(w: usize, q: usize, groups: i32, qSum: i32, out: usize): void {
  const mask0 = v128.load(MASK_CODE_0)
  const mask1 = v128.load(MASK_CODE_1)
  clearBlock(out)
  const bytes = (<usize>groups) << 4
  const end = w + bytes
  while (w < end) {
    let a0 = i32x4.splat(0)
    let a1 = i32x4.splat(0)
    let a2 = i32x4.splat(0)
    let a3 = i32x4.splat(0)
    const runEnd = min<usize>(end, w + runBytes<T>(bytes))
    for (; w < runEnd; w += 16) {
      const x = v128.load32_splat(q)
      const low = v128.load(w)
      const high = i16x8.shr_u(low, 4)
      a0 = addProducts<T>(x, v128.and(low, mask0), a0)
      a2 = addProducts<T>(x, v128.and(high, mask0), a2)
      a1 = addProducts<T>(x, v128.and(low, mask1), a1)
      a3 = addProducts<T>(x, v128.and(high, mask1), a3)
      q += 4
    }
    addToBlock<T>(out, a0, a1, a2, a3)
  }
  finishBlock(out, qSum)
}

/**
 * Two blocks of one matrix, far apart, so that memory is read as two streams. Eight accumulators, two masks, the input,
 * two weight vectors and a product: as much as 15 vector registers hold (V8 keeps one of x64's 16 for itself). With
 * twelve accumulators some live on the stack and the loop takes longer. That is also why int32 sums of int16 lanes are
 * in memory.
 */
function gemvBlocks2<T>(w0: usize, w1: usize, q: usize, groups: i32, qSum: i32, out0: usize, out1: usize): void {
  const mask0 = v128.load(MASK_CODE_0)
  const mask1 = v128.load(MASK_CODE_1)
  clearBlock(out0)
  clearBlock(out1)
  const bytes = (<usize>groups) << 4
  const end = w0 + bytes
  while (w0 < end) {
    let a0 = i32x4.splat(0)
    let a1 = i32x4.splat(0)
    let a2 = i32x4.splat(0)
    let a3 = i32x4.splat(0)
    let b0 = i32x4.splat(0)
    let b1 = i32x4.splat(0)
    let b2 = i32x4.splat(0)
    let b3 = i32x4.splat(0)
    const runEnd = min<usize>(end, w0 + runBytes<T>(bytes))
    for (; w0 < runEnd; w0 += 16) {
      const x = v128.load32_splat(q)
      let low = v128.load(w0)
      let high = i16x8.shr_u(low, 4)
      a0 = addProducts<T>(x, v128.and(low, mask0), a0)
      a2 = addProducts<T>(x, v128.and(high, mask0), a2)
      a1 = addProducts<T>(x, v128.and(low, mask1), a1)
      a3 = addProducts<T>(x, v128.and(high, mask1), a3)
      low = v128.load(w1)
      high = i16x8.shr_u(low, 4)
      b0 = addProducts<T>(x, v128.and(low, mask0), b0)
      b2 = addProducts<T>(x, v128.and(high, mask0), b2)
      b1 = addProducts<T>(x, v128.and(low, mask1), b1)
      b3 = addProducts<T>(x, v128.and(high, mask1), b3)
      w1 += 16
      q += 4
    }
    addToBlock<T>(out0, a0, a1, a2, a3)
    addToBlock<T>(out1, b0, b1, b2, b3)
  }
  finishBlock(out0, qSum)
  finishBlock(out1, qSum)
}

/** One block: out i32 [16]. */
export function gemvBlock(w: usize, q: usize, groups: i32, qSum: i32, out: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (load<i32>(LANES) === LANES_INT16) gemvBlockRelaxed<i16>(w, q, groups, qSum, out)
    else gemvBlockRelaxed<i32>(w, q, groups, qSum, out)
  } else if (ASC_FEATURE_SIMD) {
    gemvBlockSimd(w, q, groups, qSum, out)
  } else {
    gemvBlockScalar(w, q, groups, qSum, out)
  }
}

/** Blocks first..last-1 of one matrix: out i32, 16 a block, from the matrix's row 0. */
export function gemv(w: usize, q: usize, groups: i32, qSum: i32, first: i32, last: i32, out: usize): void {
  const bytes = (<usize>groups) << 4
  let b = first
  if (ASC_FEATURE_RELAXED_SIMD) {
    const inInt16 = load<i32>(LANES) === LANES_INT16
    const distance = (last - first) >> 1
    for (; b < first + distance; b++) {
      const block = w + <usize>b * bytes
      const far = block + <usize>distance * bytes
      const rows = out + ((<usize>b) << 6)
      const farRows = rows + ((<usize>distance) << 6)
      if (inInt16) gemvBlocks2<i16>(block, far, q, groups, qSum, rows, farRows)
      else gemvBlocks2<i32>(block, far, q, groups, qSum, rows, farRows)
    }
    b += distance
  }
  for (; b < last; b++) gemvBlock(w + <usize>b * bytes, q, groups, qSum, out + ((<usize>b) << 6))
}
