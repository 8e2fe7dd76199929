/** The backends under test. Every conformance and golden test runs once for each. */
import type { Backend } from '../../engine/backends/backend.ts'
import { createReferenceBackend } from '../../engine/backends/reference/backend.ts'
import type { KernelVariant } from '../../engine/backends/wasm/kernels.ts'
import { createTestWasmBackend } from '../wasm-backend.ts'

export interface BackendUnderTest {
  name: string
  /** It claims to equal the reference bit for bit, in floats too; integer sums must be equal everywhere. */
  isExact: boolean
  /** A token of the embedded model takes it a tenth of a second: the long tests leave it out. */
  isSlow: boolean
  create(): Promise<Backend>
}

export const REFERENCE: BackendUnderTest = {
  name: 'reference',
  isExact: true,
  isSlow: true,
  create: async () => createReferenceBackend(),
}

const wasm = (kernel: KernelVariant, threads: number): BackendUnderTest => ({
  name: `wasm, ${kernel}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
  isExact: true,
  isSlow: false,
  create: () => createTestWasmBackend({ threads, kernel }),
})

/** The kernels that most machines get: which of the two relaxed ones is measured at start, and of no matter here. */
export const WASM = wasm('relaxed-simd-int16', 2)

export const BACKENDS: BackendUnderTest[] = [
  REFERENCE,
  WASM,
  wasm('relaxed-simd', 2),
  wasm('relaxed-simd-int16', 1),
  wasm('simd', 3),
  wasm('scalar', 1),
]
