/**
 * Speed of the WebGPU backend on models with random weights: decode with sampling on the GPU and with logits read back,
 * prefill, time by op. One process, one adapter; JSON lines on stdout. `run.ts` starts it; by hand:
 * node test/bench/webgpu.ts --shapes 370M,1.3B,2.7B
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { WebGpuRunner } from '../../engine/backends/webgpu/runner.ts'
import { openGguf } from '../../engine/formats/gguf.ts'
import { PUBLISHED_SHAPES, writeRandomModel } from '../../engine/formats/random-model.ts'
import { createSink, openFile } from '../../main/engine-process/node-files.ts'
import { createNodeWebGpuBackend } from '../../main/engine-process/webgpu-device.ts'

const { values } = parseArgs({
  options: {
    shapes: { type: 'string', default: '370M' },
    repeats: { type: 'string', default: '3' },
    'decode-tokens': { type: 'string', default: '256' },
    'prefill-tokens': { type: 'string', default: '512' },
    folder: { type: 'string' },
    profile: { type: 'boolean', default: false },
    flags: { type: 'string', default: '' },
  },
})
const repeats = Number(values.repeats)
const decodeTokens = Number(values['decode-tokens'])
const prefillTokens = Number(values['prefill-tokens'])

const folder = values.folder ?? (await mkdtemp(join(tmpdir(), 'tern-bench-gpu-')))
const dawnFlags = values.flags === '' ? [] : values.flags.split(' ')
const { backend } = await createNodeWebGpuBackend({ dawnFlags })
process.stderr.write(`${backend.info.description}\n`)
try {
  for (const shape of values.shapes.split(',')) console.log(JSON.stringify(await measure(shape)))
} finally {
  await backend.dispose()
  if (values.folder === undefined) await rm(folder, { recursive: true, force: true })
}

async function measure(shape: string) {
  const path = Object.hasOwn(PUBLISHED_SHAPES, shape) ? await randomModel(shape) : shape
  const file = await openGguf(await openFile(path))
  const loadStartMs = performance.now()
  const runner = (await backend.load(file)) as WebGpuRunner
  const loadMs = performance.now() - loadStartMs
  try {
    const state = runner.createState()
    const sample = (temperature: number, topK: number, maxTokens: number) =>
      runner.decodeMany(state, 1, {
        sampling: { temperature, topK, topP: 1, minP: 0, penalties: null, seed: 1, drawn: 0 },
        maxTokens,
        onToken: () => 'feed',
      })
    await sample(0, 0, 16)
    await sample(0.8, 40, 16)
    const greedy = await best(() => sample(0, 0, decodeTokens))
    const topK = await best(() => sample(0.8, 40, decodeTokens))
    const plain = await best(() => sample(0.8, 0, decodeTokens))
    const readBack = await best(async () => {
      for (let t = 0; t < decodeTokens / 4; t++) await runner.decode(state, t + 1)
      return decodeTokens / 4
    })
    const tokens = Array.from({ length: prefillTokens }, (_, t) => (t * 7919) % file.config.vocabularySize)
    await runner.prefill(state, tokens, { logits: 'last' })
    const prefill = await best(async () => {
      await runner.prefill(state, tokens, { logits: 'last' })
      return prefillTokens
    })
    return {
      shape,
      adapter: backend.info.description,
      decodeGreedyTokensPerSecond: greedy,
      decodeTopKTokensPerSecond: topK,
      decodeTemperatureTokensPerSecond: plain,
      decodeReadBackTokensPerSecond: readBack,
      prefillTokensPerSecond: prefill,
      memory: runner.memory(),
      loadMs,
      ...(values.profile && {
        decodeOps: await runner.profile(null, 4),
        prefillOps: await runner.profile(prefillTokens, 2),
      }),
    }
  } finally {
    await runner.dispose()
    await file.close()
  }
}

async function best(work: () => Promise<number>): Promise<number> {
  let rate = 0
  for (let run = 0; run < repeats; run++) {
    const startMs = performance.now()
    const amount = await work()
    rate = Math.max(rate, (amount / (performance.now() - startMs)) * 1000)
  }
  return rate
}

async function randomModel(shape: string): Promise<string> {
  const path = join(folder, `${shape}.gguf`)
  const config = PUBLISHED_SHAPES[shape as keyof typeof PUBLISHED_SHAPES]
  await writeRandomModel(config, await createSink(path), { packing: 'tq2_0' })
  return path
}
