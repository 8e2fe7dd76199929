/** Which backend a model gets, and what it says of the choice: with backends of this machine replaced by scripted ones. */
import { describe, expect, it } from 'vitest'
import type { BackendRequest, GpuAdapter } from '../../contract/words/backend.ts'
import type { Backend } from '../../engine/backends/backend.ts'
import type { WebGpuBackend } from '../../engine/backends/webgpu/backend.ts'
import { EngineError } from '../../engine/errors.ts'
import { type BackendMakers, chooseBackend, loadChosen } from '../../main/engine-process/backend-choice.ts'
import { parseNvidiaSmi } from '../../main/engine-process/gpu-memory.ts'
import { ThreadStartError } from '../../main/engine-process/node-threads.ts'
import {
  createScriptedBackend,
  reply,
  type ScriptedBackend,
  scriptedModelFile,
} from '../conformance/scripted-backend.ts'
import { BOS, characters, END, id } from '../conformance/tiny-tokenizer.ts'

const ADAPTER: GpuAdapter = {
  name: 'Fast GPU 9000',
  vendor: 'acme',
  driver: 'acme 1.0',
  isSoftware: false,
  kind: 'discrete',
  subgroupMinSize: 32,
  hasPackedDot: true,
  hasTimestamps: true,
  maxBufferBytes: 2 ** 32,
  maxBindingBytes: 2 ** 31,
  maxWorkgroupBytes: 2 ** 15,
}

const NO_DEVICE = {} as unknown as GPUDevice

interface Rig {
  gpu: ScriptedBackend
  cpu: ScriptedBackend
  makers: BackendMakers
  disposed: string[]
}

interface RigOptions {
  adapter?: Partial<GpuAdapter> | EngineError
  hasGpu?: boolean
  fits?: EngineError
  loads?: EngineError
  rates?: { gpu: number | EngineError; cpu: number }
}

function rig({ adapter = {}, hasGpu = true, fits, loads, rates = { gpu: 300, cpu: 100 } }: RigOptions = {}): Rig {
  const gpu = createScriptedBackend({ samples: true })
  const cpu = createScriptedBackend()
  const disposed: string[] = []
  Object.assign(gpu, {
    info: { name: 'webgpu', description: 'Fast GPU 9000', kernel: 'Fast GPU 9000', threads: 1 },
    checkFits: () => {
      if (fits) throw fits
    },
    dispose: async () => void disposed.push('gpu'),
  })
  if (loads) {
    gpu.load = async () => {
      throw loads
    }
  }
  Object.assign(cpu, {
    info: { name: 'wasm', description: 'SIMD', kernel: 'simd', threads: 2 },
    dispose: async () => void disposed.push('cpu'),
  })
  const makers: BackendMakers = {
    cpu: async () => cpu,
    gpu: async () => {
      if (adapter instanceof EngineError) throw adapter
      return { backend: gpu as unknown as WebGpuBackend, adapter: { ...ADAPTER, ...adapter }, device: NO_DEVICE }
    },
    mayHaveGpu: () => hasGpu,
    probe: async backend => {
      const rate = backend.info.name === 'webgpu' ? rates.gpu : rates.cpu
      if (rate instanceof EngineError) throw rate
      return rate
    },
  }
  return { gpu, cpu, makers, disposed }
}

const AUTO: BackendRequest = { backend: 'auto' }
const model = scriptedModelFile()
const choose = (makers: BackendMakers, request = AUTO): Promise<Backend> => chooseBackend(model, request, makers)

describe('auto', () => {
  it('takes a graphics processor that is measured to be faster', async () => {
    const { makers, disposed } = rig()
    const { info } = await choose(makers)
    expect(info).toMatchObject({ name: 'webgpu', description: "Fast GPU 9000; measured 3.0 times the CPU's speed" })
    expect(disposed).toEqual(['cpu'])
  })

  const UNAVAILABLE = new EngineError('backend-unavailable', 'There is no adapter.', { actual: 'no adapter' })
  const WRONG = new EngineError('backend-unavailable', 'This graphics processor computes wrong results.', {
    actual: 'norms are wrong\nand more',
  })
  const TOO_LARGE = new EngineError('out-of-memory', 'The model does not fit.', {
    expected: '900 MB',
    actual: '500 MB free',
  })
  const cases: [string, RigOptions, string][] = [
    ['no graphics processor', { hasGpu: false }, 'SIMD; there is no graphics processor'],
    ['no adapter', { adapter: UNAVAILABLE }, 'SIMD; not the graphics processor: There is no adapter (no adapter)'],
    [
      'a software adapter',
      { adapter: { name: 'llvmpipe', isSoftware: true } },
      'SIMD; not the graphics processor: llvmpipe is a software adapter',
    ],
    [
      'a failed self-test',
      { adapter: WRONG },
      'SIMD; not the graphics processor: This graphics processor computes wrong results (norms are wrong)',
    ],
    [
      'too little memory',
      { fits: TOO_LARGE },
      'SIMD; not the graphics processor: The model does not fit (needs 900 MB, 500 MB free)',
    ],
    [
      'a slower one',
      { rates: { gpu: 40, cpu: 100 } },
      "SIMD; not the graphics processor: Fast GPU 9000 is slower here (measured 0.4 times the CPU's speed)",
    ],
    [
      'one that fails while it is measured',
      { rates: { gpu: new EngineError('device-lost', 'The device was lost.'), cpu: 1 } },
      'SIMD; not the graphics processor: The device was lost',
    ],
  ]
  it.each(cases)('takes the CPU with %s, and says why', async (_, options, description) => {
    const { makers, disposed } = rig(options)
    expect((await choose(makers)).info).toMatchObject({ name: 'wasm', description })
    expect(disposed).toEqual(options.hasGpu === false || options.adapter instanceof EngineError ? [] : ['gpu'])
  })

  it('goes to the CPU when the model cannot be loaded after all', async () => {
    const { makers } = rig({ loads: TOO_LARGE })
    const chosen = await loadChosen(model, AUTO, LOAD, makers)
    expect(chosen.model.backend.name).toBe('wasm')
    expect(chosen.model.backend.description).toContain('The model does not fit (needs 900 MB, 500 MB free)')
    await chosen.dispose()
  })
})

const LOAD = { signal: { aborted: false }, onProgress: () => {} }

describe('threads that do not start', () => {
  const failure = new ThreadStartError(new Error('EMFILE'))

  /** A CPU whose first model needs threads that cannot be had. */
  function crowded() {
    const { makers } = rig({ hasGpu: false })
    const asked: (number | undefined)[] = []
    const cpu: BackendMakers['cpu'] = async (_choice, threads) => {
      asked.push(threads)
      const backend = createScriptedBackend()
      if (threads === 1) return backend
      return { ...backend, load: () => Promise.reject(failure) }
    }
    return { makers: { ...makers, cpu }, asked }
  }

  it.each(['auto', 'wasm'] as const)('leave one alone to compute, and the description says so (%s)', async backend => {
    const { makers, asked } = crowded()
    const { model: loaded, dispose } = await loadChosen(model, { backend }, LOAD, makers)
    expect(loaded.backend.description).toContain('more threads could not be started')
    expect(asked).toEqual([undefined, 1])
    await dispose()
  })

  it('are told when so many were asked for', async () => {
    const { makers } = crowded()
    const attempt = loadChosen(model, { backend: 'wasm', threads: 4 }, LOAD, makers)
    await expect(attempt).rejects.toMatchObject({
      code: 'backend-failed',
      remedy: expect.stringContaining('--threads 1'),
    })
  })
})

describe('a choice by name', () => {
  it('is taken as it is, or refused', async () => {
    const { makers } = rig({ adapter: { isSoftware: true }, rates: { gpu: 1, cpu: 100 } })
    expect((await choose(makers, { backend: 'webgpu' })).info.description).toBe('Fast GPU 9000')
    expect((await choose(makers, { backend: 'wasm' })).info.description).toBe('SIMD')
    const refused = rig({ loads: new EngineError('out-of-memory', 'too large') })
    await expect(loadChosen(model, { backend: 'webgpu' }, LOAD, refused.makers)).rejects.toMatchObject({
      code: 'out-of-memory',
    })
    expect(refused.disposed).toEqual(['gpu'])
  })
})

describe('a loaded model', () => {
  const LINE = characters('over the sea')

  it('goes on on the CPU when the device is lost, and frees the device', async () => {
    const { gpu, cpu, makers, disposed } = rig()
    gpu.next = reply(2, [...LINE, END])
    cpu.next = gpu.next
    const { model: loaded, dispose } = await loadChosen(model, { backend: 'webgpu' }, LOAD, makers)
    const tokens: number[] = []
    const input = { kind: 'text', text: 'x', parseSpecial: false } as const
    await loaded.createSession().generate(
      input,
      {},
      {
        onEvent: event => {
          if (event.kind !== 'text') return
          tokens.push(...event.tokens)
          if (tokens.length === 4) gpu.deviceFailure = new EngineError('device-lost', 'The GPU was lost.')
        },
      },
    )
    expect(tokens).toEqual(LINE)
    expect(loaded.backend).toMatchObject({ name: 'wasm', description: 'SIMD; The GPU was lost.' })
    expect(disposed).toEqual(['gpu'])
    expect([...cpu.states.values()]).toEqual([[BOS, id('x'), ...LINE]])
    await dispose()
    expect(disposed).toEqual(['gpu', 'cpu'])
  })

  it('is at its end when the CPU cannot take it either: that is told, and everything is freed', async () => {
    const { gpu, cpu, makers, disposed } = rig()
    gpu.next = reply(2, [...LINE, END])
    cpu.load = async () => {
      throw new EngineError('out-of-memory', 'There is not enough memory for this model.')
    }
    const { model: loaded, dispose } = await loadChosen(model, { backend: 'webgpu' }, LOAD, makers)
    const events: string[] = []
    loaded.onEvent(event => events.push(event.kind === 'failed' ? `failed: ${event.error.message}` : event.kind))
    const session = loaded.createSession()
    const input = { kind: 'text', text: 'x', parseSpecial: false } as const
    await session.generate(input, { maxTokens: 3 }, { onEvent: () => {} })
    gpu.deviceFailure = new EngineError('device-lost', 'The GPU was lost.')
    await expect(session.serialize()).rejects.toMatchObject({ code: 'device-lost' })
    expect(events).toEqual([
      'moving',
      'failed: The GPU was lost. The model cannot go on elsewhere: There is not enough memory for this model.',
    ])
    await dispose()
    expect([...new Set(disposed)].sort()).toEqual(['cpu', 'gpu'])
  })

  it('on the last candidate moves to the first', async () => {
    const { cpu, makers } = rig()
    Object.assign(cpu, { info: { ...cpu.info, name: 'reference' } })
    const { model: loaded, moveTo, dispose } = await loadChosen(model, { backend: 'reference' }, LOAD, makers)
    expect(loaded.backend.name).toBe('reference')
    await moveTo({ backend: 'auto' })
    expect(loaded.backend.name).toBe('webgpu')
    await dispose()
  })

  it('moves to the other backend on request', async () => {
    const { makers, disposed } = rig()
    const { model: loaded, moveTo, dispose } = await loadChosen(model, { backend: 'wasm' }, LOAD, makers)
    await moveTo({ backend: 'auto' })
    expect(loaded.backend.name).toBe('webgpu')
    await moveTo({ backend: 'auto' })
    expect(loaded.backend.name).toBe('wasm')
    expect(disposed).toEqual(['cpu', 'gpu'])
    await dispose()
  })
})

describe('free memory of a graphics processor', () => {
  it('is read from what nvidia-smi prints', () => {
    const output = 'NVIDIA H200, 140000\nNVIDIA H200, 90000\nNVIDIA T400, 3000\n'
    expect(parseNvidiaSmi(output, 'NVIDIA H200')).toBe(90_000 * 2 ** 20)
    expect(parseNvidiaSmi(output, 'NVIDIA T400 4GB')).toBe(3000 * 2 ** 20)
    expect(parseNvidiaSmi(output, 'something else')).toBe(3000 * 2 ** 20)
    expect(parseNvidiaSmi('No devices were found\n', 'NVIDIA H200')).toBeNull()
  })
})
