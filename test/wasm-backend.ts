/** The WASM backend for tests, with the compiled kernels and Node's threads. */
import { readFile } from 'node:fs/promises'
import type { Backend } from '../engine/backends/backend.ts'
import { createWasmBackend, type WasmBackendOptions } from '../engine/backends/wasm/backend.ts'
import { nodeEngineEnvironment } from '../main/engine-process/engine-environment.ts'
import { spawnThread } from '../main/engine-process/node-threads.ts'

export async function readKernels(): Promise<WasmBackendOptions['kernels']> {
  const read = (name: string) => readFile(new URL(`../out/kernels/${name}.wasm`, import.meta.url))
  return { relaxedSimd: await read('relaxed-simd'), simd: await read('simd'), scalar: await read('scalar') }
}

export async function createTestWasmBackend(options: Partial<WasmBackendOptions> = {}): Promise<Backend> {
  return createWasmBackend({
    kernels: await readKernels(),
    clock: nodeEngineEnvironment.clock,
    spawnThread,
    threads: 1,
    ...options,
  })
}
