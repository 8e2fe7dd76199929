/**
 * The WebGPU backend for tests, on a processor that pretends to be a GPU: Mesa's lavapipe, or the SwiftShader that Debian's
 * Chromium carries. `npm test` installs one of them where it may. TERN_TEST_GPU=1 takes the machine's own GPU instead.
 */
import { existsSync } from 'node:fs'
import type { Backend } from '../engine/backends/backend.ts'
import {
  createNodeWebGpuBackend,
  type NodeWebGpuBackend,
  openDawn,
  type WebGpuOptions,
} from '../main/engine-process/webgpu-device.ts'

const DRIVERS = [
  // Debian's older lavapipe gives Dawn no adapter; the test run installs the newer one.
  '/usr/share/vulkan/icd.d/lvp_icd.json',
  '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json',
  '/usr/share/vulkan/icd.d/lvp_icd.aarch64.json',
  '/usr/lib/chromium/vk_swiftshader_icd.json',
]

/** The Vulkan driver description of a software adapter; null where there is none. */
export const softwareDriver = (): string | null => DRIVERS.find(path => existsSync(path)) ?? null

/** Makes Vulkan use the software adapter in this process. Returns why it cannot, or null. */
export function chooseSoftwareAdapter(): string | null {
  if (process.env.TERN_TEST_GPU === '1') return null
  const driver = softwareDriver()
  if (driver === null) return 'no software Vulkan driver: npm test says how to get one'
  process.env.VK_DRIVER_FILES = driver
  return null
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
