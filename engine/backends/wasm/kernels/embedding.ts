/** Rows of the embedding, kept in the type of the file, as float32. */
import { EMBEDDING_BF16, EMBEDDING_F16, EMBEDDING_F32 } from './memory-layout'

function halfToFloat(bits: u32): f32 {
  // The magnitude, moved to float32's place, is 2^112 too small; a subnormal is then normalised by the product.
  const magnitude = reinterpret<f32>((bits & 0x7fff) << 13) * reinterpret<f32>(<u32>0x77800000)
  return reinterpret<f32>(reinterpret<u32>(magnitude) | ((bits & 0x8000) << 16))
}

/** One row of n values at `row`, of an EMBEDDING_* type, to f32 [n]. Values are finite: checked at load. */
export function embeddingRow(row: usize, type: i32, n: i32, out: usize): void {
  if (type === EMBEDDING_F32) {
    memory.copy(out, row, (<usize>n) << 2)
  } else if (type === EMBEDDING_F16) {
    for (let k: usize = 0; k < <usize>n; k++) store<f32>(out + (k << 2), halfToFloat(load<u16>(row + (k << 1))))
  } else if (type === EMBEDDING_BF16) {
    for (let k: usize = 0; k < <usize>n; k++) store<u32>(out + (k << 2), (<u32>load<u16>(row + (k << 1))) << 16)
  } else {
    // Q8_0: blocks of a binary16 scale and 32 int8.
    for (let k: usize = 0; k < <usize>n; k++) {
      const block = row + (k >> 5) * 34
      store<f32>(out + (k << 2), halfToFloat(load<u16>(block)) * <f32>load<i8>(block + (k & 31), 2))
    }
  }
}

/** Whether `bytes` of embedding at `p` hold no infinity and no NaN. */
export function embeddingIsFinite(p: usize, bytes: usize, type: i32): bool {
  const end = p + bytes
  if (type === EMBEDDING_F32) {
    for (; p < end; p += 4) if ((load<u32>(p) & 0x7f800000) === 0x7f800000) return false
  } else if (type === EMBEDDING_F16) {
    for (; p < end; p += 2) if ((load<u16>(p) & 0x7c00) === 0x7c00) return false
  } else if (type === EMBEDDING_BF16) {
    for (; p < end; p += 2) if ((load<u16>(p) & 0x7f80) === 0x7f80) return false
  } else {
    for (; p < end; p += 34) if ((load<u16>(p) & 0x7c00) === 0x7c00) return false
  }
  return true
}
