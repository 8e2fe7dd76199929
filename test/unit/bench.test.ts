/** The benchmark's arithmetic, its peers and its manners. What it measures is never asserted: that depends on the machine. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DecodeStep, Measurable } from '../../engine/backends/backend.ts'
import { type BenchEnvironment, benchModel, rateOf } from '../../engine/bench.ts'
import { PUBLISHED_SHAPES, writeRandomModel } from '../../engine/formats/random-model.ts'
import { parseOptions } from '../bench/options.ts'
import { parsePeerOutput, peerCommand, runPeer } from '../bench/peer.ts'
import { checkRoom, modelFileBytes } from '../bench/random-models.ts'
import { memorySink } from '../byte-sources.ts'
import { createScriptedBackend, scriptedModelFile } from '../conformance/scripted-backend.ts'

const RUN = fileURLToPath(new URL('../bench/run.ts', import.meta.url))
const neverAborted = new AbortController().signal

/** A clock that stands still but for what `advance` adds. */
function fakeHost(): BenchEnvironment & { advance(ms: number): void } {
  let nowMs = 0
  return {
    clock: { nowMs: () => nowMs },
    rssBytes: () => 7e6,
    peakRssBytes: () => 9e6,
    yieldToEventLoop: async () => {},
    advance: ms => {
      nowMs += ms
    },
  }
}

describe('benchModel', () => {
  it('tells the best and the median round', async () => {
    const host = fakeHost()
    const backend = createScriptedBackend()
    // One prefill of 16 tokens, 8 tokens to warm up, then rounds of 4 decoded and 16 read tokens.
    const msPerStep = [10, ...Array(8).fill(10), ...[20, 10, 40].flatMap(ms => [ms, ms, ms, ms, 5 * ms])]
    let step = 0
    backend.beforeStep = () => host.advance(msPerStep[step++])
    const options = { rounds: 3, decodeTokens: 4, prefillTokens: 16 }
    const figures = await benchModel(scriptedModelFile(), backend, host, options)
    expect(step).toBe(msPerStep.length)
    expect(figures.decodeTokensPerSecond).toEqual({ best: 100, median: 50 })
    expect(figures.prefillTokensPerSecond).toEqual({ best: 320, median: 160 })
    expect(figures.firstTokenMs).toBe(10)
    expect(figures).toMatchObject({ rssBytes: 7e6, peakRssBytes: 9e6, loadPeakRssBytes: 9e6 })
    // What this backend cannot do by itself.
    expect(figures).toMatchObject({ products: null, memoryReadBytesPerSecond: null, batchedDecode: [] })
    expect(backend.states.size).toBe(0)
  })

  it('holds each decode run against the memory read of its own round, and counts all sequences of a batch', async () => {
    const host = fakeHost()
    const backend = createScriptedBackend({ batch: 4 })
    let round = 0
    const slowness = [1, 2, 4]
    backend.beforeStep = () => host.advance(slowness[round])
    const load = backend.load
    const measurable: Measurable = {
      bytesReadPerToken: 1000,
      readWeights: passes => {
        host.advance(passes * 0.5 * slowness[round])
        return passes * 1000
      },
      runProducts: tokens => {
        host.advance(tokens === 1 ? 0.8 : 8)
        return 4000 * tokens
      },
    }
    backend.load = async source => {
      const runner = await load(source)
      const { decodeBatch } = runner
      return Object.defineProperties(runner, {
        measurable: { value: measurable },
        decodeBatch: {
          value: async (steps: readonly DecodeStep[]) => {
            // A step of several takes as long as it has sequences.
            if (steps.length > 1) host.advance(steps.length - slowness[round])
            return decodeBatch.call(runner, steps)
          },
        },
      })
    }
    const figures = await benchModel(scriptedModelFile(), backend, host, {
      rounds: 3,
      decodeTokens: 4,
      prefillTokens: 16,
      batchSizes: [2, 4],
      onProgress: (stage, fraction) => {
        if (stage === 'decode') round = Math.round(fraction * 3)
      },
    })
    expect(figures.memoryLimitRatio?.best).toBeCloseTo(0.5)
    expect(figures.memoryLimitRatio?.median).toBeCloseTo(0.5)
    expect(figures.memoryReadBytesPerSecond?.best).toBeCloseTo(2e6)
    expect(figures.memoryReadBytesPerSecond?.median).toBeCloseTo(1e6)
    expect(figures.products?.gemvBytesPerSecond.best).toBeCloseTo(1.25e6)
    expect(figures.products?.gemmMultiplyAddsPerSecond.best).toBeCloseTo(8e6)
    expect(figures.batchedDecode.map(({ sequences, tokensPerSecond }) => [sequences, tokensPerSecond.best])).toEqual([
      [2, 1000],
      [4, 1000],
    ])
  })

  it('can be cancelled in mid-round', async () => {
    const backend = createScriptedBackend()
    const signal = { aborted: false }
    backend.beforeStep = () => {
      if (backend.steps > 12) signal.aborted = true
    }
    await expect(benchModel(scriptedModelFile(), backend, fakeHost(), { signal })).rejects.toMatchObject({
      code: 'cancelled',
    })
  })

  it('takes the middle of an even number of rounds', () => {
    expect(rateOf([4, 1, 3, 2])).toEqual({ best: 4, median: 2.5 })
    expect(rateOf([5])).toEqual({ best: 5, median: 5 })
  })
})

describe('a peer', () => {
  it('gets shape and threads, and no other placeholder', () => {
    expect(peerCommand('bench -m {shape}.gguf -t {threads}', { shape: '1.3B', threads: 2 })).toBe(
      'bench -m 1.3B.gguf -t 2',
    )
    expect(() => peerCommand('bench {tokens}', { shape: '1.3B', threads: 2 })).toThrow('{tokens}')
  })

  it('reports in its last JSON object', () => {
    const figures = { decodeTokensPerSecond: 61, prefillTokensPerSecond: 117 }
    expect(parsePeerOutput(`{"decodeTokensPerSecond": 1}\nload\n${JSON.stringify(figures)}\nbye\n`)).toEqual(figures)
    expect(parsePeerOutput(JSON.stringify(figures, null, 2))).toEqual(figures)
    expect(parsePeerOutput('{"decodeTokensPerSecond": 61}')).toEqual({ ...figures, prefillTokensPerSecond: null })
  })

  it('may report as llama-bench does', () => {
    const tests = [
      { build_commit: 'abc', n_prompt: 512, n_gen: 0, avg_ts: 117.5, samples_ts: [117, 118] },
      { build_commit: 'abc', n_prompt: 0, n_gen: 64, avg_ts: 61.25, samples_ts: [61, 61.5] },
    ]
    expect(parsePeerOutput(`${JSON.stringify(tests, null, 2)}\n`)).toEqual({
      decodeTokensPerSecond: 61.25,
      prefillTokensPerSecond: 117.5,
    })
  })

  it.each([
    '',
    'no figures',
    '{"tokensPerSecond": 3}',
    '{"decodeTokensPerSecond": "3"}',
    '[{"n_prompt": 512, "n_gen": 0, "avg_ts": 1}]',
    '{"decodeTokensPerSecond": -1}',
  ])('is told what was expected of it instead of %j', stdout => {
    expect(() => parsePeerOutput(stdout)).toThrow('decodeTokensPerSecond')
  })

  const say = (code: string) => `"${process.execPath}" -e '${code}'`

  it.skipIf(process.platform === 'win32')('runs in a shell; its failure is told with its last words', async () => {
    const works = say('console.log(JSON.stringify({ decodeTokensPerSecond: 5 }))')
    expect(await runPeer(works, neverAborted)).toMatchObject({ decodeTokensPerSecond: 5 })
    await expect(runPeer(say('console.error("no such model"); process.exit(3)'), neverAborted)).rejects.toThrow(
      /code 3.*no such model/s,
    )
  })

  it.skipIf(process.platform === 'win32')('ends with the run', async () => {
    const controller = new AbortController()
    const running = runPeer(say('setTimeout(() => {}, 60_000)'), controller.signal)
    controller.abort(new Error('Interrupted.'))
    await expect(running).rejects.toThrow('Interrupted.')
  })
})

describe('random models', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tern-bench-test-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  it.each(['tq1_0', 'tq2_0'] as const)('%s: their size is known before they are made', async packing => {
    const config = {
      ...PUBLISHED_SHAPES['370M'],
      hiddenSize: 300,
      stateWidth: 300,
      layerCount: 2,
      intermediateSize: 512,
    }
    const sink = memorySink()
    const { outputBytes } = await writeRandomModel(config, sink, { packing })
    const expected = modelFileBytes(config, packing)
    expect(outputBytes).toBeGreaterThanOrEqual(expected)
    expect(outputBytes).toBeLessThan(expected + 16_384)
  })

  it('are refused where the disk is too small', async () => {
    await expect(checkRoom(folder, 1e18)).rejects.toThrow('--folder')
    await checkRoom(folder, 1)
  })

  const run = (...args: string[]) =>
    spawn(process.execPath, [RUN, '--parts', 'speed', '--threads', '1', '--folder', folder, ...args])

  it.skipIf(process.platform === 'win32')('are removed when the run is interrupted', async () => {
    const child = run('--shapes', '1.3B')
    const exit = once(child, 'exit')
    while (!(await readdir(folder)).length) await new Promise(resolve => setTimeout(resolve, 20))
    child.kill('SIGINT')
    expect((await exit)[0]).toBe(130)
    expect(await readdir(folder)).toEqual([])
  })

  it('are removed when a case fails', async () => {
    const child = run('--shapes', join(folder, 'no-such-model.gguf'))
    let errors = ''
    child.stderr.on('data', text => {
      errors += text
    })
    expect((await once(child, 'close'))[0]).toBe(1)
    expect(errors).toContain('no-such-model.gguf')
    expect(await readdir(folder)).toEqual([])
  })
})

describe('options', () => {
  it.each([
    [['--threads', '0'], '--threads takes whole numbers'],
    [['--packing', 'q4_0'], '--packing takes tq1_0, tq2_0'],
    [['--parts', 'speeed'], '--parts takes'],
    [['--no-such-option'], 'no-such-option'],
  ])('%j is refused', (args, message) => {
    expect(() => parseOptions(args)).toThrow(message)
  })

  it('have defaults for a long run, a quick one, and a peer', () => {
    expect(parseOptions([])).toMatchObject({ shapes: ['370M', '1.3B', '2.7B', 'tern'], rounds: 3, prefillTokens: 512 })
    expect(parseOptions(['--quick'])).toMatchObject({ shapes: ['370M', 'tern'], rounds: 1, decodeTokens: 32 })
    expect(parseOptions(['--peer', 'x'])).toMatchObject({ parts: [], shapes: ['370M'], peer: 'x' })
  })
})
