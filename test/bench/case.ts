/**
 * One benchmark case in a process of its own, so that its peak memory is its own: `run.ts` forks it, sends the case and
 * gets one result.
 */
import { parseArgs } from 'node:util'
import type { PortableState } from '../../engine/backends/backend.ts'
import { type BenchFigures, benchModel } from '../../engine/bench.ts'
import { openGguf } from '../../engine/formats/gguf.ts'
import { stateBytes } from '../../engine/model/config.ts'
import { nodeEngineHost } from '../../main/engine-process/engine-host.ts'
import { openFile } from '../../main/engine-process/node-files.ts'
import { createTestWasmBackend } from '../wasm-backend.ts'

export interface CaseResult extends BenchFigures {
  kernel: string
  description: string
  threads: number
  fileBytes: number
  stateBytes: number
  /** Resident memory before the model was loaded. */
  emptyRssBytes: number
  restoreStateMs: number
}

export interface FlatnessResult {
  /** Tokens decoded so far, resident memory of the process and what the engine counts as its own. */
  samples: { tokens: number; rssBytes: number; engineBytes: number; tokensPerSecond: number }[]
}

const { values } = parseArgs({
  options: {
    file: { type: 'string' },
    threads: { type: 'string', default: '1' },
    kernel: { type: 'string', default: 'auto' },
    repeats: { type: 'string', default: '3' },
    'decode-tokens': { type: 'string', default: '64' },
    'prefill-tokens': { type: 'string', default: '512' },
    'flat-tokens': { type: 'string' },
  },
})
const threads = Number(values.threads)
const emptyRssBytes = process.memoryUsage.rss()
const file = await openGguf(await openFile(values.file!))
const backend = await createTestWasmBackend({
  threads,
  kernel: values.kernel as 'auto' | 'relaxed-simd' | 'simd' | 'scalar',
})
const result = values['flat-tokens'] === undefined ? await measure() : await flatness(Number(values['flat-tokens']))
process.send!(result)
await backend.dispose()
await file.close()
process.disconnect()

async function measure(): Promise<CaseResult> {
  const figures = await benchModel(
    file,
    backend,
    { ...nodeEngineHost, peakRssBytes: () => process.resourceUsage().maxRSS * 1024 },
    {
      repeats: Number(values.repeats),
      decodeTokens: Number(values['decode-tokens']),
      prefillTokens: Number(values['prefill-tokens']),
    },
  )
  return {
    ...figures,
    kernel: backend.info.kernel,
    description: backend.info.description,
    threads,
    fileBytes: file.byteLength,
    stateBytes: stateBytes(file.config),
    emptyRssBytes,
    restoreStateMs: await restoreState(),
  }
}

/** A state is as long after ten thousand tokens as after one; this is all that resuming costs the engine. */
async function restoreState(): Promise<number> {
  const runner = await backend.load(file)
  const portable: PortableState = await runner.exportState(runner.createState())
  const startMs = performance.now()
  await runner.importState(runner.createState(), portable)
  const elapsedMs = performance.now() - startMs
  await runner.dispose()
  return elapsedMs
}

/** Memory along one long sequence: it must not grow with its length. */
async function flatness(tokens: number): Promise<FlatnessResult> {
  const runner = await backend.load(file)
  const state = runner.createState()
  const samples: FlatnessResult['samples'] = []
  let token = 1
  let startMs = performance.now()
  let since = 0
  for (let done = 1; done <= tokens; done++) {
    const logits = await runner.decode(state, token)
    let best = 0
    for (let v = 1; v < logits.length; v++) if (logits[v] > logits[best]) best = v
    // Greedy text ends in a loop; a wandering token keeps the sequence alive.
    token = (best + done) % file.config.vocabularySize
    if (done === 100 || done === 1000 || done === 10_000 || done === tokens) {
      const memory = runner.memory()
      samples.push({
        tokens: done,
        rssBytes: process.memoryUsage.rss(),
        engineBytes: memory.weightBytes + memory.stateBytes + memory.scratchBytes,
        tokensPerSecond: ((done - since) / (performance.now() - startMs)) * 1000,
      })
      startMs = performance.now()
      since = done
    }
  }
  await runner.dispose()
  return { samples }
}
