/**
 * The WebGPU backend for tests, on a processor that pretends to be a GPU (software-driver.ts), which `npm test` installs
 * where it may. TERN_TEST_GPU=1 takes the machine's own GPU instead.
 */
import type { Backend } from '../engine/backends/backend.ts'
import {
  createNodeWebGpuBackend,
  type NodeWebGpuBackend,
  openDawn,
  type WebGpuOptions,
} from '../main/engine-process/webgpu-device.ts'

/** Set once for all test files (global-setup.ts): the driver's description, or empty. */
export const DRIVER_VARIABLE = 'TERN_TEST_VULKAN_DRIVER'
const driver = process.env[DRIVER_VARIABLE] ?? ''
const usesOwnGpu = process.env.TERN_TEST_GPU === '1'

/** Why no WebGPU test can run here; null when it can. */
export const noWebGpuReason =
  usesOwnGpu || driver !== '' ? null : 'no software Vulkan driver: npm test says how to get one'

/** Makes Vulkan use the software adapter in this process and its children. */
export function chooseSoftwareAdapter(): void {
  if (usesOwnGpu) return
  if (noWebGpuReason !== null) throw new Error(noWebGpuReason)
  process.env.VK_DRIVER_FILES = driver
}

export async function createTestWebGpuBackend(options: WebGpuOptions = {}): Promise<Backend> {
  return (await createTestWebGpu(options)).backend
}

/** With its device, which a test may lose. */
export async function createTestWebGpu(options: WebGpuOptions = {}): Promise<NodeWebGpuBackend> {
  chooseSoftwareAdapter()
  return createNodeWebGpuBackend(options)
}

/** A device for tests of single shaders. */
export async function openTestDevice(): Promise<GPUDevice> {
  chooseSoftwareAdapter()
  const adapter = await (await openDawn([])).requestAdapter()
  if (adapter === null) throw new Error('There is no software adapter.')
  return adapter.requestDevice()
}
