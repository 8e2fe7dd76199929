/** The backends of the processor: the choice of the user, or the fastest that works, with the reason. */
import { readFile } from 'node:fs/promises'
import type { Backend, BackendName } from '../../engine/backends/backend.ts'
import { createFunctionalFpgaBackend } from '../../engine/backends/fpga/functional.ts'
import { createReferenceBackend } from '../../engine/backends/reference/backend.ts'
import { createWasmBackend, createWasmHead, type WasmBackendOptions } from '../../engine/backends/wasm/backend.ts'
import { EngineError } from '../../engine/errors.ts'
import { kernelFolder } from './built-files.ts'
import { coreThreads } from './core-threads.ts'
import { nodeEngineEnvironment } from './engine-environment.ts'
import { codeOf } from './node-files.ts'
import { spawnThread } from './node-threads.ts'

/**
 * 'auto' is WASM, or the reference with the reason in its description. Without `threads` there is one for each core, fewer
 * of which decode while other programs want the cores. Throws `backend-unavailable` for 'wasm'.
 */
export async function createBackend(choice: 'auto' | CpuBackendName, threads?: number): Promise<Backend> {
  if (choice === 'reference') return createReferenceBackend()
  if (choice === 'fpga') {
    const options = await wasmOptions(threads)
    return createFunctionalFpgaBackend({ createHead: (source, load) => createWasmHead(options, source, load) })
  }
  try {
    return await createWasmBackend(await wasmOptions(threads))
  } catch (error) {
    if (choice === 'wasm' || !(error instanceof EngineError) || error.code !== 'backend-unavailable') throw error
    const reference = createReferenceBackend()
    const description = `${reference.info.description}; WebAssembly does not work here: ${error.message}`
    return { ...reference, info: { ...reference.info, description } }
  }
}

/** 'fpga' is the accelerator's arithmetic without a board. */
export type CpuBackendName = Exclude<BackendName, 'webgpu'>

const wasmOptions = async (threads: number | undefined): Promise<WasmBackendOptions> => ({
  kernels: await readKernels(),
  clock: nodeEngineEnvironment.clock,
  spawnThread,
  threads: threads ?? (await coreThreads()),
  adjustThreads: threads === undefined,
})

async function readKernels() {
  const read = async (name: string): Promise<Uint8Array> => {
    try {
      return await readFile(new URL(`${name}.wasm`, kernelFolder()))
    } catch (cause) {
      const isMissing = codeOf(cause) === 'ENOENT'
      const problem = isMissing ? 'are not compiled' : `cannot be read (${codeOf(cause)})`
      throw new EngineError('backend-unavailable', `The WebAssembly kernels ${problem}.`, {
        expected: new URL(`${name}.wasm`, kernelFolder()).pathname,
        remedy: isMissing ? 'Run: node engine/backends/wasm/build-kernels.mjs' : 'Install Tern again.',
        cause,
      })
    }
  }
  const [relaxedSimd, simd, scalar] = await Promise.all([read('relaxed-simd'), read('simd'), read('scalar')])
  return { relaxedSimd, simd, scalar }
}
