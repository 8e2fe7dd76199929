/**
 * How fast a backend runs a model: load, first token, decode, prefill, and what memory alone allows. Machines are noisy,
 * so all of it is measured in rounds, one run of each a round, and every rate is told as the best and the median round:
 * figures of one call can be held against each other. It makes no models and knows no process: clock and memory figures
 * arrive as arguments.
 */
import {
  type Backend,
  type DeviceSampling,
  GREEDY_ON_DEVICE,
  type Runner,
  type RunnerMemory,
  type StateHandle,
} from './backends/backend.ts'
import type { CancelSignal, Clock, MaybePromise, YieldToEventLoop } from './engine-environment.ts'
import { cancelled } from './errors.ts'
import type { ModelSource } from './model/source.ts'
import { EMBEDDING } from './model/tensors.ts'
import { chunksOf, readTokens } from './reading.ts'

export interface BenchEnvironment {
  clock: Clock
  /** Resident memory of this process now, bytes. */
  rssBytes(): number
  /** Largest resident memory of this process so far, bytes. */
  peakRssBytes(): number
  yieldToEventLoop: YieldToEventLoop
}

export interface BenchOptions {
  /** Tokens of one decode run. Default 64. */
  decodeTokens?: number
  /** Tokens of one prefill run. Default 512. */
  prefillTokens?: number
  /** Default 3. */
  rounds?: number
  /** Sequences decoded side by side, where the backend can. Default none. */
  batchSizes?: readonly number[]
  onProgress?(stage: string, fraction: number): void
  signal?: CancelSignal
}

/** The same thing measured once a round. */
export interface Rate {
  best: number
  median: number
}

export interface BenchFigures {
  decodeTokensPerSecond: Rate
  prefillTokensPerSecond: Rate
  /** Several tokens ahead, sampled on the device in several ways; empty where the CPU samples. */
  decodeAhead: { sampling: string; tokensPerSecond: Rate }[]
  /** All sequences together; empty where the backend decodes one at a time. */
  batchedDecode: { sequences: number; tokensPerSecond: Rate }[]
  /** Weights that a decode step reads. */
  bytesReadPerToken: number
  /** Reading the same weights as often, with the same threads, and doing nothing else; null where it cannot be measured. */
  memoryReadBytesPerSecond: Rate | null
  /** Decode speed over what reading the weights alone allows, of the same round; null where that is not known. */
  memoryLimitRatio: Rate | null
  /** Matrix products alone, without norms, gates and quantisation; null where the backend cannot run them alone. */
  products: {
    /** One token. */
    gemvWeightsPerSecond: Rate
    gemvBytesPerSecond: Rate
    /** A prefill chunk. */
    gemmMultiplyAddsPerSecond: Rate
  } | null
  loadMs: number
  /** Largest resident memory up to the end of loading. */
  loadPeakRssBytes: number
  /** From the loaded model to the logits after 16 tokens, cold. */
  firstTokenMs: number
  /** After all rounds, with the model loaded. */
  rssBytes: number
  peakRssBytes: number
  /** What the backend counts as its own, at the same time. */
  memory: RunnerMemory
}

const FIRST_TOKENS = 16
/** Decoded before the rounds, so that kernels run as the JavaScript engine's compiler leaves them in the end. */
const WARM_UP_TOKENS = 8
const BATCHED_STEPS = 16

/** Loads `source`, measures and disposes the runner. Throws what loading throws, and `cancelled`. */
export async function benchModel(
  source: ModelSource,
  backend: Backend,
  environment: BenchEnvironment,
  options: BenchOptions = {},
): Promise<BenchFigures> {
  const { clock } = environment
  const { signal, onProgress } = options
  onProgress?.('load', 0)
  const loadStartMs = clock.nowMs()
  const runner = await backend.load(source, { ...(signal && { signal }) })
  try {
    const loadMs = clock.nowMs() - loadStartMs
    const loadPeakRssBytes = environment.peakRssBytes()

    const state = await runner.createState()
    const firstStartMs = clock.nowMs()
    await readTokens(chunksOf(runner, state), variedTokens(FIRST_TOKENS, source), { want: 'last' })
    const firstTokenMs = clock.nowMs() - firstStartMs
    for (const token of variedTokens(WARM_UP_TOKENS, source)) await runner.decodeBatch([{ state, token }])

    const works = roundOf(runner, state, source, environment, options)
    const rounds = await measureRounds(works, environment, options)
    onProgress?.('done', 1)
    return {
      ...ratesOf(rounds, runner, source),
      loadMs,
      loadPeakRssBytes,
      firstTokenMs,
      rssBytes: environment.rssBytes(),
      peakRssBytes: environment.peakRssBytes(),
      memory: runner.memory(),
    }
  } finally {
    await runner.dispose()
  }
}

/** Ids from all over the vocabulary: a real text does not read one row of the embedding all the time. */
const variedTokens = (count: number, { config }: ModelSource): number[] =>
  Array.from({ length: count }, (_, t) => (t * 7919) % config.vocabularySize)

/** What is done once a round: it counts what it did, in the unit of its rate. */
interface Work {
  stage: string
  run(): MaybePromise<number>
}

/** More than in single steps: the queue fills first. */
const QUEUED_TOKENS_RATIO = 4
const DRAWN_ON_DEVICE: DeviceSampling = { ...GREEDY_ON_DEVICE, temperature: 0.8, seed: 1 }
/** The last with all that chats use. */
const DEVICE_SAMPLINGS: { name: string; sampling: DeviceSampling }[] = [
  { name: 'greedy', sampling: GREEDY_ON_DEVICE },
  { name: 'top-k 40', sampling: { ...DRAWN_ON_DEVICE, topK: 40 } },
  {
    name: 'top-p, min-p, penalty',
    sampling: {
      ...DRAWN_ON_DEVICE,
      topP: 0.95,
      minP: 0.1,
      penalties: { repetition: 1, presence: 0, frequency: 0.1, window: 256, history: [] },
    },
  },
]
const aheadStage = (sampling: string): string => `decode ahead, ${sampling}`

const batchStage = (sequences: number): string => `decode, ${sequences} sequences`

function roundOf(
  runner: Runner,
  state: StateHandle,
  source: ModelSource,
  environment: BenchEnvironment,
  options: BenchOptions,
) {
  const { decodeTokens = 64, prefillTokens = 512, batchSizes = [], signal } = options
  const decode = async () => {
    for (const token of variedTokens(decodeTokens, source)) {
      if (signal?.aborted) throw cancelled()
      await runner.decodeBatch([{ state, token }])
    }
    return decodeTokens
  }
  const prefill = async () => {
    const fresh = await runner.createState()
    const { yieldToEventLoop } = environment
    const options = { want: 'last', yieldToEventLoop, ...(signal && { signal }) } as const
    await readTokens(chunksOf(runner, fresh), variedTokens(prefillTokens, source), options)
    runner.releaseState(fresh)
    return prefillTokens
  }

  const works: Work[] = [{ stage: 'decode', run: decode }]
  const { measurable } = runner
  if (measurable) {
    works.push(
      { stage: 'memory', run: () => measurable.readWeights(decodeTokens) },
      {
        stage: 'products of a token',
        run: () => {
          let weights = 0
          for (let run = 0; run < decodeTokens; run++) weights += measurable.runProducts(1)
          return weights
        },
      },
    )
  }
  if (runner.capabilities.samples !== null) {
    const maxTokens = QUEUED_TOKENS_RATIO * decodeTokens
    for (const { name, sampling } of DEVICE_SAMPLINGS) {
      const queued = { sampling, maxTokens, onToken: (): 'feed' => 'feed', ...(signal && { signal }) }
      works.push({ stage: aheadStage(name), run: () => runner.decodeAhead!(state, 1, queued) })
    }
  }
  const { batch, chunkTokens } = runner.capabilities
  for (const sequences of batchSizes.filter(size => size > 1 && size <= batch)) {
    works.push({
      stage: batchStage(sequences),
      run: async () => {
        const states: StateHandle[] = []
        for (let i = 0; i < sequences; i++) states.push(await runner.createState())
        for (const token of variedTokens(BATCHED_STEPS, source)) {
          if (signal?.aborted) throw cancelled()
          await runner.decodeBatch(states.map(state => ({ state, token })))
        }
        for (const each of states) runner.releaseState(each)
        return sequences * BATCHED_STEPS
      },
    })
  }
  if (measurable) {
    works.push({ stage: 'products of a chunk', run: () => measurable.runProducts(chunkTokens('none')) })
  }
  works.push({ stage: 'prefill', run: prefill })
  return works
}

/** Per stage, one rate a round, in units a second. */
type Rounds = Map<string, number[]>

/** Throws `cancelled`. */
async function measureRounds(works: Work[], environment: BenchEnvironment, options: BenchOptions): Promise<Rounds> {
  const { rounds = 3, onProgress, signal } = options
  const rates: Rounds = new Map(works.map(({ stage }) => [stage, []]))
  for (let round = 0; round < rounds; round++) {
    for (const [w, { stage, run }] of works.entries()) {
      await environment.yieldToEventLoop()
      if (signal?.aborted) throw cancelled()
      onProgress?.(stage, (round + w / works.length) / rounds)
      const startMs = environment.clock.nowMs()
      const amount = await run()
      rates.get(stage)!.push((amount / Math.max(environment.clock.nowMs() - startMs, 1e-3)) * 1000)
    }
  }
  return rates
}

function ratesOf(rounds: Rounds, runner: Runner, source: ModelSource) {
  const rate = (stage: string): Rate | null => (rounds.has(stage) ? rateOf(rounds.get(stage)!) : null)
  const bytesReadPerToken = runner.measurable?.bytesReadPerToken ?? storedBytesReadPerToken(source)
  const decodes = rounds.get('decode')!
  const reads = rounds.get('memory')
  const gemv = rate('products of a token')
  const gemm = rate('products of a chunk')
  return {
    decodeTokensPerSecond: rateOf(decodes),
    prefillTokensPerSecond: rate('prefill')!,
    decodeAhead: DEVICE_SAMPLINGS.flatMap(({ name }) => {
      const tokensPerSecond = rate(aheadStage(name))
      return tokensPerSecond === null ? [] : [{ sampling: name, tokensPerSecond }]
    }),
    batchedDecode: [...rounds.keys()].flatMap(stage => {
      const sequences = /^decode, (\d+) sequences$/.exec(stage)?.[1]
      return sequences === undefined ? [] : [{ sequences: Number(sequences), tokensPerSecond: rate(stage)! }]
    }),
    bytesReadPerToken,
    memoryReadBytesPerSecond: rate('memory'),
    memoryLimitRatio: reads
      ? rateOf(reads.map((bytesPerSecond, round) => (decodes[round] * bytesReadPerToken) / bytesPerSecond))
      : null,
    products:
      gemv && gemm
        ? {
            gemvWeightsPerSecond: gemv,
            gemvBytesPerSecond: { best: gemv.best / 4, median: gemv.median / 4 },
            gemmMultiplyAddsPerSecond: gemm,
          }
        : null,
  }
}

/** Of at least one round; of an even number, the median is the mean of the middle two. */
export function rateOf(values: readonly number[]): Rate {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  const median = (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2
  return { best: sorted.at(-1)!, median }
}

/** All tensors but the embedding, as the file stores them. */
const storedBytesReadPerToken = (source: ModelSource): number =>
  source.tensors().reduce((sum, { name, byteLength }) => (name === EMBEDDING ? sum : sum + byteLength), 0)
