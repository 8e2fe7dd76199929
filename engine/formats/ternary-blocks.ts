/**
 * Packing of ternary codes (-1, 0, +1) into the 256-weight blocks TQ2_0 and TQ1_0 of ggml, and back. The block scale is
 * 1 here: a matrix has one scale, kept in a tensor of its own. Rows are padded with zeros to whole blocks.
 * Layout: docs/model-format.md, "Ternary blocks"; the same as ggml's reference quantisers (ggml-quants.c).
 */
import { EngineError } from '../errors.ts'
import { rowBytes, TENSOR_TYPES, type TernaryType } from './tensor-types.ts'

const BLOCK = 256
/** Block scale 1 as binary16. */
const SCALE_ONE = 0x3c00

/** TQ1_0: the five base-3 digits (0..2) of every byte, most significant first. [256, 5] */
const tritsOfByte = new Uint8Array(256 * 5)
/** TQ1_0: the byte of a five-digit base-3 number: ceil(n * 256 / 243), so that digits come out by multiplying with 3. */
const byteOfTrits = new Uint8Array(243)
/** TQ1_0: 0 for a byte that no number packs to, 1 for five digits, 3 when the last digit is 0 (four digits are enough). */
const byteValidity = new Uint8Array(256)

for (let n = 0; n < 243; n++) {
  const byte = Math.ceil((n * 256) / 243)
  byteOfTrits[n] = byte
  byteValidity[byte] = n % 3 === 0 ? 3 : 1
  for (let digit = 0, rest = n; digit < 5; digit++) {
    tritsOfByte[byte * 5 + 4 - digit] = rest % 3
    rest = Math.floor(rest / 3)
  }
}

const blockProblem = (name: string, block: number, problem: string, expected: string, actual: string): EngineError =>
  new EngineError('format-invalid', `Tensor "${name}": block ${block} of a row ${problem}.`, {
    expected,
    actual,
    remedy: 'The file is damaged or was not written by Tern: download it again, or convert the original checkpoint.',
  })

const scratch = new Int8Array(BLOCK)

/**
 * Unpacks one row.
 * @param bytes the row starts at `byteOffset`
 * @param columns K, the true width; padding is dropped
 * @param out [.., K] codes, written from `outOffset`
 * @param name of the tensor, for messages
 * @throws EngineError `format-invalid` when a block's scale is not 1 or its bytes are no ternary codes
 */
export function unpackTernaryRow(
  type: TernaryType,
  bytes: Uint8Array,
  byteOffset: number,
  columns: number,
  out: Int8Array,
  outOffset: number,
  name: string,
): void {
  const { blockBytes } = TENSOR_TYPES[type]
  const unpack = type === 'TQ2_0' ? unpackTq2 : unpackTq1
  for (let first = 0, block = 0; first < columns; first += BLOCK, block++) {
    const at = byteOffset + block * blockBytes
    const whole = columns - first >= BLOCK
    const target = whole ? out : scratch
    const targetOffset = whole ? outOffset + first : 0
    unpack(bytes, at, target, targetOffset, name, block)
    checkBlockScale(bytes, at + blockBytes - 2, target, targetOffset, name, block)
    if (!whole) out.set(scratch.subarray(0, columns - first), outOffset + first)
  }
}

/** The scale must be 1. Quantisers that derive it from the block write 0 where all weights are zero: the same weights. */
function checkBlockScale(bytes: Uint8Array, at: number, codes: Int8Array, from: number, name: string, block: number) {
  const scale = bytes[at]! | (bytes[at + 1]! << 8)
  if (scale === SCALE_ONE) return
  const allZero = codes.subarray(from, from + BLOCK).every(code => code === 0)
  if (scale === 0 && allZero) return
  throw blockProblem(name, block, 'has a scale other than 1', 'binary16 0x3c00', `0x${scale.toString(16)}`)
}

/** Four codes a byte, two bits each: weight 128 j + 32 n + m lies in byte 32 j + m, bits 2n. */
function unpackTq2(bytes: Uint8Array, at: number, out: Int8Array, outAt: number, name: string, block: number): void {
  let code3 = 0
  for (let half = 0; half < 2; half++) {
    const from = at + 32 * half
    const to = outAt + 128 * half
    for (let m = 0; m < 32; m++) {
      const byte = bytes[from + m]!
      code3 |= byte & (byte >> 1) & 0x55
      out[to + m] = (byte & 3) - 1
      out[to + m + 32] = ((byte >> 2) & 3) - 1
      out[to + m + 64] = ((byte >> 4) & 3) - 1
      out[to + m + 96] = (byte >> 6) - 1
    }
  }
  if (code3 !== 0) throw blockProblem(name, block, 'holds a weight that is not ternary', 'codes 0, 1 or 2', 'code 3')
}

/**
 * Five codes a byte in base 3. Weights 0..159 in bytes 0..31 (weight 32 n + m in byte m, digit n), 160..239 in
 * bytes 32..47 (160 + 16 n + m in byte 32 + m), 240..255 in bytes 48..51 (240 + 4 n + m in byte 48 + m, four digits).
 */
function unpackTq1(bytes: Uint8Array, at: number, out: Int8Array, outAt: number, name: string, block: number): void {
  unpackTrits(bytes, at, 32, 5, out, outAt, name, block)
  unpackTrits(bytes, at + 32, 16, 5, out, outAt + 160, name, block)
  unpackTrits(bytes, at + 48, 4, 4, out, outAt + 240, name, block)
}

function unpackTrits(
  bytes: Uint8Array,
  at: number,
  byteCount: number,
  digits: number,
  out: Int8Array,
  outAt: number,
  name: string,
  block: number,
): void {
  const required = digits === 4 ? 3 : 1
  for (let m = 0; m < byteCount; m++) {
    const byte = bytes[at + m]!
    if (byteValidity[byte]! < required) {
      throw blockProblem(
        name,
        block,
        'holds a byte that packs no ternary weights',
        `${digits} base-3 digits`,
        `${byte}`,
      )
    }
    for (let n = 0; n < digits; n++) out[outAt + n * byteCount + m] = tritsOfByte[byte * 5 + n]! - 1
  }
}

/**
 * Packs one row; the padding of the last block is zeros.
 * @param codes K codes from `codesOffset`, each -1, 0 or +1 (not checked)
 * @param out receives rowBytes(type, padded K) bytes from `byteOffset`
 */
export function packTernaryRow(
  type: TernaryType,
  codes: Int8Array,
  codesOffset: number,
  columns: number,
  out: Uint8Array,
  byteOffset: number,
): void {
  const { blockBytes } = TENSOR_TYPES[type]
  const pack = type === 'TQ2_0' ? packTq2 : packTq1
  for (let first = 0, at = byteOffset; first < columns; first += BLOCK, at += blockBytes) {
    if (columns - first >= BLOCK) {
      pack(codes, codesOffset + first, out, at)
    } else {
      scratch.fill(0)
      scratch.set(codes.subarray(codesOffset + first, codesOffset + columns))
      pack(scratch, 0, out, at)
    }
    out[at + blockBytes - 2] = SCALE_ONE & 0xff
    out[at + blockBytes - 1] = SCALE_ONE >> 8
  }
}

function packTq2(codes: Int8Array, from: number, out: Uint8Array, at: number): void {
  for (let half = 0; half < 2; half++) {
    for (let m = 0; m < 32; m++) {
      const w = from + 128 * half + m
      // Each code plus 1 in two bits: 0x55 adds the four ones.
      out[at + 32 * half + m] = codes[w]! + codes[w + 32]! * 4 + codes[w + 64]! * 16 + codes[w + 96]! * 64 + 0x55
    }
  }
}

function packTq1(codes: Int8Array, from: number, out: Uint8Array, at: number): void {
  packTrits(codes, from, 32, 5, out, at)
  packTrits(codes, from + 160, 16, 5, out, at + 32)
  packTrits(codes, from + 240, 4, 4, out, at + 48)
}

function packTrits(codes: Int8Array, from: number, byteCount: number, digits: number, out: Uint8Array, at: number) {
  for (let m = 0; m < byteCount; m++) {
    let n = 0
    for (let digit = 0; digit < digits; digit++) n = n * 3 + codes[from + digit * byteCount + m]! + 1
    // Four digits take the upper places, so that the first stays the most significant.
    out[at + m] = byteOfTrits[digits === 4 ? n * 3 : n]!
  }
}

/** Bytes of a packed row of K codes, padding included. */
export const ternaryRowBytes = (type: TernaryType, columns: number): number =>
  rowBytes(type, BLOCK * Math.ceil(columns / BLOCK))
