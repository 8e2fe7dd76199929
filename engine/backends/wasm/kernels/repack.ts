/**
 * Ternary rows as the file has them (TQ2_0, TQ1_0, or plain int8 codes) into the layout of bitlinear-gemv.ts, one block
 * of 16 rows at a time. It checks what it unpacks: block scale 1 (or 0 where all weights are zero: the same weights)
 * and possible codes. It only says that something is wrong; what it is, the caller finds out.
 * Source of the packed forms: ggml's ggml-common.h and ggml-quants.c (block_tq1_0, block_tq2_0).
 */

const TQ2_BLOCK_BYTES: usize = 66
const TQ1_BLOCK_BYTES: usize = 54
/** binary16 1. */
const SCALE_ONE = 0x3c00

/**
 * `rows` (1 to 16) packed rows of `inputs` weights at `raw` to one block at `out`. `codes`: scratch of 16 rows of
 * inputs rounded up to 256, one byte a code. Returns whether the rows were valid.
 */
export function repackTq2(raw: usize, rows: i32, inputs: i32, codes: usize, out: usize): bool {
  const blocks = (inputs + 255) >> 8
  const stride = (<usize>blocks) << 8
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const to = codes + <usize>row * stride + ((<usize>block) << 8)
      if (!unpackTq2(raw, to) || !scaleIsOne(raw + TQ2_BLOCK_BYTES - 2, to)) return false
      raw += TQ2_BLOCK_BYTES
    }
  }
  interleave(codes, stride, rows, inputs, out)
  return true
}

export function repackTq1(raw: usize, rows: i32, inputs: i32, codes: usize, out: usize): bool {
  const blocks = (inputs + 255) >> 8
  const stride = (<usize>blocks) << 8
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const to = codes + <usize>row * stride + ((<usize>block) << 8)
      if (!unpackTq1(raw, to) || !scaleIsOne(raw + TQ1_BLOCK_BYTES - 2, to)) return false
      raw += TQ1_BLOCK_BYTES
    }
  }
  interleave(codes, stride, rows, inputs, out)
  return true
}

/** int8 [rows, inputs] of -1, 0, +1 at `raw`: for single operations. */
export function repackCodes(raw: usize, rows: i32, inputs: i32, codes: usize, out: usize): void {
  const stride = (<usize>((inputs + 255) >> 8)) << 8
  for (let row = 0; row < rows; row++) {
    for (let k: usize = 0; k < <usize>inputs; k++) {
      store<u8>(codes + <usize>row * stride + k, load<i8>(raw + <usize>row * <usize>inputs + k) + 1)
    }
  }
  interleave(codes, stride, rows, inputs, out)
}

function scaleIsOne(p: usize, codes: usize): bool {
  const scale = <i32>load<u16>(p)
  if (scale === SCALE_ONE) return true
  if (scale !== 0) return false
  for (let k: usize = 0; k < 256; k += 4) if (load<u32>(codes + k) !== 0x01010101) return false
  return true
}

/** 64 bytes: byte m of each half holds weights m, 32 + m, 64 + m, 96 + m of its 128, low bits first; then the scale. */
function unpackTq2(raw: usize, codes: usize): bool {
  if (ASC_FEATURE_SIMD) {
    const three = i8x16.splat(3)
    let invalid = i8x16.splat(0)
    for (let part: usize = 0; part < 4; part++) {
      const bytes = v128.load(raw + (part << 4))
      // A code is 3 when both its bits are set.
      invalid = v128.or(invalid, v128.and(v128.and(bytes, i8x16.shr_u(bytes, 1)), i8x16.splat(0x55)))
      const to = codes + ((part >> 1) << 7) + ((part & 1) << 4)
      v128.store(to, v128.and(bytes, three))
      v128.store(to, v128.and(i8x16.shr_u(bytes, 2), three), 32)
      v128.store(to, v128.and(i8x16.shr_u(bytes, 4), three), 64)
      v128.store(to, i8x16.shr_u(bytes, 6), 96)
    }
    return !v128.any_true(invalid)
  }
  for (let m: usize = 0; m < 64; m++) {
    const byte = <i32>load<u8>(raw + m)
    if ((byte & (byte >> 1) & 0x55) !== 0) return false
    const to = codes + ((m >> 5) << 7) + (m & 31)
    store<u8>(to, byte & 3)
    store<u8>(to, (byte >> 2) & 3, 32)
    store<u8>(to, (byte >> 4) & 3, 64)
    store<u8>(to, byte >> 6, 96)
  }
  return true
}

/**
 * 52 bytes of five base-3 digits each, ceil(number * 256 / 243), most significant digit first: 32 bytes for weights
 * 0..159, 16 for 160..239, 4 with four digits for 240..255; then the scale.
 */
function unpackTq1(raw: usize, codes: usize): bool {
  let m: usize = 0
  if (ASC_FEATURE_SIMD) {
    if (!unpackDigits16(raw, codes, 32) || !unpackDigits16(raw + 16, codes + 16, 32)) return false
    if (!unpackDigits16(raw + 32, codes + 160, 16)) return false
    m = 48
  }
  for (; m < 52; m++) {
    const byte = <i32>load<u8>(raw + m)
    // Only 243 of the 256 bytes are some number's.
    if (((byte * 243) & 0xff) >= 243) return false
    const step: usize = m < 32 ? 32 : m < 48 ? 16 : 4
    let to = codes + (m < 32 ? m : m < 48 ? 128 + m : 192 + m)
    let rest = byte
    for (let digit = 0; digit < 5; digit++) {
      rest *= 3
      if (digit < 4 || m < 48) store<u8>(to, rest >> 8)
      else if (rest >> 8 !== 0) return false
      rest &= 0xff
      to += step
    }
  }
  return true
}

/** Five digits of 16 bytes, `step` apart. Returns whether all bytes are possible. */
function unpackDigits16(raw: usize, to: usize, step: usize): bool {
  const bytes = v128.load(raw)
  const lowByte = i16x8.splat(0xff)
  let low = i16x8.extend_low_i8x16_u(bytes)
  let high = i16x8.extend_high_i8x16_u(bytes)
  const largest = i16x8.splat(242)
  const factor = i16x8.splat(243)
  const impossible = v128.or(
    i16x8.gt_u(v128.and(i16x8.mul(low, factor), lowByte), largest),
    i16x8.gt_u(v128.and(i16x8.mul(high, factor), lowByte), largest),
  )
  const three = i16x8.splat(3)
  for (let digit = 0; digit < 5; digit++) {
    low = i16x8.mul(low, three)
    high = i16x8.mul(high, three)
    v128.store(to, i8x16.narrow_i16x8_u(i16x8.shr_u(low, 8), i16x8.shr_u(high, 8)))
    low = v128.and(low, lowByte)
    high = v128.and(high, lowByte)
    to += step
  }
  return !v128.any_true(impossible)
}

/** Codes, one a byte, rows `stride` apart, to one block of 16 rows. Missing rows and inputs get code 0. */
function interleave(codes: usize, stride: usize, rows: i32, inputs: i32, out: usize): void {
  if (rows < 16) memory.fill(codes + <usize>rows * stride, 0, <usize>(16 - rows) * stride)
  const groups = (inputs + 3) >> 2
  let g = 0
  if (ASC_FEATURE_SIMD) {
    for (; g + 4 <= groups; g += 4) {
      const p = codes + ((<usize>g) << 2)
      const c0 = fourRows(p, stride)
      const c1 = fourRows(p + stride, stride)
      const c2 = fourRows(p + 2 * stride, stride)
      const c3 = fourRows(p + 3 * stride, stride)
      // Lane t of c[j] belongs to group g + t: transpose.
      const a = i32x4.shuffle(c0, c1, 0, 4, 1, 5)
      const b = i32x4.shuffle(c2, c3, 0, 4, 1, 5)
      const c = i32x4.shuffle(c0, c1, 2, 6, 3, 7)
      const d = i32x4.shuffle(c2, c3, 2, 6, 3, 7)
      const to = out + ((<usize>g) << 4)
      v128.store(to, i64x2.shuffle(a, b, 0, 2))
      v128.store(to, i64x2.shuffle(a, b, 1, 3), 16)
      v128.store(to, i64x2.shuffle(c, d, 0, 2), 32)
      v128.store(to, i64x2.shuffle(c, d, 1, 3), 48)
    }
  }
  for (; g < groups; g++) {
    for (let j: usize = 0; j < 4; j++) {
      const p = codes + j * stride + ((<usize>g) << 2)
      const word = load<u32>(p) | (load<u32>(p + 4 * stride) << 2) | (load<u32>(p + 8 * stride) << 4)
      store<u32>(out + ((<usize>g) << 4) + (j << 2), word | (load<u32>(p + 12 * stride) << 6))
    }
  }
}

/** Sixteen inputs of rows 0, 4, 8 and 12 from `p` on, in one vector of bytes. */
function fourRows(p: usize, stride: usize): v128 {
  return v128.or(
    v128.or(v128.load(p), i8x16.shl(v128.load(p + 4 * stride), 2)),
    v128.or(i8x16.shl(v128.load(p + 8 * stride), 4), i8x16.shl(v128.load(p + 12 * stride), 6)),
  )
}
