/** The command loop: how a command reaches every thread and how its end is known. */
import { barrier, waitForChange } from './barrier'
import * as layout from './memory-layout'
import { readMemory } from './memory-read'
import { prefill } from './prefill'
import { productsOnly } from './product-only'
import { decode } from './step'

/** A worker's life: waits for commands, runs its share of each, returns on COMMAND_EXIT. `seen`: its count at birth. */
export function workerLoop(thread: i32, seen: i32): void {
  const line = threadLine(thread)
  for (;;) {
    waitForChange(line + layout.THREAD_GENERATION, seen, line + layout.THREAD_SLEEPS, true)
    seen++
    if (load<i32>(layout.COMMAND) === layout.COMMAND_EXIT) return
    runShare(thread)
  }
}

/**
 * The caller's side: gives the command in the header to THREAD_COUNT threads, runs the first one's share, waits for the
 * others.
 */
export function runCommand(): void {
  const threads = load<i32>(layout.THREAD_COUNT)
  for (let thread = 1; thread < threads; thread++) {
    const line = threadLine(thread)
    atomic.add<i32>(line + layout.THREAD_GENERATION, 1)
    if (atomic.load<i32>(line + layout.THREAD_SLEEPS) !== 0) atomic.notify(line + layout.THREAD_GENERATION, 1)
  }
  if (load<i32>(layout.COMMAND) !== layout.COMMAND_EXIT) runShare(0)
}

function threadLine(thread: i32): usize {
  return layout.THREAD_LINES + <usize>thread * layout.THREAD_LINE_BYTES
}

function runShare(thread: i32): void {
  const threads = load<i32>(layout.THREAD_COUNT)
  const kind = load<i32>(layout.COMMAND)
  if (kind === layout.COMMAND_DECODE) decode(thread, threads)
  else if (kind === layout.COMMAND_PREFILL) prefill(thread, threads)
  else if (kind === layout.COMMAND_READ_MEMORY) readMemory(thread, threads)
  else if (kind === layout.COMMAND_GEMV_ONLY) productsOnly(thread, threads, false)
  else if (kind === layout.COMMAND_GEMM_ONLY) productsOnly(thread, threads, true)
  // The results of all are there, and no thread still reads this command when the next is written.
  barrier()
}
