/** Reads memory and does nothing else: the limit that decode is measured against. */
import { COMMAND_ADDRESS, COMMAND_BYTES, COMMAND_COUNT } from './memory-layout'
import { privateBuffer } from './share'
import { shareStart } from './work-split'

/** Runs COMMAND_READ_MEMORY: the thread's share of the range, as four far-apart streams, several times over. */
export function readMemory(thread: i32, threads: i32): void {
  const units = load<i32>(COMMAND_BYTES) >> 8
  const first = shareStart(units, thread, threads)
  const stream = (<usize>(shareStart(units, thread + 1, threads) - first)) << 6
  const start = load<usize>(COMMAND_ADDRESS) + ((<usize>first) << 8)
  let sum: u64 = 0
  for (let pass = load<i32>(COMMAND_COUNT); pass > 0; pass--) sum += readStreams(start, stream)
  // Kept, or the reads could be dropped.
  store<u64>(privateBuffer(thread, 0), sum)
}

function readStreams(p0: usize, bytes: usize): u64 {
  const end = p0 + bytes
  let p1 = p0 + bytes
  let p2 = p1 + bytes
  let p3 = p2 + bytes
  if (ASC_FEATURE_SIMD) {
    let a = i32x4.splat(0)
    let b = i32x4.splat(0)
    let c = i32x4.splat(0)
    let d = i32x4.splat(0)
    for (; p0 < end; p0 += 64) {
      a = xorLine(a, p0)
      b = xorLine(b, p1)
      c = xorLine(c, p2)
      d = xorLine(d, p3)
      p1 += 64
      p2 += 64
      p3 += 64
    }
    const all = v128.xor(v128.xor(a, b), v128.xor(c, d))
    return i64x2.extract_lane(all, 0) ^ i64x2.extract_lane(all, 1)
  }
  let sum: u64 = 0
  for (; p0 < end; p0 += 8) {
    sum ^= load<u64>(p0) ^ load<u64>(p1) ^ load<u64>(p2) ^ load<u64>(p3)
    p1 += 8
    p2 += 8
    p3 += 8
  }
  return sum
}

/** With the 64 bytes at p. */
function xorLine(sum: v128, p: usize): v128 {
  const first = v128.xor(sum, v128.load(p))
  return v128.xor(first, v128.xor(v128.load(p, 16), v128.xor(v128.load(p, 32), v128.load(p, 48))))
}
