/** How threads share work: contiguous ranges of nearly equal length. */

/** First unit of a thread's share of `units`; its last is before the next thread's first. */
export function shareStart(units: i32, thread: i32, threads: i32): i32 {
  return <i32>((<i64>units * <i64>thread) / <i64>threads)
}

/** Blocks of 16 rows. */
export function rowBlocks(rows: i32): i32 {
  return (rows + 15) >> 4
}

/** The end of a block range in rows: the last block may be partly padding. */
export function rowEnd(block: i32, rows: i32): i32 {
  return min<i32>(block << 4, rows)
}
