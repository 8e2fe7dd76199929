/**
 * Runs once before all tests: builds what they need and the repository does not hold, where it is missing or older than
 * its sources: the WASM kernels, and the window for the end-to-end tests. Finds the software GPU of the WebGPU tests.
 */
import { existsSync } from 'node:fs'
import { ensureWindow } from '../main/browser-shell/window-bundle.ts'
import { findSoftwareDriver } from './software-driver.ts'
import { DRIVER_VARIABLE } from './webgpu-backend.ts'

export default async function setup(): Promise<void> {
  const kernels = new URL('../engine/backends/wasm/build-kernels.mjs', import.meta.url)
  if (existsSync(kernels)) {
    const { ensureKernels }: { ensureKernels(): Promise<unknown> } = await import(kernels.href)
    await ensureKernels()
  }
  if (needsWindow()) await ensureWindow()
  process.env[DRIVER_VARIABLE] = findSoftwareDriver() ?? ''
}

/** `vitest run test/unit/foo.test.ts` names its files and needs no window. */
function needsWindow(): boolean {
  const named = process.argv.slice(2).filter(argument => argument.includes('test/') && !argument.startsWith('-'))
  return named.length === 0 || named.some(argument => argument.includes('e2e'))
}
