/**
 * The WASM backend's own duties: choosing kernels, refusing damaged weights, every stored form of a tensor, memory that
 * grows with conversations, and threads that die. What it computes is tested for all backends in test/conformance.
 */
import { readFile } from 'node:fs/promises'
import { afterEach, describe, expect, it } from 'vitest'
import type { Backend, Runner, StateHandle } from '../../engine/backends/backend.ts'
import { createReferenceBackend } from '../../engine/backends/reference/backend.ts'
import * as layout from '../../engine/backends/wasm/kernels/memory-layout.ts'
import type { KernelVariant } from '../../engine/backends/wasm/kernels.ts'
import { chooseKernels, type KernelBinaries } from '../../engine/backends/wasm/self-test.ts'
import { runWasmThread } from '../../engine/backends/wasm/thread.ts'
import { firstBitDifference } from '../../engine/conformance/compare.ts'
import { loadModel } from '../../engine/engine.ts'
import type { SpawnThread, Thread } from '../../engine/engine-environment.ts'
import { EngineError } from '../../engine/errors.ts'
import { f32ToBf16, f32ToF16 } from '../../engine/formats/half.ts'
import { packTernaryRow, ternaryRowBytes, unpackTernaryRow } from '../../engine/formats/ternary-blocks.ts'
import type { ModelSource, TensorInfo, TensorType } from '../../engine/model/source.ts'
import type { ModelEvent } from '../../engine/model-events.ts'
import type { SessionInput } from '../../engine/session.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { spawnThread } from '../../main/engine-process/node-threads.ts'
import { randomModel } from '../conformance/random-model.ts'
import { decodeOne, readLast } from '../conformance/reading.ts'
import { createTestWasmBackend, readKernels } from '../wasm-backend.ts'

const TOKENS = [1, 5, 9, 33, 96, 0, 7]

const backends: Backend[] = []
const createBackend = async (options: Parameters<typeof createTestWasmBackend>[0] = {}): Promise<Backend> => {
  const backend = await createTestWasmBackend(options)
  backends.push(backend)
  return backend
}
afterEach(async () => {
  await Promise.all(backends.splice(0).map(backend => backend.dispose()))
})

const failureOf = async (work: () => unknown): Promise<EngineError> => {
  try {
    await work()
  } catch (error) {
    if (error instanceof EngineError) return error
    throw error
  }
  throw new Error('Nothing was thrown.')
}

/** The model with some tensors replaced. */
function withTensors(model: ModelSource, changes: Record<string, (info: TensorInfo, bytes: Uint8Array) => Stored>) {
  const stored = async (name: string): Promise<Stored> => {
    const info = model.tensor(name)
    const bytes = await model.readTensor(name)
    return name in changes ? changes[name](info, bytes) : { info, bytes }
  }
  return Promise.all(model.tensors().map(({ name }) => stored(name))).then((tensors): ModelSource => {
    const byName = new Map(tensors.map(tensor => [tensor.info.name, tensor]))
    return {
      ...model,
      tensors: () => tensors.map(({ info }) => info),
      tensor: name => byName.get(name)!.info,
      readTensor: async (name, offset = 0, length) => {
        const { bytes } = byName.get(name)!
        return bytes.slice(offset, length === undefined ? undefined : offset + length)
      },
    }
  })
}
interface Stored {
  info: TensorInfo
  bytes: Uint8Array
}
const patched =
  (offset: number, ...values: number[]) =>
  (info: TensorInfo, bytes: Uint8Array): Stored => {
    bytes.set(values, offset)
    return { info, bytes }
  }

const read = async (runner: Runner): Promise<Float32Array> => await readLast(runner, await runner.createState(), TOKENS)

describe('choice of kernels', () => {
  /** The module with every byte sequence `from` replaced by `to`: the same length, other instructions. */
  const replaced = (binary: Uint8Array, from: number[], to: number[]): Uint8Array => {
    const copy = new Uint8Array(binary)
    let count = 0
    for (let at = 0; at + from.length <= copy.length; at++) {
      if (!from.every((byte, i) => copy[at + i] === byte)) continue
      copy.set(to, at)
      count++
    }
    expect(count).toBeGreaterThan(0)
    return copy
  }
  // i16x8.shr_u to i16x8.shr_s, and i32x4.sub to i32x4.add: still valid, no longer right.
  const wrongShift = (binary: Uint8Array) => replaced(binary, [0xfd, 0x8d, 0x01], [0xfd, 0x8c, 0x01])
  const wrongSubtraction = (binary: Uint8Array) => replaced(binary, [0xfd, 0xb1, 0x01], [0xfd, 0xae, 0x01])

  const choose = (binaries: KernelBinaries, wanted: KernelVariant | 'auto' = 'auto') =>
    chooseKernels(binaries, wanted, nodeEngineEnvironment.clock)

  it('takes relaxed SIMD where it works', async () => {
    expect(choose(await readKernels()).variant).toMatch(/^relaxed-simd(-int16)?$/)
  })

  it.each([
    [1, 'relaxed-simd', null],
    [1.05, 'relaxed-simd', null],
    [2, 'relaxed-simd-int16', '2.0 times as fast as int32 lanes here'],
  ] as const)(
    'takes int16 lanes only where they are clearly faster: %f times as fast',
    async (ratio, variant, reason) => {
      // Every second interval belongs to the int16 lanes; each is a pair of looks at the clock.
      let looks = 0
      let nowMs = 0
      const clock = {
        nowMs: () => {
          const interval = looks >> 1
          if (looks++ % 2 === 1) nowMs += interval % 2 === 0 ? ratio : 1
          return nowMs
        },
      }
      expect(chooseKernels(await readKernels(), 'auto', clock)).toMatchObject({ variant, reason })
    },
  )

  it('falls back when a variant is not accepted or computes something else', async () => {
    const binaries = await readKernels()
    const nonsense = Uint8Array.of(0, 97, 115, 109, 9, 9, 9, 9)
    expect(choose({ ...binaries, relaxedSimd: nonsense })).toMatchObject({
      variant: 'simd',
      reason: 'this JavaScript engine has no relaxed SIMD',
    })
    const broken = wrongSubtraction(binaries.relaxedSimd)
    expect(choose({ ...binaries, relaxedSimd: broken })).toMatchObject({
      variant: 'simd',
      reason: 'relaxed SIMD failed its self-test',
    })
    expect(
      choose({ ...binaries, relaxedSimd: wrongShift(broken), simd: wrongSubtraction(binaries.simd) }),
    ).toMatchObject({ variant: 'scalar', reason: 'relaxed SIMD failed its self-test' })
  })

  it('takes the lanes that compute right when the others do not', async () => {
    const binaries = await readKernels()
    // i32x4.extadd_pairwise_i16x8_s to its unsigned form: the sums of int16 lanes, and those of quantisation.
    const wrongWidening = replaced(binaries.relaxedSimd, [0xfd, 0x7e], [0xfd, 0x7f])
    expect(choose({ ...binaries, relaxedSimd: wrongWidening }).variant).toBe('simd')
    // i16x8.relaxed_dot_i8x16_i7x16_s to i16x8.relaxed_q15mulr_s: int16 lanes only.
    const wrongProducts = replaced(binaries.relaxedSimd, [0xfd, 0x92, 0x02], [0xfd, 0x91, 0x02])
    expect(choose({ ...binaries, relaxedSimd: wrongProducts })).toMatchObject({
      variant: 'relaxed-simd',
      reason: null,
    })
    expect(
      (await failureOf(() => choose({ ...binaries, relaxedSimd: wrongProducts }, 'relaxed-simd-int16'))).code,
    ).toBe('backend-unavailable')
  })

  it('refuses a named variant that does not work, and a machine without WebAssembly threads', async () => {
    const binaries = await readKernels()
    const broken = { ...binaries, relaxedSimd: wrongSubtraction(binaries.relaxedSimd) }
    expect((await failureOf(() => choose(broken, 'relaxed-simd'))).code).toBe('backend-unavailable')
    expect((await failureOf(() => choose({ ...binaries, scalar: Uint8Array.of(1) }))).code).toBe('backend-unavailable')
  })

  it('says what was chosen', async () => {
    expect((await createBackend({ threads: 2, kernel: 'relaxed-simd-int16' })).info).toEqual({
      name: 'wasm',
      description: 'relaxed SIMD in int16 lanes, 2 threads',
      threads: 2,
      kernel: 'relaxed-simd-int16',
    })
    const { info } = await createBackend({ threads: 4, spawnThread: null, kernel: 'scalar' })
    expect(info).toMatchObject({ description: 'scalar, 1 thread', threads: 1 })
  })

  it('refuses an impossible number of threads', async () => {
    for (const threads of [0, -1, 1.5, 65, Number.NaN]) {
      expect((await failureOf(() => createBackend({ threads }))).code).toBe('invalid-argument')
    }
  })
})

describe('stored forms', () => {
  const model = randomModel({ seed: 0x5706ed, config: { hiddenSize: 300, stateWidth: 300, intermediateSize: 530 } })
  const embedding = 'token_embd.weight'

  const asType = (type: TensorType, store: (value: number) => number) => (info: TensorInfo, bytes: Uint8Array) => {
    const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
    const out = new Uint8Array(Uint16Array.from(values, store).buffer)
    return { info: { ...info, type, byteLength: out.length }, bytes: out }
  }

  it.each([
    ['F16', asType('F16', f32ToF16)],
    ['BF16', asType('BF16', f32ToBf16)],
  ] as const)('reads an embedding in %s as the reference does', async (_type, change) => {
    const source = await withTensors(model, { [embedding]: change })
    const expected = await read(await createReferenceBackend().load(source))
    const actual = await read(await (await createBackend()).load(source))
    expect(firstBitDifference(actual, expected)).toBe(-1)
  })

  it('reads an embedding in Q8_0 as the reference does', async () => {
    const wide = randomModel({ seed: 8, config: { hiddenSize: 96, stateWidth: 96 } })
    const source = await withTensors(wide, {
      [embedding]: (info, bytes) => {
        const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
        const out = new Uint8Array((values.length / 32) * 34)
        const view = new DataView(out.buffer)
        for (let block = 0; block < values.length / 32; block++) {
          // Scales small enough to be subnormal in binary16 too.
          view.setUint16(block * 34, f32ToF16(block % 3 === 0 ? 3e-6 : 0.01 * (block % 7)), true)
          for (let k = 0; k < 32; k++) view.setInt8(block * 34 + 2 + k, Math.round(values[block * 32 + k] * 40) % 128)
        }
        return { info: { ...info, type: 'Q8_0', byteLength: out.length }, bytes: out }
      },
    })
    const expected = await read(await createReferenceBackend().load(source))
    const actual = await read(await (await createBackend()).load(source))
    expect(firstBitDifference(actual, expected)).toBe(-1)
  })

  it.each(['relaxed-simd', 'scalar'] as const)('reads TQ1_0 as it reads TQ2_0, %s', async kernel => {
    const changes = Object.fromEntries(
      model
        .tensors()
        .filter(({ type }) => type === 'TQ2_0')
        .map(({ name }) => [name, toTq1]),
    )
    const backend = await createBackend({ kernel })
    const expected = await read(await backend.load(model))
    const actual = await read(await backend.load(await withTensors(model, changes)))
    expect(firstBitDifference(actual, expected)).toBe(-1)
  })

  function toTq1(info: TensorInfo, bytes: Uint8Array): Stored {
    const [rows, columns] = info.shape
    const [from, to] = [ternaryRowBytes('TQ2_0', columns), ternaryRowBytes('TQ1_0', columns)]
    const out = new Uint8Array(rows * to)
    const codes = new Int8Array(columns)
    for (let row = 0; row < rows; row++) {
      unpackTernaryRow('TQ2_0', bytes, row * from, columns, codes, 0, info.name)
      packTernaryRow('TQ1_0', codes, 0, columns, out, row * to)
    }
    return { info: { ...info, type: 'TQ1_0', byteLength: out.length }, bytes: out }
  }

  const weight = 'blk.1.mlgru_o.weight'
  const row = ternaryRowBytes('TQ2_0', 300)
  const damages: [string, Parameters<typeof withTensors>[1], string][] = [
    ['a code that is not ternary', { [weight]: patched(17 * row + 5, 0xff) }, 'format-invalid'],
    ['a code 3 in the second half of a block', { [weight]: patched(40, 0x0c) }, 'format-invalid'],
    ['a block scale of 2', { [weight]: patched(299 * row + 64, 0x00, 0x40) }, 'format-invalid'],
    ['a block scale of 0 with weights', { [weight]: patched(64, 0, 0) }, 'format-invalid'],
    [
      'a byte that packs no trits',
      {
        [weight]: (info, bytes) => {
          const tq1 = toTq1(info, bytes)
          tq1.bytes[3 * ternaryRowBytes('TQ1_0', 300) + 47] = 20
          return tq1
        },
      },
      'format-invalid',
    ],
    ['NaN in the embedding', { [embedding]: patched(4 * 300 * 50, 0, 0, 0xc0, 0x7f) }, 'tensor-not-finite'],
    ['infinity in a norm', { 'blk.2.glu_norm.weight': patched(8, 0, 0, 0x80, 0x7f) }, 'tensor-not-finite'],
    ['NaN as a scale', { 'blk.0.glu_down.scale': patched(0, 0, 0, 0xc0, 0x7f) }, 'tensor-not-finite'],
    [
      'a matrix of another shape',
      { [weight]: (info, bytes) => ({ info: { ...info, shape: [299, 512] }, bytes }) },
      'tensor-shape-mismatch',
    ],
    [
      'a ternary matrix stored as floats',
      { [weight]: (info, bytes) => ({ info: { ...info, type: 'F16' }, bytes }) },
      'tensor-type-unsupported',
    ],
  ]
  it.each(damages)('refuses %s', async (_name, changes, code) => {
    const source = await withTensors(model, changes)
    for (const kernel of ['relaxed-simd', 'scalar'] as const) {
      const backend = await createBackend({ kernel, threads: 2 })
      expect((await failureOf(() => backend.load(source))).code).toBe(code)
    }
  })

  it('takes a block scale of 0 where all weights are zero', async () => {
    const zeroBlock = (scale: number) => (info: TensorInfo, bytes: Uint8Array) => {
      bytes.fill(0x55, 0, 64)
      bytes.set([0, scale], 64)
      return { info, bytes }
    }
    const backend = await createBackend()
    const withOne = await read(await backend.load(await withTensors(model, { [weight]: zeroBlock(0x3c) })))
    const withZero = await read(await backend.load(await withTensors(model, { [weight]: zeroBlock(0) })))
    expect(firstBitDifference(withZero, withOne)).toBe(-1)
  })

  it('stops loading when cancelled', async () => {
    const backend = await createBackend({ threads: 2 })
    const signal = { aborted: false }
    const onProgress = (fraction: number) => {
      signal.aborted = fraction > 0.3
    }
    expect((await failureOf(() => backend.load(model, { signal, onProgress }))).code).toBe('cancelled')
  })

  it('says before loading that a model cannot fit', async () => {
    const huge = { ...model, config: { ...model.config, layerCount: 1000, hiddenSize: 8192, stateWidth: 8192 } }
    const failure = await failureOf(async () => (await createBackend()).load(huge))
    expect(failure.code).toBe('out-of-memory')
    expect(failure.actual).toMatch(/\d+ bytes of weights/)
  })
})

describe('states', () => {
  it('grow in number while threads run, and come back', async () => {
    const model = randomModel({ seed: 3, config: { stateWidth: 2048, layerCount: 4, useLowerBound: false } })
    const runner = await (await createBackend({ threads: 3 })).load(model)
    const first = await runner.createState()
    const before = await decodeOne(runner, first, 5)
    // 32 KiB each: the memory grows many times.
    const states: StateHandle[] = []
    for (let i = 0; i < 100; i++) states.push(await runner.createState())
    for (const state of states) expect(firstBitDifference(await decodeOne(runner, state, 5), before)).toBe(-1)
    expect(runner.memory().bytesOfAllStates).toBe(101 * 4 * 2048 * 4)
    for (const state of states) runner.releaseState(state)
    expect(runner.memory().bytesOfAllStates).toBe(4 * 2048 * 4)
  })

  it('of a disposed state or runner nothing can be asked', async () => {
    const runner = await (await createBackend({ threads: 2 })).load(randomModel({ seed: 4 }))
    const state = await runner.createState()
    const gone = await runner.createState()
    runner.releaseState(gone)
    expect((await failureOf(() => decodeOne(runner, gone, 1))).code).toBe('internal')
    await runner.dispose()
    await runner.dispose()
    expect((await failureOf(() => decodeOne(runner, state, 1))).code).toBe('model-not-loaded')
  })
})

describe('threads that fail', () => {
  const model = randomModel({ seed: 6 })

  /** Threads of Node, and the memory that they share. */
  function observedThreads() {
    const threads: Thread[] = []
    let memory: { buffer: SharedArrayBuffer } | null = null
    const spawn: SpawnThread = init => {
      memory = (init as { memory: { buffer: SharedArrayBuffer } }).memory
      const thread = spawnThread(init)
      threads.push(thread)
      return thread
    }
    return { spawn, threads, header: () => new Int32Array(memory!.buffer) }
  }

  it('a thread that has died is noticed: no hang, and the failure stays', async () => {
    const { spawn, threads } = observedThreads()
    const backend = await createBackend({ threads: 3, spawnThread: spawn, threadTimeoutMs: 1000 })
    const runner = await backend.load(model)
    const state = await runner.createState()
    await decodeOne(runner, state, 1)
    await threads[1].terminate()
    const failure = await failureOf(() => decodeOne(runner, state, 2))
    expect(failure).toMatchObject({ code: 'backend-failed', actual: 'a thread did not answer in time' })
    expect(await failureOf(() => decodeOne(runner, state, 3))).toBe(failure)
  })

  it('a thread that has died in mid-reply is told as the end of the model, once', async () => {
    const { spawn, threads } = observedThreads()
    const backend = await createBackend({ threads: 3, spawnThread: spawn, threadTimeoutMs: 1000 })
    const loaded = await loadModel(
      { ...model, config: { ...model.config, eosTokenIds: [] } },
      backend,
      nodeEngineEnvironment,
    )
    const events: ModelEvent[] = []
    loaded.onEvent(event => events.push(event))
    const session = loaded.createSession()
    const input: SessionInput = { kind: 'tokens', tokens: [1, 2, 3] }
    await session.generate(input, { maxTokens: 4 }, { onEvent: () => {} })
    await threads[1].terminate()
    const failing = () => session.generate({ kind: 'tokens', tokens: [] }, { maxTokens: 4 }, { onEvent: () => {} })
    const error = await failureOf(failing)
    expect(error.code).toBe('backend-failed')
    expect(await failureOf(failing)).toBe(error)
    expect(events).toEqual([{ kind: 'failed', error }])
    await loaded.dispose()
  })

  it('a trap in the kernels is an error of the engine', async () => {
    const { spawn, header } = observedThreads()
    const runner = await (await createBackend({ threads: 2, spawnThread: spawn })).load(model)
    const state = await runner.createState()
    // The head's weights, far outside the memory.
    header()[layout.MODEL_OUTPUT_WEIGHT / 4] = 0xfff00000 | 0
    expect((await failureOf(() => decodeOne(runner, state, 1))).code).toBe('backend-failed')
  })

  it('a thread that cannot start fails the load, and the others are ended', async () => {
    let terminated = 0
    const spawn: SpawnThread = () => ({
      started: terminated >= 0 ? Promise.reject(new Error('no more threads')) : Promise.resolve(),
      terminate: async () => {
        terminated++
      },
    })
    const backend = await createBackend({ threads: 3, spawnThread: spawn })
    const failure = await failureOf(() => backend.load(model))
    expect(failure).toMatchObject({ code: 'backend-failed', actual: 'Error: no more threads' })
    expect(terminated).toBe(2)
  })

  it('a thread started with something else refuses it', async () => {
    for (const init of [undefined, {}, { kind: 'wasm-thread', thread: 1 }, { kind: 'wasm-thread', thread: 0 }]) {
      expect((await failureOf(() => runWasmThread(init))).code).toBe('invalid-argument')
    }
  })
})

it('the kernels are compiled from the sources that are here', async () => {
  const { ensureKernels } = await import('../../engine/backends/wasm/build-kernels.mjs')
  const folder = await ensureKernels()
  const wasm = await readFile(`${folder}/relaxed-simd.wasm`)
  expect([...wasm.subarray(0, 4)]).toEqual([0, 97, 115, 109])
})
