/**
 * What every backend's runner must do with a model of random weights: the rules of engine/conformance/runner-rules.ts, each
 * a test, and the model over its single operations.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Backend, Runner } from '../../engine/backends/backend.ts'
import type { OpTable } from '../../engine/backends/ops.ts'
import { createReferenceBackend } from '../../engine/backends/reference/backend.ts'
import { readWeights } from '../../engine/backends/reference/weights.ts'
import { TIED_ROWS } from '../../engine/conformance/cases.ts'
import { firstBitDifference } from '../../engine/conformance/compare.ts'
import { brokenRule, type Oracle, oracleOf, RUNNER_RULES } from '../../engine/conformance/runner-rules.ts'
import type { GgufModel } from '../../engine/formats/gguf.ts'
import { forward, head } from '../../engine/model/forward.ts'
import { EMBEDDING } from '../../engine/model/tensors.ts'
import { createRandom, wholeBelow } from '../../engine/seeded-random.ts'
import { BACKENDS, FUNCTIONAL_FPGA, REFERENCE } from './backends.ts'
import { randomModel } from './random-model.ts'
import { readLast } from './reading.ts'

/** Every row of the embedding is one that the order of the sum of squares decides. */
function tiedModel(): GgufModel {
  const width = TIED_ROWS[0].length
  const model = randomModel({ seed: 7, config: { hiddenSize: width, stateWidth: width } })
  const rows = new Float32Array(model.config.vocabularySize * width)
  for (let token = 0; token < model.config.vocabularySize; token++) {
    rows.set(TIED_ROWS[token % TIED_ROWS.length], token * width)
  }
  const embedding = new Uint8Array(rows.buffer)
  return {
    ...model,
    readTensor: async (name, offset = 0, length = embedding.length - offset) =>
      name === EMBEDDING ? embedding.slice(offset, offset + length) : await model.readTensor(name, offset, length),
  }
}

const MODELS = [
  { name: 'odd widths', model: randomModel({ seed: 0x0dd }) },
  {
    name: 'wide state, no lower bounds',
    model: randomModel({ seed: 0xe2, config: { stateWidth: 66, useLowerBound: false, layerCount: 2 } }),
  },
  {
    name: 'rows whose roots lie between two float32',
    model: tiedModel(),
    // Elsewhere such a root may be its neighbour: docs/model-format.md says how often.
    isForDefinition: true,
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

const oracles = new Map<unknown, Oracle>()
beforeAll(async () => {
  for (const { model } of MODELS) oracles.set(model, await oracleOf(await createReferenceBackend().load(model), TOKENS))
})

describe.each([...BACKENDS, REFERENCE, FUNCTIONAL_FPGA])('runner of $name', underTest => {
  let backend: Backend
  beforeAll(async () => {
    backend = await underTest.create()
  })
  afterAll(async () => {
    await backend.dispose()
  })

  describe.each(MODELS)('$name', ({ model, isForDefinition = false }) => {
    let runner: Runner
    beforeAll(async () => {
      runner = await backend.load(model)
    })
    afterAll(async () => {
      await runner.dispose()
    })

    it.skipIf(underTest === REFERENCE)('runs the plain forward pass over its single operations', async context => {
      context.skip(backend.capabilities.ops.length === 0, `${underTest.name} has no single operations`)
      const weights = await readWeights(model)
      const { layerCount, stateWidth, hiddenSize } = model.config
      const values = new Float32Array(layerCount * stateWidth)
      const tokens = TOKENS.slice(0, 9)
      const ops = backend.ops as OpTable
      const x = await forward(ops, weights, model.config, tokens, values)
      const logits = await head(ops, weights, model.config, x.subarray(x.length - hiddenSize))
      const state = await runner.createState()
      expect(firstBitDifference(await readLast(runner, state, tokens), logits)).toBe(-1)
      runner.releaseState(state)
    })

    for (const rule of RUNNER_RULES) {
      it(rule.name, async context => {
        const isExact = backend.capabilities.arithmetic === 'definition'
        context.skip(
          isForDefinition && !isExact,
          `${underTest.name}: a root may be its neighbour here (docs/model-format.md)`,
        )
        context.skip(
          rule.needs !== undefined && !rule.needs(runner.capabilities),
          `${underTest.name} does not claim it: ${rule.name}`,
        )
        expect(await brokenRule(rule, runner, oracles.get(model)!)).toBeNull()
      })
    }
  })
})
