/**
 * How fast a backend decodes a model, measured on its first layers in a moment: to choose between backends by figures
 * rather than belief. The rate is not that of the whole model; two of them compare.
 */
import { type Backend, GREEDY_ON_DEVICE, type Runner, type StateHandle } from './backends/backend.ts'
import type { Clock } from './engine-environment.ts'
import { firstLayers } from './model/first-layers.ts'
import type { ModelSource } from './model/source.ts'

const LAYERS = 2
const TOKENS = 16
const RUNS = 3

/** Tokens a second of the best run. Throws what loading and decoding throw. */
export async function probeDecode(backend: Backend, source: ModelSource, clock: Clock): Promise<number> {
  const runner = await backend.load(firstLayers(source, LAYERS))
  try {
    const state = await runner.createState()
    let bestMs = Number.POSITIVE_INFINITY
    // The first run warms caches and compilers.
    for (let run = 0; run < RUNS; run++) {
      const startMs = clock.nowMs()
      await decode(runner, state)
      bestMs = Math.min(bestMs, clock.nowMs() - startMs)
    }
    return (TOKENS * 1000) / Math.max(bestMs, 1e-3)
  } finally {
    await runner.dispose()
  }
}

/** As replies are written: sampled on the device where it can. */
async function decode(runner: Runner, state: StateHandle): Promise<void> {
  if (runner.capabilities.samples !== null) {
    await runner.decodeAhead!(state, 0, { sampling: GREEDY_ON_DEVICE, maxTokens: TOKENS, onToken: () => 'feed' })
    return
  }
  for (let t = 0; t < TOKENS; t++) await runner.decodeBatch([{ state, token: t % runner.config.vocabularySize }])
}
