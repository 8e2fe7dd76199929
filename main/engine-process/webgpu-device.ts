/**
 * WebGPU in a Node process: Dawn through the npm package `webgpu`, an adapter by the user's choice, and the shader texts
 * from their files. Knows no model. The package is optional: without it, or without a driver, the error says so.
 */
import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as v from 'valibot'
import { type GpuAdapter, gpuAdapterSchema } from '../../contract/words/backend.ts'
import {
  createWebGpuBackend,
  type WebGpuBackend,
  type WebGpuBackendOptions,
  wantedFeatures,
  wantedLimits,
} from '../../engine/backends/webgpu/backend.ts'
import { EngineError } from '../../engine/errors.ts'
import { SHADER_STEMS, type ShaderTexts } from '../../shaders/index.ts'
import { builtFile, shaderFolder } from './built-files.ts'
import { freeGpuMemoryBytes } from './gpu-memory.ts'

export interface WebGpuOptions
  extends Pick<
    WebGpuBackendOptions,
    'memoryBudgetBytes' | 'kernels' | 'maximumBindingBytes' | 'maximumWorkgroupBytes' | 'chunkTokens'
  > {
  /** 'auto', 'discrete' and 'integrated' are wishes that the system may not know how to grant; else a part of a name. */
  adapter?: string
  /** Dawn's own switches, `name=value`; see its documentation. */
  dawnFlags?: readonly string[]
}

export interface NodeWebGpuBackend {
  backend: WebGpuBackend
  adapter: GpuAdapter
  /** The backend's own. */
  device: GPUDevice
}

/** Names of software adapters: Mesa's lavapipe, SwiftShader, Microsoft's WARP. */
const SOFTWARE_NAMES = /llvmpipe|lavapipe|swiftshader|basic render|\bwarp\b/i

/** A backend on the chosen adapter. Throws `backend-unavailable` with the reason and a remedy, `backend-failed`. */
export async function createNodeWebGpuBackend(options: WebGpuOptions = {}): Promise<NodeWebGpuBackend> {
  const found = await findAdapter(options)
  const { adapter: description } = found
  const memoryBudgetBytes = options.memoryBudgetBytes ?? (await freeGpuMemoryBytes(description))
  const device = await found.gpuAdapter.requestDevice({
    requiredFeatures: wantedFeatures(found.gpuAdapter),
    requiredLimits: wantedLimits(found.gpuAdapter),
  })
  try {
    const backend = await createWebGpuBackend({
      ...options,
      device,
      adapterName: description.name,
      subgroupMinSize: description.subgroupMinSize,
      isFallbackAdapter: description.isSoftware,
      isPackedDot: description.hasPackedDot,
      shaders: await readShaders(),
      memoryBudgetBytes,
    })
    return { backend, adapter: description, device }
  } catch (error) {
    device.destroy()
    throw error
  }
}

interface FoundAdapter {
  gpuAdapter: GPUAdapter
  adapter: GpuAdapter
}

/** The adapter that a choice means. Throws `backend-unavailable`. */
async function findAdapter({
  adapter: choice = 'auto',
  dawnFlags = [],
}: Pick<WebGpuOptions, 'adapter' | 'dawnFlags'>): Promise<FoundAdapter> {
  const names = await adapterNames(dawnFlags)
  const isKind = choice === 'auto' || choice === 'discrete' || choice === 'integrated'
  const name = isKind ? null : (names.find(name => name.toLowerCase().includes(choice.toLowerCase())) ?? null)
  if (names.length === 0 || (!isKind && name === null)) {
    throw noAdapter(names, isKind ? null : choice)
  }
  const gpu = await openDawn(name === null ? dawnFlags : [...dawnFlags, `adapter=${name}`])
  const gpuAdapter = await gpu.requestAdapter({
    powerPreference: choice === 'integrated' ? 'low-power' : 'high-performance',
  })
  if (gpuAdapter === null) {
    throw new EngineError('backend-unavailable', 'The graphics driver gives no adapter to WebGPU.', {
      actual: names.join(', '),
      remedy: 'Update the graphics driver, or use the CPU.',
    })
  }
  return { gpuAdapter, adapter: describeAdapter(gpu, gpuAdapter, name ?? nameOf(gpuAdapter, names)) }
}

/** `wanted`: a part of a name; null for any adapter. */
function noAdapter(names: readonly string[], wanted: string | null): EngineError {
  return new EngineError('backend-unavailable', 'There is no graphics processor that WebGPU can use.', {
    expected: wanted === null ? 'a Vulkan, Metal or Direct3D 12 driver' : `an adapter named "${wanted}"`,
    actual: names.length > 0 ? names.join(', ') : 'no adapter',
    remedy:
      wanted === null
        ? 'Install or update the graphics driver, or use the CPU.'
        : 'Give a part of one of these names; tern info lists them.',
  })
}

/**
 * Where the system shows no graphics processor, another process asks the driver first: what a driver without adapters prints
 * to stderr then reaches nobody. Throws `backend-unavailable`.
 */
export async function refuseWithoutAdapter(): Promise<void> {
  if (!mayHaveGraphicsProcessor() && (await listAdapters()).length === 0) throw noAdapter([], null)
}

/** What `findAdapters` gives, found by another process that has the terminal to itself. */
export async function listAdapters(): Promise<GpuAdapter[]> {
  const options = { timeout: LIST_TIMEOUT_MS, windowsHide: true }
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(builtFile('list-adapters'))], options)
    return v.parse(v.array(gpuAdapterSchema), JSON.parse(stdout))
  } catch {
    // A driver that cannot even be asked is none.
    return []
  }
}

const LIST_TIMEOUT_MS = 20_000

/** All adapters, the one that 'auto' means first. Empty without any, or without the package. */
export async function findAdapters(): Promise<GpuAdapter[]> {
  const adapters: GpuAdapter[] = []
  try {
    for (const name of ['auto', ...(await adapterNames([]))]) {
      const { adapter } = await findAdapter({ adapter: name })
      if (!adapters.some(({ name }) => name === adapter.name)) adapters.push(adapter)
    }
    const [fast, thrifty] = [await findAdapter({ adapter: 'discrete' }), await findAdapter({ adapter: 'integrated' })]
    for (const adapter of adapters) {
      if (adapter.isSoftware || fast.adapter.name === thrifty.adapter.name) continue
      if (adapter.name === fast.adapter.name) adapter.kind = 'discrete'
      if (adapter.name === thrifty.adapter.name) adapter.kind = 'integrated'
    }
  } catch (error) {
    if (!(error instanceof EngineError) || error.code !== 'backend-unavailable') throw error
  }
  return adapters
}

/**
 * false: the operating system shows no graphics processor at all, so that starting a driver only to hear it is a waste.
 * Known on Linux only; a software driver needs no device.
 */
export function mayHaveGraphicsProcessor(): boolean {
  if (process.platform !== 'linux') return true
  const nodes = ['/dev/nvidiactl', '/dev/nvidia0', '/dev/dxg', '/dev/kgsl-3d0', '/dev/mali0']
  if (nodes.some(existsSync)) return true
  try {
    return readdirSync('/dev/dri').some(name => name.startsWith('renderD'))
  } catch {
    return false
  }
}

function describeAdapter(gpu: GPU, { info, features, limits }: GPUAdapter, name: string): GpuAdapter {
  const all = [name, info.vendor, info.architecture, info.device, info.description].join(' ')
  const isSoftware = info.isFallbackAdapter || SOFTWARE_NAMES.test(all)
  return {
    name,
    vendor: info.vendor,
    driver: info.description,
    isSoftware,
    kind: isSoftware ? 'software' : 'unknown',
    subgroupMinSize: features.has('subgroups') ? (info.subgroupMinSize ?? 0) : 0,
    hasPackedDot: gpu.wgslLanguageFeatures.has('packed_4x8_integer_dot_product'),
    hasTimestamps: features.has('timestamp-query'),
    maxBufferBytes: limits.maxBufferSize,
    maxBindingBytes: limits.maxStorageBufferBindingSize,
    maxWorkgroupBytes: limits.maxComputeWorkgroupStorageSize,
  }
}

/** The driver's name of an adapter, which WebGPU gives as a slug or not at all. */
function nameOf({ info }: GPUAdapter, names: readonly string[]): string {
  const slug = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
  const named = names.find(name => slug(name) === slug(info.device))
  if (named !== undefined) return named
  if (names.length === 1) return names[0]!
  return (
    [info.description, info.device, info.vendor].find(text => text !== '' && !/^0x/.test(text)) ?? 'unnamed adapter'
  )
}

/** Dawn lists the adapters in its refusal of a name that none has. */
async function adapterNames(dawnFlags: readonly string[]): Promise<string[]> {
  const create = await loadDawn()
  try {
    await create([...dawnFlags, 'adapter=\u0001']).requestAdapter()
  } catch (error) {
    const matches = String(error).matchAll(/\* backend: '([^']*)', name: '(.*)'/g)
    return [...new Set([...matches].flatMap(([, backend, name]) => (backend === 'null' ? [] : [name!])))]
  }
  return []
}

/** Dawn keeps working only while this is referenced. */
const openInstances = new Map<string, GPU>()

export async function openDawn(flags: readonly string[]): Promise<GPU> {
  const key = flags.join(' ')
  const open = openInstances.get(key)
  if (open) return open
  const gpu = (await loadDawn())([...flags])
  openInstances.set(key, gpu)
  return gpu
}

async function loadDawn(): Promise<(flags: string[]) => GPU> {
  // Vulkan loaders look for it; some drivers fail without.
  if (process.platform === 'linux') process.env.XDG_RUNTIME_DIR ??= tmpdir()
  try {
    return (await import('webgpu')).create
  } catch (cause) {
    throw new EngineError('backend-unavailable', 'WebGPU is not installed, or does not run on this system.', {
      expected: 'the optional package "webgpu"',
      actual: cause instanceof Error ? cause.message.split('\n', 1)[0]! : String(cause),
      remedy: 'Install it with npm install, or use the CPU.',
      cause,
    })
  }
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
