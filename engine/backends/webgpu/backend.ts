/**
 * The GPU backend on a WebGPU device, which arrives as an argument: Dawn's in Node, the browser's in tests. Shader texts
 * arrive too. Asks for no adapter, reads no files.
 */
import type { ShaderTexts } from '../../../shaders/index.ts'
import { EngineError } from '../../errors.ts'
import type { ModelSource } from '../../model/source.ts'
import type { Backend, Runner } from '../backend.ts'
import { Gpu } from './gpu.ts'
import { createWebGpuOps } from './ops.ts'
import { checkFits, loadRunner, type RunnerOptions, WEBGPU_CAPABILITIES } from './runner.ts'
import { chooseKernels } from './self-test.ts'
import type { KernelFeatures } from './shader-assembly.ts'

export interface WebGpuBackendOptions {
  /** Made with `wantedFeatures` and `wantedLimits` of its adapter. The backend destroys it in `dispose`. */
  device: GPUDevice
  /** The adapter's name, for people. */
  adapterName: string
  /** The smallest subgroup it may choose (GPUAdapterInfo); 0: unknown. */
  subgroupMinSize: number
  /** A software adapter: chunks are short, so that a cancel is seen in time. */
  isFallbackAdapter: boolean
  /** WGSL's language feature packed_4x8_integer_dot_product. */
  isPackedDot: boolean
  shaders: ShaderTexts
  /** What the GPU may give to a model; null: unknown. A larger model is refused before loading. */
  memoryBudgetBytes?: number | null
  /** For tests: these kernels and no others, smaller bindings, other chunks. */
  kernels?: KernelFeatures
  maximumBindingBytes?: number
  maximumWorkgroupBytes?: number
  chunkTokens?: number
}

export interface WebGpuBackend extends Backend {
  /** Throws `out-of-memory`, with the figures, when the model does not fit into what the GPU may give. */
  checkFits(source: ModelSource): void
}

/** Features that the backend uses where an adapter has them. */
export const wantedFeatures = (adapter: { features: ReadonlySet<string> }): GPUFeatureName[] =>
  (['subgroups', 'timestamp-query'] as const).filter(feature => adapter.features.has(feature))

/** Limits that are raised to what the adapter has: models are larger than the defaults. */
export function wantedLimits(adapter: { limits: GPUSupportedLimits }): Record<string, number> {
  const { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize } = adapter.limits
  return { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize }
}

/** A few for each core of a large GPU; of a processor. */
const WORKGROUPS = 300
const FALLBACK_WORKGROUPS = 8
const CHUNK_TOKENS = 512
const FALLBACK_CHUNK_TOKENS = 16
/** A processor loses nothing by waiting for itself, and what it runs ahead in vain takes long. */
const RUN_AHEAD = { batchTokens: 4, batchesAhead: 3 }
const FALLBACK_RUN_AHEAD = { batchTokens: 1, batchesAhead: 2 }

/** Compiles and tries the kernels. Throws `backend-unavailable` when none computes rightly, `backend-failed`. */
export async function createWebGpuBackend(options: WebGpuBackendOptions): Promise<WebGpuBackend> {
  const { device, adapterName, isFallbackAdapter, shaders } = options
  const limits = {
    maximumBindingBytes: options.maximumBindingBytes ?? Number.POSITIVE_INFINITY,
    maximumWorkgroupBytes: options.maximumWorkgroupBytes ?? Number.POSITIVE_INFINITY,
  }
  const workgroups = isFallbackAdapter ? FALLBACK_WORKGROUPS : WORKGROUPS
  const plain = new Gpu(device, shaders, { isPackedDot: false, isFused: false, subgroupSize: 0, workgroups }, limits)
  const abilities = { isPackedDot: options.isPackedDot, subgroupSize: options.subgroupMinSize, workgroups }
  const gpu = await chooseKernels(plain, abilities, options.kernels ?? null)
  const runners = new Set<Runner>()
  const { isPackedDot, isFused, subgroupSize } = gpu.features
  const kernel = [
    subgroupSize > 0 ? `subgroups of ${subgroupSize}` : 'workgroup memory',
    isPackedDot ? 'packed dot' : 'plain dot',
    isFused ? 'fused multiply-add' : 'split products',
  ].join(', ')
  const runnerOptions: RunnerOptions = {
    chunkTokens: options.chunkTokens ?? (isFallbackAdapter ? FALLBACK_CHUNK_TOKENS : CHUNK_TOKENS),
    ...(isFallbackAdapter ? FALLBACK_RUN_AHEAD : RUN_AHEAD),
    memoryBudgetBytes: options.memoryBudgetBytes ?? null,
  }
  let isDisposed = false

  return {
    info: {
      name: 'webgpu',
      description: `${adapterName}${isFallbackAdapter ? ' (software, slow)' : ''}, ${kernel}`,
      threads: 1,
      kernel: adapterName,
    },
    capabilities: WEBGPU_CAPABILITIES,
    ops: createWebGpuOps(gpu),
    checkFits: source => checkFits(source, runnerOptions),
    async load(source, loadOptions = {}) {
      if (isDisposed) throw new EngineError('backend-unavailable', 'The graphics processor was released.')
      gpu.checkAlive()
      const runner = await loadRunner(gpu, source, runnerOptions, loadOptions)
      runners.add(runner)
      return runner
    },
    async dispose() {
      if (isDisposed) return
      isDisposed = true
      await Promise.all([...runners].map(runner => runner.dispose()))
      runners.clear()
      device.destroy()
    },
  }
}
