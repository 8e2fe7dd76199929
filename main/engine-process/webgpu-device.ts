/**
 * WebGPU in a Node process: Dawn through the npm package `webgpu`, an adapter by the user's choice, and the shader texts
 * from their files. Knows no model. The package is optional: without it, or without a driver, the error says so.
 */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import type { Backend } from '../../engine/backends/backend.ts'
import type { WebGpuBackendOptions } from '../../engine/backends/webgpu/backend.ts'
import { createWebGpuBackend, wantedFeatures, wantedLimits } from '../../engine/backends/webgpu/backend.ts'
import { EngineError } from '../../engine/errors.ts'
import { SHADER_STEMS, type ShaderTexts } from '../../shaders/index.ts'

/** 'discrete' and 'integrated' are wishes that the system may not know how to grant; anything else is part of a name. */
export type AdapterChoice = 'auto' | 'discrete' | 'integrated' | { name: string }

export interface AdapterDescription {
  name: string
  vendor: string
  /** A processor pretending to be a GPU: right and slow. */
  isSoftware: boolean
}

export interface WebGpuOptions
  extends Pick<WebGpuBackendOptions, 'memoryBudgetBytes' | 'kernels' | 'maximumBindingBytes' | 'chunkTokens'> {
  adapter?: AdapterChoice
  /** Dawn's own switches, `name=value`; see its documentation. */
  dawnFlags?: readonly string[]
}

/** Names of software adapters: Mesa's lavapipe, SwiftShader, Microsoft's WARP. */
const SOFTWARE_NAMES = /llvmpipe|lavapipe|swiftshader|basic render|\bwarp\b/i

export function describeAdapter({ info }: GPUAdapter): AdapterDescription {
  const name = [info.description, info.device].find(text => text !== '' && !/^0x/.test(text)) ?? info.vendor
  const all = [info.vendor, info.architecture, info.device, info.description].join(' ')
  return {
    name: name || 'unnamed adapter',
    vendor: info.vendor,
    isSoftware: info.isFallbackAdapter || SOFTWARE_NAMES.test(all),
  }
}

/** A backend on the chosen adapter. Throws `backend-unavailable` with the reason and a remedy, `backend-failed`. */
export async function createNodeWebGpuBackend(options: WebGpuOptions = {}): Promise<Backend> {
  const gpu = await openDawn(options.dawnFlags ?? [])
  const adapter = await chooseAdapter(gpu, options.adapter ?? 'auto')
  const { name, isSoftware } = describeAdapter(adapter)
  const device = await adapter.requestDevice({
    requiredFeatures: wantedFeatures(adapter),
    requiredLimits: wantedLimits(adapter),
  })
  try {
    return await createWebGpuBackend({
      device,
      adapterName: name,
      subgroupMinSize: adapter.info.subgroupMinSize ?? 0,
      isFallbackAdapter: isSoftware,
      isPackedDot: gpu.wgslLanguageFeatures.has('packed_4x8_integer_dot_product'),
      shaders: await readShaders(),
      ...options,
    })
  } catch (error) {
    device.destroy()
    throw error
  }
}

/** Dawn keeps working only while this is referenced. */
const openInstances = new Map<string, GPU>()

export async function openDawn(flags: readonly string[]): Promise<GPU> {
  const key = flags.join(' ')
  const open = openInstances.get(key)
  if (open) return open
  // Vulkan loaders look for it; some drivers fail without.
  if (process.platform === 'linux') process.env.XDG_RUNTIME_DIR ??= tmpdir()
  let create: (flags: string[]) => GPU
  try {
    ;({ create } = await import('webgpu'))
  } catch (cause) {
    throw new EngineError('backend-unavailable', 'WebGPU is not installed, or does not run on this system.', {
      expected: 'the optional package "webgpu"',
      actual: cause instanceof Error ? cause.message : String(cause),
      remedy: 'Install it with npm install, or use the CPU.',
      cause,
    })
  }
  const gpu = create([...flags])
  openInstances.set(key, gpu)
  return gpu
}

async function chooseAdapter(gpu: GPU, choice: AdapterChoice): Promise<GPUAdapter> {
  const requests: GPURequestAdapterOptions[] =
    choice === 'integrated'
      ? [{ powerPreference: 'low-power' }]
      : choice === 'auto' || choice === 'discrete'
        ? [{ powerPreference: 'high-performance' }]
        : [{ powerPreference: 'high-performance' }, { powerPreference: 'low-power' }, { forceFallbackAdapter: true }]
  const seen: string[] = []
  for (const request of requests) {
    const adapter = await gpu.requestAdapter(request)
    if (adapter === null) continue
    const { name } = describeAdapter(adapter)
    if (typeof choice !== 'object' || name.toLowerCase().includes(choice.name.toLowerCase())) return adapter
    seen.push(name)
  }
  throw new EngineError('backend-unavailable', 'There is no graphics processor that WebGPU can use.', {
    expected:
      typeof choice === 'object' ? `an adapter named "${choice.name}"` : 'a Vulkan, Metal or Direct3D 12 driver',
    actual: seen.length > 0 ? [...new Set(seen)].join(', ') : 'no adapter',
    remedy: 'Install or update the graphics driver, or use the CPU.',
  })
}

/** The folder of the shaders: beside the sources, or beside Electron's bundle in out/main. */
function shaderFolder(): URL {
  const candidates = ['../../shaders/', '../shaders/', '../../../shaders/'].map(path => new URL(path, import.meta.url))
  return candidates.find(folder => existsSync(new URL('embedding.wgsl', folder))) ?? candidates[0]
}

export async function readShaders(): Promise<ShaderTexts> {
  const folder = shaderFolder()
  const texts = await Promise.all(
    SHADER_STEMS.map(async stem => {
      try {
        return [stem, await readFile(new URL(`${stem}.wgsl`, folder), 'utf8')] as const
      } catch (cause) {
        throw new EngineError('backend-unavailable', 'A shader is missing.', {
          expected: new URL(`${stem}.wgsl`, folder).pathname,
          remedy: 'Install Tern again.',
          cause,
        })
      }
    }),
  )
  return Object.fromEntries(texts) as ShaderTexts
}
