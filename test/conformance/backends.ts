/** The backends under test. Every conformance and golden test runs once for each. */
import { readFile } from 'node:fs/promises'
import type { Backend } from '../../engine/backends/backend.ts'
import { createReferenceBackend } from '../../engine/backends/reference/backend.ts'
import { createWasmBackend } from '../../engine/backends/wasm/backend.ts'
import type { KernelVariant } from '../../engine/backends/wasm/kernels.ts'
import { kernelFolder } from '../../main/engine-process/built-files.ts'
import { spawnThread } from '../../main/engine-process/node-threads.ts'
import type { WebGpuOptions } from '../../main/engine-process/webgpu-device.ts'
import { createTestWebGpuBackend } from '../webgpu-backend.ts'

export interface BackendUnderTest {
  name: string
  /** Numbers too small to be normal float32 may become zero: what WGSL allows. Apart from that all are exact. */
  flushesDenormals: boolean
  /** A token of the embedded model takes it a tenth of a second: the long tests leave it out. */
  isSlow: boolean
  create(): Promise<Backend>
}

export const REFERENCE: BackendUnderTest = {
  name: 'reference',
  flushesDenormals: false,
  isSlow: true,
  create: async () => createReferenceBackend(),
}

const wasm = (kernel: KernelVariant, threads: number): BackendUnderTest => ({
  name: `wasm, ${kernel}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
  flushesDenormals: false,
  isSlow: false,
  async create() {
    const read = (name: string): Promise<Uint8Array> => readFile(new URL(`${name}.wasm`, kernelFolder()))
    const [relaxedSimd, simd, scalar] = await Promise.all([read('relaxed-simd'), read('simd'), read('scalar')])
    return createWasmBackend({ kernels: { relaxedSimd, simd, scalar }, spawnThread, threads, kernel })
  },
})

/** The kernels that most machines get. */
export const WASM = wasm('relaxed-simd', 2)

/** With special kernels or limits; `what` names them. */
export const webgpu = (what: string, options: WebGpuOptions = {}): BackendUnderTest => ({
  name: `webgpu${what}`,
  flushesDenormals: true,
  isSlow: true,
  create: () => createTestWebGpuBackend(options),
})

/** The kernels that the adapter gets. */
export const WEBGPU = webgpu('')

export const BACKENDS: BackendUnderTest[] = [
  WEBGPU,
  REFERENCE,
  WASM,
  wasm('relaxed-simd', 1),
  wasm('simd', 3),
  wasm('scalar', 1),
]
