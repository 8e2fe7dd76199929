/**
 * Small checkpoints of every kind against the published implementation: in one pass, in odd chunks, token by token and
 * from a state that went through a file. The bounds are those of the model's description (docs/model-format.md).
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Backend, Runner, StateHandle } from '../../engine/backends/backend.ts'
import { firstBitDifference } from '../../engine/conformance/compare.ts'
import { lossSumNats } from '../../engine/evaluate.ts'
import type { GgufModel } from '../../engine/formats/gguf.ts'
import { readStateFile, writeStateFile } from '../../engine/state/state-file.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { BACKENDS, REFERENCE } from '../conformance/backends.ts'
import { argMax, median, relativeL2Error } from '../conformance/compare.ts'
import { decodeOne, readAll, readLast } from '../conformance/reading.ts'
import { convertTinyCase, readTinyGolden, TINY_CASES, type TinyCase, type TinyGolden } from './golden-data.ts'

const BOUNDS = { medianError: 1e-4, bestAgreement: 0.98, lossNats: 1e-3 }

const models = new Map<TinyCase, { model: GgufModel; golden: TinyGolden }>()
beforeAll(async () => {
  for (const name of TINY_CASES) {
    models.set(name, { model: await convertTinyCase(name, 'tq2_0'), golden: await readTinyGolden(name) })
  }
})

/** Rows [count, V] against rows [count, V]. */
function expectAgreement(actual: Float32Array, expected: Float32Array, vocabularySize: number): void {
  expect(actual.length).toBe(expected.length)
  const rows = expected.length / vocabularySize
  const row = (logits: Float32Array, t: number) => logits.subarray(t * vocabularySize, (t + 1) * vocabularySize)
  const positions = Array.from({ length: rows }, (_, t) => t)
  const errors = positions.map(t => relativeL2Error(row(actual, t), row(expected, t)))
  const agreeing = positions.filter(t => argMax(row(actual, t)) === argMax(row(expected, t)))
  expect(median(errors)).toBeLessThanOrEqual(BOUNDS.medianError)
  expect(agreeing.length / rows).toBeGreaterThanOrEqual(BOUNDS.bestAgreement)
}

describe.each([...BACKENDS, REFERENCE])('golden checkpoints on $name', ({ create }) => {
  let backend: Backend
  beforeAll(async () => {
    backend = await create()
  })
  afterAll(async () => {
    await backend.dispose()
  })

  describe.each(TINY_CASES)('%s', name => {
    let model: GgufModel
    let golden: TinyGolden
    let runner: Runner
    let state: StateHandle
    beforeAll(async () => {
      ;({ model, golden } = models.get(name)!)
      runner = await backend.load(model)
    })
    afterAll(async () => {
      await runner.dispose()
    })

    const expectFinalStates = async (): Promise<void> => {
      const { values } = await runner.exportState(state)
      expect(relativeL2Error(values, golden.finalStates)).toBeLessThan(BOUNDS.medianError)
      runner.releaseState(state)
    }

    /** All logits of `tokens`, in pieces of the given sizes, again and again. */
    const readPieces = async (tokens: readonly number[], sizes: readonly number[]): Promise<Float32Array> => {
      const V = model.config.vocabularySize
      const logits = new Float32Array(tokens.length * V)
      for (let first = 0, piece = 0; first < tokens.length; piece++) {
        const chunk = tokens.slice(first, first + sizes[piece % sizes.length])
        logits.set(await readAll(runner, state, chunk), first * V)
        first += chunk.length
      }
      return logits
    }

    const readSteps = async (tokens: readonly number[]): Promise<Float32Array> => {
      const V = model.config.vocabularySize
      const logits = new Float32Array(tokens.length * V)
      for (const [t, token] of tokens.entries()) logits.set(await decodeOne(runner, state, token), t * V)
      return logits
    }

    it('in one pass', async () => {
      state = await runner.createState()
      const { tokens } = golden
      const logits = await readPieces(tokens, [tokens.length])
      expectAgreement(logits, golden.logits, model.config.vocabularySize)
      const loss = (of: Float32Array): number => lossSumNats(of, tokens.length, tokens, 1) / (tokens.length - 1)
      expect(Math.abs(loss(logits) - loss(golden.logits))).toBeLessThanOrEqual(BOUNDS.lossNats)
      await expectFinalStates()
    })

    it('in odd chunks', async () => {
      state = await runner.createState()
      expectAgreement(await readPieces(golden.tokens, [1, 7, 3, 13, 2]), golden.logits, model.config.vocabularySize)
      await expectFinalStates()
    })

    it('token by token', async () => {
      state = await runner.createState()
      const { tokens, prefillTokens, stepLogits } = golden
      await readLast(runner, state, tokens.slice(0, prefillTokens))
      expectAgreement(await readSteps(tokens.slice(prefillTokens)), stepLogits, model.config.vocabularySize)
      await expectFinalStates()

      state = await runner.createState()
      expectAgreement(await readSteps(tokens), golden.logits, model.config.vocabularySize)
      await expectFinalStates()
    })

    it('from a state that went through a file, exactly', async () => {
      state = await runner.createState()
      const { tokens, prefillTokens, stepLogits } = golden
      const logits = await readLast(runner, state, tokens.slice(0, prefillTokens))
      const identity = { modelSha256: 'a'.repeat(64), tokenizerSha256: null }
      const { createSha256 } = nodeEngineEnvironment
      const file = writeStateFile(
        {
          recurrent: await runner.exportState(state),
          tokenCount: prefillTokens,
          pendingTokens: [],
          logits,
          text: null,
          unfinishedTokens: [],
          penaltyHistory: [],
          generator: null,
        },
        model.name,
        identity,
        model.config,
        createSha256,
      )
      const uninterrupted = await readSteps(tokens.slice(prefillTokens))
      await expectFinalStates()

      const snapshot = readStateFile(file, identity, model.config, createSha256)
      expect(firstBitDifference(snapshot.logits!, logits)).toBe(-1)
      state = await runner.createState()
      await runner.importState(state, snapshot.recurrent)
      const steps = await readSteps(tokens.slice(prefillTokens))
      expectAgreement(steps, stepLogits, model.config.vocabularySize)
      expect(firstBitDifference(steps, uninterrupted)).toBe(-1)
      await expectFinalStates()
    })
  })
})

describe('packing', () => {
  it.each(TINY_CASES)('%s holds the same numbers in TQ1_0', async name => {
    const { model, golden } = models.get(name)!
    const packed = await convertTinyCase(name, 'tq1_0')
    const backend = await BACKENDS[0].create()
    const read = async (source: GgufModel): Promise<Float32Array> => {
      const runner = await backend.load(source)
      const logits = await readLast(runner, await runner.createState(), golden.tokens)
      await runner.dispose()
      return logits
    }
    expect(firstBitDifference(await read(packed), await read(model))).toBe(-1)
  })
})
