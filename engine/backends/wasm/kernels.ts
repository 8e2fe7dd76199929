/**
 * The compiled kernels as TypeScript sees them: one module in three variants, its exports, and their instantiation on a
 * shared memory. Addresses and sizes are bytes; see kernels/ for what each function does.
 */
import { BARRIER_PATIENCE, LANES, LANES_INT16, LANES_INT32, THREAD_COUNT } from './kernels/memory-layout.ts'

/** The relaxed SIMD module sums products in lanes of int32, or of int16 first. */
export type KernelVariant = 'relaxed-simd' | 'relaxed-simd-int16' | 'simd' | 'scalar'

export interface KernelExports {
  absmaxQuantize(y: number, n: number, q: number, meta: number): void
  dequantize(values: number, first: number, last: number, factor: number): void
  dequantizeFactor(matrixScale: number, meta: number): number
  embeddingIsFinite(p: number, bytes: number, type: number): number
  gemm(
    w: number,
    groups: number,
    first: number,
    last: number,
    tokens: number,
    q: number,
    qRowBytes: number,
    meta: number,
    out: number,
    outRowBytes: number,
  ): void
  gemv(w: number, q: number, groups: number, qSum: number, first: number, last: number, out: number): void
  glu(gate: number, up: number, first: number, last: number): void
  mlgru(
    input: number,
    forget: number,
    lowerBound: number,
    state: number,
    out: number,
    first: number,
    last: number,
  ): void
  mlgruOutput(g: number, h: number, gate: number, n: number, outNorm: number, epsilon: number, out: number): number
  quantizeInput(
    x: number,
    n: number,
    sum: number,
    inNorm: number,
    divided: number,
    scaled: number,
    q: number,
    meta: number,
  ): void
  repackCodes(raw: number, rows: number, inputs: number, codes: number, out: number): void
  repackTq1(raw: number, rows: number, inputs: number, codes: number, out: number): number
  repackTq2(raw: number, rows: number, inputs: number, codes: number, out: number): number
  rmsNorm(x: number, n: number, weight: number, epsilon: number, out: number): number
  sigmoidRange(h: number, gate: number, first: number, last: number): void
  runCommand(): void
  sumOfSquares(x: number, n: number): number
  workerLoop(thread: number, seen: number): void
  writeConstants(): void
}

export const PAGE_BYTES = 65_536
/** The most that 32-bit addresses reach, less a page, so that no end of a buffer wraps to 0. */
export const MAX_MEMORY_BYTES = 65_535 * PAGE_BYTES

/** A thread that the others wait for so long is taken for dead. */
const DEFAULT_THREAD_TIMEOUT_MS = 20_000

/** A shared memory of at least `bytes` for so many threads and a variant. Throws RangeError when there is none to have. */
export function createMemory(
  bytes: number,
  threads: number,
  variant: KernelVariant,
  threadTimeoutMs = DEFAULT_THREAD_TIMEOUT_MS,
): WebAssembly.Memory {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE_BYTES), maximum: 65_536, shared: true })
  const header = new Int32Array(memory.buffer)
  header[THREAD_COUNT / 4] = threads
  header[BARRIER_PATIENCE / 4] = Math.ceil(threadTimeoutMs / 500)
  header[LANES / 4] = variant === 'relaxed-simd-int16' ? LANES_INT16 : LANES_INT32
  return memory
}

/** The kernels on a memory. `writeConstants` must have run on it before any other. */
export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): KernelExports {
  return new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as KernelExports
}

/** Rows are stored in blocks of 16, inputs in groups of 4. */
export const paddedRows = (rows: number): number => Math.ceil(rows / 16) * 16
export const inputGroups = (inputs: number): number => Math.ceil(inputs / 4)
/** Bytes of a ternary matrix in the kernels' layout. */
export const matrixBytes = (rows: number, inputs: number): number => paddedRows(rows) * inputGroups(inputs)
/** Scratch of the repack kernels: 16 rows of codes, a byte each. */
export const repackScratchBytes = (inputs: number): number => 16 * 256 * Math.ceil(inputs / 256)

/** The next multiple of a cache line. */
export const aligned = (bytes: number): number => Math.ceil(bytes / 64) * 64

/** Gives out addresses one after another, 64-byte aligned. It frees nothing. */
export class AddressSpace {
  readonly start: number
  end: number

  constructor(start: number) {
    this.start = start
    this.end = start
  }

  allocate(bytes: number): number {
    const address = this.end
    this.end = aligned(address + bytes)
    return address
  }
}
