/**
 * How fast a backend runs a model: load, first token, decode, prefill, and what memory alone allows, measured in one go
 * so that the figures can be held against each other. Machines are noisy: every rate is the best of several runs. It
 * makes no models and knows no process: clock and memory figures arrive as arguments.
 */
import type { Backend, Runner } from './backends/backend.ts'
import { cancelled } from './errors.ts'
import type { CancelSignal, Clock, YieldToHost } from './host.ts'
import type { ModelSource } from './model/source.ts'
import { MODEL_NAMES } from './model/tensor-names.ts'

export interface BenchHost {
  clock: Clock
  /** Largest resident memory of this process so far, bytes. */
  peakRssBytes(): number
  yieldToHost: YieldToHost
}

export interface BenchOptions {
  /** Tokens of one decode run. Default 64. */
  decodeTokens?: number
  /** Tokens of one prefill run. Default 512. */
  prefillTokens?: number
  /** Runs of each, the best of which counts. Default 3. */
  repeats?: number
  onProgress?(stage: string, fraction: number): void
  signal?: CancelSignal
}

export interface BenchFigures {
  decodeTokensPerSecond: number
  prefillTokensPerSecond: number
  /** Weights that a decode step reads. */
  bytesReadPerToken: number
  /** Reading the same weights with the same threads and doing nothing else; 0 where the backend cannot measure it. */
  memoryReadBytesPerSecond: number
  peakRssBytes: number
  loadMs: number
  /** From the loaded model to the logits after 16 tokens, cold. */
  firstTokenMs: number
  /** Decode speed over what reading the weights alone allows; null where that is not known. */
  memoryLimitRatio: number | null
  /** Matrix products alone, without norms, gates and quantisation; null where the backend cannot run them alone. */
  products: {
    /** One token. */
    gemvWeightsPerSecond: number
    gemvBytesPerSecond: number
    /** A prefill chunk. */
    gemmMultiplyAddsPerSecond: number
  } | null
}

/** What a runner offers when its kernels can be measured apart. */
export interface MeasurableRunner extends Runner {
  readonly bytesReadPerToken: number
  /** Tokens of a full prefill chunk. */
  readonly chunkTokens: number
  /** Reads all weights `passes` times on all threads; the bytes read. */
  readWeights(passes: number): number
  /** The matrix products of a decode step (1) or of a prefill chunk; the multiply-adds. */
  runProducts(tokens: number): number
}

export const isMeasurable = (runner: Runner): runner is MeasurableRunner => 'runProducts' in runner

const FIRST_TOKENS = 16

/** Loads `source`, measures and disposes the runner. Throws what loading throws, and `cancelled`. */
export async function benchModel(
  source: ModelSource,
  backend: Backend,
  host: BenchHost,
  options: BenchOptions = {},
): Promise<BenchFigures> {
  const { clock } = host
  const { decodeTokens = 64, prefillTokens = 512, repeats = 3, signal } = options
  const steps = 4 * repeats + 2
  let step = 0
  const next = async (stage: string): Promise<void> => {
    await host.yieldToHost()
    if (signal?.aborted) throw cancelled()
    options.onProgress?.(stage, step++ / steps)
  }
  /** Tokens, or whatever `work` counts, a second. */
  const bestRate = async (stage: string, runs: number, work: () => number | Promise<number>): Promise<number> => {
    let best = 0
    for (let run = 0; run < runs; run++) {
      await next(stage)
      const startMs = clock.nowMs()
      const amount = await work()
      best = Math.max(best, amount / Math.max(clock.nowMs() - startMs, 1e-3))
    }
    return best * 1000
  }

  await next('load')
  const loadStartMs = clock.nowMs()
  const runner = await backend.load(source, { ...(signal && { signal }) })
  try {
    const loadMs = clock.nowMs() - loadStartMs
    const tokens = (count: number) => Array.from({ length: count }, (_, t) => (t * 7919) % source.config.vocabularySize)
    const state = runner.createState()

    await next('first token')
    const firstStartMs = clock.nowMs()
    await runner.prefill(state, tokens(FIRST_TOKENS), { logits: 'last' })
    const firstTokenMs = clock.nowMs() - firstStartMs

    const decode = async () => {
      for (let t = 0; t < decodeTokens; t++) {
        if (signal?.aborted) throw cancelled()
        const logits = runner.decode(state, (t * 7919) % source.config.vocabularySize)
        if (logits instanceof Promise) await logits
      }
      return decodeTokens
    }
    const decodeTokensPerSecond = await bestRate('decode', repeats, decode)

    let memoryReadBytesPerSecond = 0
    let products: BenchFigures['products'] = null
    let bytesReadPerToken = storedBytesReadPerToken(source)
    if (isMeasurable(runner)) {
      bytesReadPerToken = runner.bytesReadPerToken
      memoryReadBytesPerSecond = await bestRate('memory', 2 * repeats, () => runner.readWeights(4))
      const gemv = await bestRate('matrix products', repeats, () => {
        let weights = 0
        for (let run = 0; run < 8; run++) weights += runner.runProducts(1)
        return weights
      })
      products = {
        gemvWeightsPerSecond: gemv,
        gemvBytesPerSecond: gemv / 4,
        gemmMultiplyAddsPerSecond: await bestRate('matrix products', repeats, () =>
          runner.runProducts(runner.chunkTokens),
        ),
      }
    }

    const prefillTokensPerSecond = await bestRate('prefill', repeats, async () => {
      const fresh = runner.createState()
      await runner.prefill(fresh, tokens(prefillTokens), {
        logits: 'last',
        onProgress: host.yieldToHost,
        ...(signal && { signal }),
      })
      runner.disposeState(fresh)
      return prefillTokens
    })
    options.onProgress?.('done', 1)

    return {
      decodeTokensPerSecond,
      prefillTokensPerSecond,
      bytesReadPerToken,
      memoryReadBytesPerSecond,
      peakRssBytes: host.peakRssBytes(),
      loadMs,
      firstTokenMs,
      memoryLimitRatio:
        memoryReadBytesPerSecond > 0 ? (decodeTokensPerSecond * bytesReadPerToken) / memoryReadBytesPerSecond : null,
      products,
    }
  } finally {
    await runner.dispose()
  }
}

/** All tensors but the embedding, as the file stores them. */
const storedBytesReadPerToken = (source: ModelSource): number =>
  source.tensors().reduce((sum, { name, byteLength }) => (name === MODEL_NAMES.embedding ? sum : sum + byteLength), 0)
