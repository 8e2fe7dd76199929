/**
 * Runs once before all tests: builds what they need and the repository does not hold, where it is missing or older than
 * its sources: the WASM kernels, and the bundles that several test files read. Finds the software GPU of the WebGPU tests.
 */
import { existsSync } from 'node:fs'
import { ensureElectronBundles } from '../main/browser-shell/window-bundle.ts'
import { findSoftwareDriver } from './software-driver.ts'
import { DRIVER_VARIABLE } from './webgpu-backend.ts'

export default async function setup(): Promise<void> {
  const kernels = new URL('../engine/backends/wasm/build-kernels.mjs', import.meta.url)
  if (existsSync(kernels)) {
    const { ensureKernels }: { ensureKernels(): Promise<unknown> } = await import(kernels.href)
    await ensureKernels()
  }
  if (needsBundles()) await ensureElectronBundles()
  process.env[DRIVER_VARIABLE] = findSoftwareDriver() ?? ''
}

/** `vitest run test/unit/foo.test.ts` names its files and needs none of the bundles. */
function needsBundles(): boolean {
  const named = process.argv.slice(2).filter(argument => argument.includes('test/') && !argument.startsWith('-'))
  return named.length === 0 || named.some(argument => /e2e|package-files/.test(argument))
}
