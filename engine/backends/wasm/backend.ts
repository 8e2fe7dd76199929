/**
 * The CPU backend: WebAssembly kernels on shared memory, whole steps inside WebAssembly, several threads that meet there
 * at barriers. Pure engine code: kernels and threads arrive as arguments.
 * See docs/adr/002-wasm-kernels.md for the layout and the figures behind it.
 */

import type { Clock, SpawnThread, Thread } from '../../engine-environment.ts'
import { EngineError } from '../../errors.ts'
import { decodeFloats } from '../../formats/read-tensors.ts'
import { rowBytes } from '../../formats/tensor-types.ts'
import { firstLayers } from '../../model/first-layers.ts'
import type { ModelSource } from '../../model/source.ts'
import { EMBEDDING } from '../../model/tensors.ts'
import { checkTokenIds } from '../../model/token-ids.ts'
import type { Backend, Head, LoadOptions, Runner } from '../backend.ts'
import { DeviceRunner } from '../device-runner.ts'
import { MAX_THREADS } from './kernels/memory-layout.ts'
import { createMemory, instantiate, type KernelVariant } from './kernels.ts'
import { loadWeights } from './load.ts'
import { planModelMemory, writeHeader } from './model-memory.ts'
import { createWasmOps } from './ops.ts'
import { WASM_CAPABILITIES, WasmDevice } from './runner.ts'
import { type ChosenKernels, chooseKernels, type KernelBinaries, variantLabel } from './self-test.ts'
import type { WasmThreadInit } from './thread.ts'

export interface WasmBackendOptions {
  /** The modules of out/kernels, made by build-kernels.mjs. */
  kernels: KernelBinaries
  /** Kernels are measured against each other at start. */
  clock: Clock
  /** null: no threads here; everything runs on the caller's. */
  spawnThread: SpawnThread | null
  /** Threads in all, the caller's included. */
  threads: number
  /** Fewer of them decode while that is measured to be faster. Not by default. */
  adjustThreads?: boolean
  /** 'auto' by default: the fastest that passes its self-test. */
  kernel?: 'auto' | KernelVariant
  /** How long threads wait for one of them before the computation fails; 20 seconds by default. */
  threadTimeoutMs?: number
}

/** Throws `backend-unavailable` when no kernel (or not the wanted one) works here, `invalid-argument`. */
export async function createWasmBackend(options: WasmBackendOptions): Promise<Backend> {
  const { spawnThread } = options
  if (!(Number.isInteger(options.threads) && options.threads >= 1 && options.threads <= MAX_THREADS)) {
    throw new EngineError('invalid-argument', 'The number of threads is out of range.', {
      expected: `a whole number from 1 to ${MAX_THREADS}`,
      actual: String(options.threads),
    })
  }
  const threads = spawnThread === null ? 1 : options.threads
  const chosen = chooseKernels(options.kernels, options.kernel ?? 'auto', options.clock)
  const { variant, module, reason } = chosen
  const runners = new Set<Runner>()

  return {
    info: {
      name: 'wasm',
      description: `${variantLabel(variant)}${reason ? ` (${reason})` : ''}, ${threadsLabel(threads, options.adjustThreads)}`,
      threads,
      kernel: variant,
    },
    capabilities: WASM_CAPABILITIES,
    ops: createWasmOps(module, variant),
    async load(source, loadOptions = {}) {
      const runner = new DeviceRunner(await loadDevice(chosen, source, loadOptions, { ...options, threads }))
      runners.add(runner)
      return runner
    },
    async dispose() {
      await Promise.all([...runners].map(runner => runner.dispose()))
      runners.clear()
    },
  }
}

export interface WasmHead extends Head {
  dispose(): Promise<void>
}

/**
 * Embedding and logits of a model on the same kernels, for a device that computes only what lies between. Holds the weights
 * of these two alone. Throws as `createWasmBackend` and loading do.
 */
export async function createWasmHead(
  options: WasmBackendOptions,
  source: ModelSource,
  loadOptions: LoadOptions = {},
): Promise<WasmHead> {
  const chosen = chooseKernels(options.kernels, options.kernel ?? 'auto', options.clock)
  const threads = options.spawnThread === null ? 1 : options.threads
  const { config } = source
  const device = await loadDevice(chosen, firstLayers(source, 0), loadOptions, { ...options, threads })
  const embedding = source.tensor(EMBEDDING)
  const bytesPerRow = rowBytes(embedding.type, config.hiddenSize)
  return {
    async embed(token) {
      checkTokenIds([token], config.vocabularySize)
      const bytes = await source.readTensor(embedding.name, token * bytesPerRow, bytesPerRow)
      return decodeFloats(embedding.type, bytes, config.hiddenSize, embedding.name)
    },
    logits: async hidden => device.logitsOf(hidden).slice(),
    dispose: () => device.dispose(),
  }
}

const threadsLabel = (threads: number, adjusts = false): string =>
  threads === 1 ? '1 thread' : `${adjusts ? 'up to ' : ''}${threads} threads`

async function loadDevice(
  { module, variant }: ChosenKernels,
  source: ModelSource,
  options: LoadOptions,
  { threads: threadCount, adjustThreads = false, spawnThread, threadTimeoutMs, clock }: WasmBackendOptions,
): Promise<WasmDevice> {
  const plan = planModelMemory(source, threadCount)
  let memory: WebAssembly.Memory
  try {
    memory = createMemory(plan.totalBytes, threadCount, variant, threadTimeoutMs)
  } catch (cause) {
    throw new EngineError('out-of-memory', 'There is not enough memory for this model.', {
      expected: `${plan.totalBytes} bytes`,
      remedy: 'Close other programs, or choose a smaller model.',
      cause,
    })
  }
  writeHeader(memory, source, plan)
  const kernels = instantiate(module, memory)
  kernels.writeConstants()
  const threads: Thread[] = []
  try {
    for (let thread = 1; thread < threadCount; thread++) {
      const spawned = spawnThread!({ kind: 'wasm-thread', module, memory, thread } satisfies WasmThreadInit)
      // Awaited below; until then a failure is not "unhandled".
      spawned.started.catch(() => {})
      threads.push(spawned)
    }
    await loadWeights(source, memory, kernels, plan, options)
    await Promise.all(threads.map(thread => thread.started))
  } catch (error) {
    await Promise.all(threads.map(thread => thread.terminate()))
    if (error instanceof EngineError) throw error
    throw new EngineError('backend-failed', 'The WebAssembly engine could not start.', {
      actual: String(error),
      remedy: 'Try again with one thread.',
      cause: error,
    })
  }
  return new WasmDevice(source.config, memory, kernels, plan, threads, clock, adjustThreads)
}
