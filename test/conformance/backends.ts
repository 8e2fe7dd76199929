/** The backends under test. Every conformance and golden test runs once for each. */
import type { Backend } from '../../engine/backends/backend.ts'
import { createFunctionalFpgaBackend } from '../../engine/backends/fpga/functional.ts'
import { createReferenceBackend, createReferenceHead } from '../../engine/backends/reference/backend.ts'
import type { KernelVariant } from '../../engine/backends/wasm/kernels.ts'
import type { WebGpuOptions } from '../../main/engine-process/webgpu-device.ts'
import { createTestWasmBackend } from '../wasm-backend.ts'
import { createTestWebGpuBackend, noWebGpuReason } from '../webgpu-backend.ts'

export interface BackendUnderTest {
  name: string
  /** A token of the embedded model takes it a tenth of a second: the long tests leave it out. */
  isSlow: boolean
  /** It reads a few tokens of the embedded model a second: the long tests read less. */
  readsSlowly: boolean
  create(): Promise<Backend>
}

export const REFERENCE: BackendUnderTest = {
  name: 'reference',
  isSlow: true,
  readsSlowly: false,
  create: async () => createReferenceBackend(),
}

const wasm = (kernel: KernelVariant, threads: number): BackendUnderTest => ({
  name: `wasm, ${kernel}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
  isSlow: false,
  readsSlowly: false,
  create: () => createTestWasmBackend({ threads, kernel }),
})

/** The accelerator's integers on this processor. */
export const FUNCTIONAL_FPGA: BackendUnderTest = {
  name: 'fpga, functional',
  isSlow: true,
  readsSlowly: false,
  create: async () => createFunctionalFpgaBackend({ createHead: createReferenceHead }),
}

/** The kernels that most machines get: which of the two relaxed ones is measured at start, and of no matter here. */
export const WASM = wasm('relaxed-simd-int16', 2)

/** With special kernels or limits; `what` names them. */
export const webgpu = (what: string, options: WebGpuOptions = {}): BackendUnderTest => ({
  name: `webgpu${what}`,
  isSlow: false,
  readsSlowly: true,
  create: () => createTestWebGpuBackend(options),
})

/** The kernels that the adapter gets. */
export const WEBGPU = webgpu('')

/**
 * The kernels of an adapter with nothing: together with WEBGPU every part of the shaders that lavapipe computes rightly.
 * Fused products need an fma that rounds once, which it has not: `tern selftest` tests them where there is one.
 */
export const PLAIN_WEBGPU = webgpu(', no subgroups, plain dot products', {
  kernels: { isPackedDot: false, isFused: false, subgroupSize: 0, workgroups: 8 },
})

/** Those of the GPU, where there is one: webgpu.test.ts says when there is none. */
export const withWebGpu = (...backends: BackendUnderTest[]): BackendUnderTest[] =>
  noWebGpuReason === null ? backends : []

export const BACKENDS: BackendUnderTest[] = [
  ...withWebGpu(WEBGPU),
  WASM,
  wasm('relaxed-simd', 2),
  wasm('relaxed-simd-int16', 1),
  wasm('simd', 3),
  wasm('scalar', 1),
]
