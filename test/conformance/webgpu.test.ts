/**
 * What only the GPU backend has: matrices split over buffers, every storage of the embedding, a device that is lost in
 * mid-reply, memory that is counted, refused and given back.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Backend, Runner } from '../../engine/backends/backend.ts'
import { createReferenceBackend } from '../../engine/backends/reference/backend.ts'
import { firstBitDifference } from '../../engine/conformance/compare.ts'
import { type LoadedModel, loadModel } from '../../engine/engine.ts'
import { EngineError } from '../../engine/errors.ts'
import type { GgufModel } from '../../engine/formats/gguf.ts'
import { chunksOf, readTokens } from '../../engine/reading.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { createTestWebGpu, createTestWebGpuBackend, noWebGpuReason } from '../webgpu-backend.ts'
import { WASM } from './backends.ts'
import { randomModel } from './random-model.ts'
import { decodeOne, readAll, readLast } from './reading.ts'
import { TINY_TOKENIZER_JSON, TINY_VOCABULARY_SIZE } from './tiny-tokenizer.ts'

const TOKENS = [5, 9, 2, 77, 41, 96, 0, 13, 60]

async function results(runner: Runner) {
  const state = await runner.createState()
  const logits = await readLast(runner, state, TOKENS)
  const next = await decodeOne(runner, state, 96)
  const { values } = await runner.exportState(state)
  runner.releaseState(state)
  return { logits, next, values }
}

async function expectSameAsReference(backend: Backend, model: GgufModel): Promise<void> {
  const expected = await results(await createReferenceBackend().load(model))
  const runner = await backend.load(model)
  const actual = await results(runner)
  await runner.dispose()
  for (const name of ['logits', 'next', 'values'] as const) {
    expect(firstBitDifference(actual[name], expected[name]), name).toBe(-1)
  }
}

/** Its tokens have text, so that they are told as they come, and none of them ends a reply. */
const talkingModel = (seed: number): GgufModel =>
  randomModel({
    seed,
    config: { vocabularySize: TINY_VOCABULARY_SIZE, eosTokenIds: [] },
    tokenizerJson: TINY_TOKENIZER_JSON,
  })

class GPUOutOfMemoryError {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

const codeOf = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    error => (error instanceof EngineError ? error.code : String(error)),
  )

describe.skipIf(noWebGpuReason !== null)(`WebGPU${noWebGpuReason === null ? '' : `: ${noWebGpuReason}`}`, () => {
  describe('storage of models', () => {
    let backend: Backend
    beforeAll(async () => {
      backend = await createTestWebGpuBackend()
    })
    afterAll(() => backend.dispose())

    // 33 columns: two rows of binary16 share a word.
    it.each(['F32', 'F16', 'BF16'] as const)('an embedding in %s', async embeddingType => {
      await expectSameAsReference(backend, randomModel({ seed: 0xe4b, embeddingType }))
    })

    it('an embedding in Q8_0, matrices in TQ1_0', async () => {
      const config = { hiddenSize: 64, stateWidth: 64, intermediateSize: 96 }
      await expectSameAsReference(
        backend,
        randomModel({ seed: 0x4b8, config, embeddingType: 'Q8_0', packing: 'TQ1_0' }),
      )
    })
  })

  describe('buffers with a limit', () => {
    // A row of codes has 64 bytes here, a row of the embedding 66 or 132.
    it.each([192, 640, 1000])('of %i bytes hold a model in parts', async maximumBindingBytes => {
      const backend = await createTestWebGpuBackend({ maximumBindingBytes })
      for (const embeddingType of ['F32', 'F16'] as const) {
        if (maximumBindingBytes < 264 && embeddingType === 'F32') continue
        await expectSameAsReference(backend, randomModel({ seed: 0x5917, embeddingType }))
      }
      await backend.dispose()
    })

    it('of less than a row are refused', async () => {
      const backend = await createTestWebGpuBackend({ maximumBindingBytes: 128 })
      expect(await codeOf(backend.load(randomModel({ seed: 1 })))).toBe('backend-unavailable')
      await backend.dispose()
    })
  })

  describe('memory', () => {
    const model = randomModel({ seed: 0x33 })

    it('is refused before anything is read when the model does not fit, with both figures', async () => {
      const backend = await createTestWebGpuBackend({ memoryBudgetBytes: 100_000 })
      const unread = { ...model, readTensor: () => Promise.reject(new Error('read')) }
      await expect(backend.load(unread)).rejects.toMatchObject({
        code: 'out-of-memory',
        expected: expect.stringMatching(/^\d+ MB$/),
        actual: '0 MB free',
      })
      await backend.dispose()
    })

    it('is counted as allocated, and given back: after use, a failed load and a cancelled one', async () => {
      const { backend, device } = await createTestWebGpu()
      const live = new Map<GPUBuffer, number>()
      const { createBuffer } = device
      device.createBuffer = descriptor => {
        const buffer = createBuffer.call(device, descriptor)
        live.set(buffer, buffer.size)
        const { destroy } = buffer
        buffer.destroy = () => {
          live.delete(buffer)
          return destroy.call(buffer)
        }
        return buffer
      }
      const bytes = (): number => [...live.values()].reduce((sum, size) => sum + size, 0)

      const runner = await backend.load(model)
      const state = await runner.createState()
      const sampling = { temperature: 1, topK: 9, topP: 1, minP: 0, penalties: null, seed: 1, drawn: 0 }
      await runner.decodeAhead!(state, 5, { sampling, maxTokens: 30, onToken: () => 'feed' })
      await readAll(runner, state, TOKENS)
      const { weightBytes, bytesOfAllStates, scratchBytes } = runner.memory()
      expect(weightBytes + bytesOfAllStates + scratchBytes).toBe(bytes())
      expect(runner.capabilities.memoryPlace).toBe('gpu')
      await runner.dispose()
      expect(live.size).toBe(0)

      const reads = { count: 0 }
      const broken = {
        ...model,
        readTensor: (...args: Parameters<GgufModel['readTensor']>) =>
          ++reads.count > 20 ? Promise.reject(new EngineError('file-truncated', 'cut')) : model.readTensor(...args),
      }
      expect(await codeOf(backend.load(broken))).toBe('file-truncated')
      expect(live.size).toBe(0)
      const signal = { aborted: false }
      const cancelling = {
        ...model,
        readTensor: (...args: Parameters<GgufModel['readTensor']>) => {
          signal.aborted = true
          return model.readTensor(...args)
        },
      }
      expect(await codeOf(backend.load(cancelling, { signal }))).toBe('cancelled')
      expect(live.size).toBe(0)
      await expectSameAsReference(backend, model)
      await backend.dispose()
    })
  })

  describe('a cancelled reading', () => {
    it('without logits ends between chunks and leaves the runner usable', async () => {
      const backend = await createTestWebGpuBackend({ chunkTokens: 8 })
      const model = randomModel({ seed: 0xca })
      const runner = await backend.load(model)
      const signal = { aborted: false }
      const state = await runner.createState()
      const done: number[] = []
      const long = Array.from({ length: 200 }, (_, t) => t % 97)
      const reading = readTokens(chunksOf(runner, state), long, {
        want: 'none',
        signal,
        onProgress: tokens => {
          done.push(tokens)
          signal.aborted = tokens === 16
        },
      })
      expect(await codeOf(reading)).toBe('cancelled')
      expect(done).toEqual([8, 16])
      runner.releaseState(state)
      const expected = await results(await createReferenceBackend().load(model))
      expect(firstBitDifference((await results(runner)).next, expected.next)).toBe(-1)
      await backend.dispose()
    })
  })

  describe('errors of the device', () => {
    it('that nobody waits for are thrown by the next call, and stay', async () => {
      const { backend, device } = await createTestWebGpu()
      const runner = await backend.load(randomModel({ seed: 2 }))
      const state = await runner.createState()
      device.queue.writeBuffer(device.createBuffer({ size: 16, usage: 0x8 }), 64, new Uint32Array(4))
      // The device reports it when it has time.
      await device.queue.onSubmittedWorkDone()
      while (runner.failure === null) await nodeEngineEnvironment.yieldToEventLoop()
      expect(await codeOf(readLast(runner, state, TOKENS))).toBe('backend-failed')
      expect(runner.failure).toMatchObject({ code: 'backend-failed' })
      expect(await codeOf(decodeOne(runner, state, 1))).toBe('backend-failed')
      await backend.dispose()
    })
  })

  describe('a device lost in mid-reply', () => {
    const model = talkingModel(0x1057)
    const input = { kind: 'tokens', tokens: TOKENS } as const

    async function write(loaded: LoadedModel, sampling: object, onToken: (told: number) => void = () => {}) {
      const tokens: number[] = []
      const session = loaded.createSession()
      await session.generate(
        input,
        { maxTokens: 150, seed: 1, ...sampling },
        {
          onEvent: event => {
            if (event.kind !== 'text') return
            tokens.push(...event.tokens)
            onToken(tokens.length)
          },
        },
      )
      const state = await session.serialize()
      session.dispose()
      return { tokens, state }
    }

    it.each([1, 20, 70, 149])('goes on with WASM after %i tokens, to the same tokens and state', async count => {
      const wasm = await WASM.create()
      // WASM has no sampler of its own: a text without chance, and the text of WASM, are the same.
      const alone = await loadModel(model, wasm, nodeEngineEnvironment)
      const expected = await write(alone, {})
      await alone.dispose()
      for (const sampling of [{}, { logitBias: [[5, 0]] }]) {
        const { backend, device } = await createTestWebGpu()
        let isLost = false
        const failures: EngineError[] = []
        const loaded = await loadModel(model, backend, nodeEngineEnvironment, {
          nextBackend: async failure => {
            failures.push(failure)
            return wasm
          },
        })
        const { tokens, state } = await write(loaded, sampling, told => {
          if (told < count || isLost) return
          isLost = true
          device.destroy()
        })
        expect(tokens).toEqual(expected.tokens)
        expect(failures.map(({ code, message }) => ({ code, message }))).toEqual([
          { code: 'device-lost', message: 'The graphics processor was lost.' },
        ])
        expect(loaded.backend.name).toBe('wasm')
        expect(firstBitDifference(state, expected.state)).toBe(-1)
        await loaded.dispose()
        await backend.dispose()
      }
      await wasm.dispose()
    })
  })

  describe('a state that does not fit', () => {
    it('is refused by itself: the device and the other states live on', async () => {
      const { backend, device } = await createTestWebGpu()
      const runner = await backend.load(randomModel({ seed: 0x51a7e }))
      const state = await runner.createState()
      const first = await readLast(runner, state, TOKENS)
      const { values } = await runner.exportState(state)
      const { popErrorScope } = device
      let isFull = true
      device.popErrorScope = async () => {
        const error = await popErrorScope.call(device)
        return isFull ? (new GPUOutOfMemoryError('no room for a buffer') as unknown as GPUError) : error
      }
      expect(await codeOf(runner.createState())).toBe('out-of-memory')
      expect(await codeOf(runner.cloneState(state))).toBe('out-of-memory')
      isFull = false
      expect(runner.failure).toBeNull()
      expect(runner.memory().bytesOfAllStates).toBe(values.byteLength)
      expect(firstBitDifference((await runner.exportState(state)).values, values)).toBe(-1)
      const other = await runner.createState()
      expect(firstBitDifference(await readLast(runner, other, TOKENS), first)).toBe(-1)
      await backend.dispose()
    })
  })

  describe('memory that runs out in mid-reply', () => {
    it('is recovered from as a lost device is', async () => {
      const [wasm, { backend, device }] = [await WASM.create(), await createTestWebGpu()]
      const failures: EngineError[] = []
      const loaded = await loadModel(talkingModel(0x00d), backend, nodeEngineEnvironment, {
        nextBackend: async failure => {
          failures.push(failure)
          return wasm
        },
      })
      let told = 0
      await loaded.createSession().generate(
        { kind: 'tokens', tokens: TOKENS },
        { maxTokens: 60 },
        {
          onEvent: event => {
            if (event.kind !== 'text') return
            const isDue = told < 20 && told + event.tokens.length >= 20
            told += event.tokens.length
            // As Dawn reports it, when it has time.
            if (isDue) device.onuncapturederror?.({ error: new GPUOutOfMemoryError('no room') } as never)
          },
        },
      )
      expect(told).toBe(60)
      expect(failures.map(({ code }) => code)).toEqual(['out-of-memory'])
      expect(loaded.backend.name).toBe('wasm')
      await loaded.dispose()
      await Promise.all([wasm.dispose(), backend.dispose()])
    })
  })

  describe('a move in mid-reply', () => {
    it('between WebGPU and WASM changes no token of a greedy text', async () => {
      const model = talkingModel(0x30e)
      const [wasm, backend] = [await WASM.create(), await createTestWebGpuBackend()]
      const expected = await loadModel(model, wasm, nodeEngineEnvironment)
      const write = async (loaded: LoadedModel, moves: [number, Backend][]) => {
        const session = loaded.createSession()
        const tokens: number[] = []
        const moving: Promise<void>[] = []
        await session.generate(
          { kind: 'tokens', tokens: TOKENS },
          { maxTokens: 90 },
          {
            onEvent: event => {
              if (event.kind !== 'text') return
              tokens.push(...event.tokens)
              if (moves.length > moving.length && tokens.length >= moves[moving.length][0]) {
                moving.push(loaded.move(moves[moving.length][1]))
              }
            },
          },
        )
        await Promise.all(moving)
        return tokens
      }
      const tokens = await write(expected, [])
      expect(
        await write(await loadModel(model, backend, nodeEngineEnvironment), [
          [20, wasm],
          [60, backend],
        ]),
      ).toEqual(tokens)
      expect(await write(await loadModel(model, wasm, nodeEngineEnvironment), [[31, backend]])).toEqual(tokens)
      await expected.dispose()
      await Promise.all([wasm.dispose(), backend.dispose()])
    })
  })
})
