/**
 * What every backend's runner must do with a model of random weights: chunks of any size, states that do not touch each
 * other, export and import, errors. Results are compared bit for bit, of a backend with itself and with the reference.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Backend, Runner, RunnerState } from '../../engine/backends/backend.ts'
import { createReferenceBackend } from '../../engine/backends/reference/backend.ts'
import { readWeights } from '../../engine/backends/reference/weights.ts'
import { firstBitDifference } from '../../engine/conformance/compare.ts'
import { createRandom, wholeBelow } from '../../engine/conformance/random.ts'
import { EngineError } from '../../engine/errors.ts'
import { forward, head } from '../../engine/model/forward.ts'
import { BACKENDS } from './backends.ts'
import { randomModel } from './random-model.ts'

const MODELS = [
  { name: 'odd widths', model: randomModel({ seed: 0x0dd }) },
  {
    name: 'wide state, no lower bounds',
    model: randomModel({ seed: 0xe2, config: { stateWidth: 66, useLowerBound: false, layerCount: 2 } }),
  },
  {
    name: 'one layer, whole blocks',
    model: randomModel({
      seed: 0x100,
      config: { hiddenSize: 256, stateWidth: 256, intermediateSize: 512, layerCount: 1 },
    }),
  },
]

const random = createRandom(0x70c5)
const TOKENS = Array.from({ length: 150 }, () => wholeBelow(random, 97))

const codeOf = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise
  } catch (error) {
    if (error instanceof EngineError) return error.code
    throw error
  }
  return 'no error'
}

describe.each(BACKENDS)('runner of $name', ({ create }) => {
  let backend: Backend
  beforeAll(async () => {
    backend = await create()
  })
  afterAll(async () => {
    await backend.dispose()
  })

  describe.each(MODELS)('$name', ({ model }) => {
    let runner: Runner
    let expected: Float32Array
    let expectedState: Float32Array
    beforeAll(async () => {
      runner = await backend.load(model)
      const reference = await createReferenceBackend().load(model)
      const state = reference.createState()
      expected = (await reference.prefill(state, TOKENS, { logits: 'last' }))!.slice()
      expectedState = (await reference.exportState(state)).values
    })
    afterAll(async () => {
      await runner.dispose()
    })

    const read = async (state: RunnerState, tokens: readonly number[]): Promise<Float32Array> =>
      (await runner.prefill(state, tokens, { logits: 'last' }))!.slice()

    it('agrees with the reference', async () => {
      const state = runner.createState()
      const logits = await read(state, TOKENS)
      const { values } = await runner.exportState(state)
      expect(firstBitDifference(logits, expected)).toBe(-1)
      expect(firstBitDifference(values, expectedState)).toBe(-1)
      runner.disposeState(state)
    })

    it('reads the same in chunks of any size and token by token', async () => {
      const whole = runner.createState()
      const logits = await read(whole, TOKENS)
      for (const chunk of [1, 3, 16, 63, 65]) {
        const state = runner.createState()
        let last = new Float32Array()
        for (let first = 0; first < TOKENS.length; first += chunk) {
          const tokens = TOKENS.slice(first, first + chunk)
          if (chunk === 1) last = (await runner.decode(state, tokens[0])).slice()
          else last = (await read(state, tokens)) as Float32Array<ArrayBuffer>
        }
        expect(firstBitDifference(last, logits), `chunks of ${chunk}`).toBe(-1)
        const values = (await runner.exportState(state)).values
        expect(firstBitDifference(values, (await runner.exportState(whole)).values), `chunks of ${chunk}`).toBe(-1)
        runner.disposeState(state)
      }
      runner.disposeState(whole)
    })

    it('gives the logits of every position, in order', async () => {
      const state = runner.createState()
      const rows: number[] = []
      const V = model.config.vocabularySize
      let last = new Float32Array()
      const result = await runner.prefill(state, TOKENS, {
        logits: 'all',
        onLogits: (logits, first, count) => {
          expect(logits.length).toBe(count * V)
          for (let t = 0; t < count; t++) rows.push(first + t)
          last = logits.slice((count - 1) * V)
        },
      })
      expect(result).toBeNull()
      expect(rows).toEqual(TOKENS.map((_, t) => t))
      const again = runner.createState()
      expect(firstBitDifference(last, await read(again, TOKENS))).toBe(-1)
      runner.disposeState(state)
      runner.disposeState(again)
    })

    it('keeps interleaved sequences apart', async () => {
      const [a, b] = [TOKENS.slice(0, 40), TOKENS.slice(40, 80)]
      const alone = runner.createState()
      const expectedA = await read(alone, a)
      runner.disposeState(alone)
      const [stateA, stateB] = [runner.createState(), runner.createState()]
      let lastA = new Float32Array()
      for (let t = 0; t < a.length; t++) {
        lastA = (await runner.decode(stateA, a[t])).slice()
        await runner.decode(stateB, b[t])
      }
      expect(firstBitDifference(lastA, expectedA)).toBe(-1)
      runner.disposeState(stateA)
      runner.disposeState(stateB)
    })

    it('decodes several sequences in one step as each alone', async () => {
      if (runner.decodeBatch === undefined) return
      for (let count = 1; count <= runner.decodeBatchMost!; count++) {
        const states = Array.from({ length: count }, () => runner.createState())
        for (const [index, state] of states.entries()) await read(state, TOKENS.slice(index, 3 * index + 1))
        const copies = states.map(state => runner.cloneState(state))
        for (let step = 0; step < 3; step++) {
          const tokens = states.map((_, index) => TOKENS[10 * step + index])
          const together = (await runner.decodeBatch(states, tokens)).map(logits => logits.slice())
          for (const [index, copy] of copies.entries()) {
            const alone = await runner.decode(copy, tokens[index])
            expect(firstBitDifference(together[index], alone), `${index} of ${count}, step ${step}`).toBe(-1)
          }
        }
        for (const [index, copy] of copies.entries()) {
          const [together, alone] = [await runner.exportState(states[index]), await runner.exportState(copy)]
          expect(firstBitDifference(together.values, alone.values)).toBe(-1)
        }
        for (const state of [...states, ...copies]) runner.disposeState(state)
      }
    })

    it('refuses a batch in which anything is wrong, and leaves every state as it was', async () => {
      if (runner.decodeBatch === undefined) return
      const most = runner.decodeBatchMost!
      const [a, b, gone] = [runner.createState(), runner.createState(), runner.createState()]
      await read(a, TOKENS.slice(0, 5))
      const before = (await runner.exportState(a)).values
      runner.disposeState(gone)
      const many = Array.from({ length: most + 1 }, () => runner.createState())
      const batch = async (states: RunnerState[], tokens: number[]) => runner.decodeBatch!(states, tokens)
      expect(await codeOf(batch([a, b], [1, 97]))).toBe('token-out-of-range')
      expect(await codeOf(batch([a, gone], [1, 2]))).toBe('internal')
      expect(await codeOf(batch([a, a], [1, 2]))).toBe('invalid-argument')
      expect(await codeOf(batch([a, b], [1]))).toBe('invalid-argument')
      expect(await codeOf(batch(many, TOKENS.slice(0, most + 1)))).toBe('invalid-argument')
      expect(firstBitDifference((await runner.exportState(a)).values, before)).toBe(-1)
      for (const state of [a, b, ...many]) runner.disposeState(state)
    })

    it('starts every state from zero, in a slot used before too', async () => {
      for (let round = 0; round < 3; round++) {
        const used = runner.createState()
        await read(used, TOKENS.slice(0, 5))
        runner.disposeState(used)
        const fresh = runner.createState()
        expect((await runner.exportState(fresh)).values.every(value => value === 0)).toBe(true)
        runner.disposeState(fresh)
      }
    })

    it('clones independently', async () => {
      const original = runner.createState()
      await read(original, TOKENS.slice(0, 10))
      const before = (await runner.exportState(original)).values
      const copy = runner.cloneState(original)
      await read(copy, TOKENS.slice(10, 20))
      expect(firstBitDifference((await runner.exportState(original)).values, before)).toBe(-1)
      runner.disposeState(original)
      const logits = await read(copy, [5])
      const straight = runner.createState()
      expect(firstBitDifference(logits, await read(straight, [...TOKENS.slice(0, 20), 5]))).toBe(-1)
      runner.disposeState(copy)
      runner.disposeState(straight)
    })

    it('goes on from an imported state exactly', async () => {
      const original = runner.createState()
      await read(original, TOKENS.slice(0, 70))
      const portable = await runner.exportState(original)
      const restored = runner.createState()
      await runner.importState(restored, portable)
      portable.values.fill(7)
      const rest = TOKENS.slice(70)
      expect(firstBitDifference(await read(restored, rest), await read(original, rest))).toBe(-1)
      runner.disposeState(original)
      runner.disposeState(restored)
    })

    it('counts its states and forgets them', async () => {
      const before = runner.memory().stateBytes
      const states = Array.from({ length: 20 }, () => runner.createState())
      const { stateBytes, weightBytes } = runner.memory()
      expect(stateBytes).toBeGreaterThanOrEqual(before + 20 * model.config.layerCount * model.config.stateWidth * 4)
      expect(weightBytes).toBeGreaterThan(0)
      for (const state of states) runner.disposeState(state)
      expect(runner.memory().stateBytes).toBe(before)
    })

    it('refuses what does not fit', async () => {
      const state = runner.createState()
      for (const token of [-1, 97, 1.5, Number.NaN]) {
        expect(await codeOf(read(state, [1, token]))).toBe('token-out-of-range')
        expect(await codeOf((async () => runner.decode(state, token))())).toBe('token-out-of-range')
      }
      const portable = await runner.exportState(state)
      const wrong = { ...portable, layerCount: portable.layerCount + 1 }
      expect(await codeOf((async () => runner.importState(state, wrong))())).toBe('state-mismatch')
      const short = { ...portable, values: portable.values.subarray(1) }
      expect(await codeOf((async () => runner.importState(state, short))())).toBe('state-mismatch')
      runner.disposeState(state)
    })

    it('stops reading when cancelled', async () => {
      const state = runner.createState()
      const signal = { aborted: false }
      let done = 0
      const long = Array.from({ length: 4000 }, (_, t) => t % 97)
      const reading = runner.prefill(state, long, {
        logits: 'last',
        signal,
        onProgress: tokens => {
          done = tokens
          signal.aborted = true
        },
      })
      expect(await codeOf(reading)).toBe('cancelled')
      expect(done).toBeLessThanOrEqual(512)
      runner.disposeState(state)
    })

    it('runs the plain forward pass over its single operations', async () => {
      const weights = await readWeights(model)
      const { layerCount, stateWidth, hiddenSize } = model.config
      const state = new Float32Array(layerCount * stateWidth)
      const tokens = TOKENS.slice(0, 9)
      const x = await forward(backend.ops, weights, model.config, tokens, state)
      const logits = await head(backend.ops, weights, model.config, x.subarray(x.length - hiddenSize))
      const fused = runner.createState()
      const fusedLogits = await read(fused, tokens)
      expect(firstBitDifference(fusedLogits, logits)).toBe(-1)
      runner.disposeState(fused)
    })
  })
})
