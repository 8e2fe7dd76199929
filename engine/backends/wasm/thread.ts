/**
 * What a worker thread runs. The host's worker file does nothing but call this with the value it was started with;
 * the call blocks until the runner is disposed.
 */
import * as v from 'valibot'
import { EngineError } from '../../errors.ts'
import * as layout from './kernels/memory-layout.ts'
import { instantiate } from './kernels.ts'

const threadInitSchema = v.object({
  kind: v.literal('wasm-thread'),
  module: v.instance(WebAssembly.Module),
  memory: v.instance(WebAssembly.Memory),
  /** From 1: thread 0 is the one that gives commands. */
  thread: v.pipe(v.number(), v.integer(), v.minValue(1)),
})
export type WasmThreadInit = v.InferOutput<typeof threadInitSchema>

/** Enters the command loop; returns when the runner is disposed, or when a kernel failed (the runner then says so). */
export function runWasmThread(init: unknown): void {
  const parsed = v.safeParse(threadInitSchema, init)
  if (!parsed.success) {
    throw new EngineError(
      'invalid-argument',
      `Not the start value of a WebAssembly thread: ${parsed.issues[0].message}`,
    )
  }
  const { module, memory, thread } = parsed.output
  const header = new Int32Array(memory.buffer, 0, layout.HEADER_BYTES / 4)
  try {
    instantiate(module, memory).workerLoop(thread, 0)
  } catch {
    // The note is for the other threads, which wait at a barrier; the runner turns it into an error.
    Atomics.compareExchange(header, layout.FAILURE / 4, 0, layout.FAILURE_TRAP)
    Atomics.notify(header, layout.BARRIER_GENERATION / 4)
  }
}
