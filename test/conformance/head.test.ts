/**
 * Embedding and logits on their own, for a device that computes only the layers: the reference's, those of every WASM kernel
 * and what a whole runner makes of the same tokens are the same numbers.
 */
import { describe, expect, it } from 'vitest'
import type { Head } from '../../engine/backends/backend.ts'
import { createReferenceBackend, createReferenceHead } from '../../engine/backends/reference/backend.ts'
import { referenceOps } from '../../engine/backends/reference/ops.ts'
import { readWeights } from '../../engine/backends/reference/weights.ts'
import { createWasmHead } from '../../engine/backends/wasm/backend.ts'
import { firstBitDifference } from '../../engine/conformance/compare.ts'
import type { GgufModel } from '../../engine/formats/gguf.ts'
import { block } from '../../engine/model/forward.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { spawnThread } from '../../main/engine-process/node-threads.ts'
import { readKernels } from '../wasm-backend.ts'
import { randomModel } from './random-model.ts'
import { readAll } from './reading.ts'

const TOKENS = [5, 9, 2, 77, 41, 96, 0, 13, 60]

/** The layers by the definition, as a device would compute them; the head by `head`. */
async function logitsBy(head: Head, model: GgufModel): Promise<Float32Array> {
  const { blocks } = await readWeights(model)
  const { config } = model
  const states = blocks.map(() => new Float32Array(config.stateWidth))
  const logits = new Float32Array(TOKENS.length * config.vocabularySize)
  for (const [t, token] of TOKENS.entries()) {
    let hidden: Float32Array = await head.embed(token)
    for (const [l, weights] of blocks.entries()) hidden = await block(referenceOps, weights, config, hidden, states[l])
    logits.set(await head.logits(hidden), t * config.vocabularySize)
  }
  return logits
}

describe.each(['F32', 'F16', 'BF16', 'Q8_0'] as const)('a head with its embedding in %s', embeddingType => {
  const sizes = { hiddenSize: 64, stateWidth: 64, intermediateSize: 96 }
  const model = randomModel({ seed: 0x4ead, embeddingType, ...(embeddingType === 'Q8_0' && { config: sizes }) })

  it.each(['reference', 'relaxed-simd', 'relaxed-simd-int16', 'simd', 'scalar'] as const)('by %s', async kernel => {
    const runner = await createReferenceBackend().load(model)
    const expected = await readAll(runner, await runner.createState(), TOKENS)
    if (kernel === 'reference') {
      expect(firstBitDifference(await logitsBy(await createReferenceHead(model), model), expected)).toBe(-1)
      return
    }
    const options = {
      kernels: await readKernels(),
      clock: nodeEngineEnvironment.clock,
      spawnThread,
      threads: 2,
      kernel,
    }
    const head = await createWasmHead(options, model)
    expect(firstBitDifference(await logitsBy(head, model), expected)).toBe(-1)
    await expect(head.embed(97)).rejects.toMatchObject({ code: 'token-out-of-range' })
    await head.dispose()
  })
})
