/** Measures a model file, or random weights of a published shape written to a file that is removed afterwards. */
import { readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { EngineApi } from '../../contract/engine-api.ts'
import type { AbortSignalLike, StreamEvent } from '../../contract/rpc.ts'
import type { BackendRequest } from '../../contract/words/backend.ts'
import { type BenchEnvironment, benchModel } from '../../engine/bench.ts'
import { type GgufModel, openGguf } from '../../engine/formats/gguf.ts'
import { PUBLISHED_SHAPES, writeRandomModel } from '../../engine/formats/random-model.ts'
import { chooseBackend } from './backend-choice.ts'
import { CACHE_REMEDY } from './conversion-cache.ts'
import { nodeEngineEnvironment } from './engine-environment.ts'
import { createSink } from './file-sink.ts'
import { openModel } from './model-files.ts'
import { openFile } from './node-files.ts'
import { unfinishedPath } from './unfinished-files.ts'

export interface BenchRequest extends BackendRequest {
  shape: string
  decodeTokens?: number | undefined
  prefillTokens?: number | undefined
}
type BenchEvent = StreamEvent<EngineApi, 'bench'>

/** Throws what opening, making and loading a model throws, and `cancelled`. */
export async function runBench(
  request: BenchRequest,
  cacheDirectory: string,
  emit: (event: BenchEvent) => void,
  signal: AbortSignalLike,
): Promise<void> {
  const progress = (stage: string, fraction: number) =>
    emit({ kind: 'progress', stage, fraction: Math.min(1, fraction) })
  const { file, remove } = await openBenchModel(request.shape, cacheDirectory, progress, signal)
  try {
    const backend = await chooseBackend(file, request)
    try {
      const { decodeTokens, prefillTokens } = request
      const figures = await benchModel(file, backend, benchEnvironment, {
        ...(decodeTokens === undefined ? {} : { decodeTokens }),
        ...(prefillTokens === undefined ? {} : { prefillTokens }),
        onProgress: progress,
        signal,
      })
      emit({
        kind: 'done',
        decodeTokensPerSecond: figures.decodeTokensPerSecond.best,
        prefillTokensPerSecond: figures.prefillTokensPerSecond.best,
        bytesReadPerToken: figures.bytesReadPerToken,
        memoryReadBytesPerSecond: figures.memoryReadBytesPerSecond?.best ?? 0,
        peakRssBytes: figures.peakRssBytes,
        loadMs: figures.loadMs,
      })
    } finally {
      await backend.dispose()
    }
  } finally {
    await file.close()
    await remove()
  }
}

export const benchEnvironment: BenchEnvironment = {
  clock: nodeEngineEnvironment.clock,
  yieldToEventLoop: nodeEngineEnvironment.yieldToEventLoop,
  rssBytes: () => process.memoryUsage.rss(),
  peakRssBytes,
}

/**
 * Linux counts into `maxRSS` what the parent held when it started this process; its own figure for this process alone is in
 * /proc.
 */
function peakRssBytes(): number {
  const { maxRSS } = process.resourceUsage()
  if (process.platform !== 'linux') return maxRSS * 1024
  const peak = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))
  return (peak ? Number(peak[1]) : maxRSS) * 1024
}

async function openBenchModel(
  shape: string,
  cacheDirectory: string,
  progress: (stage: string, fraction: number) => void,
  signal: AbortSignalLike,
): Promise<{ file: GgufModel; remove(): Promise<void> }> {
  if (!Object.hasOwn(PUBLISHED_SHAPES, shape)) {
    const onConvertProgress = (fraction: number) => progress('convert', fraction)
    return { file: await openModel(shape, { cacheDirectory, onConvertProgress, signal }), remove: async () => {} }
  }
  const config = PUBLISHED_SHAPES[shape as keyof typeof PUBLISHED_SHAPES]
  // The name of an unfinished file: the next run removes it if this one is killed.
  const path = unfinishedPath(join(cacheDirectory, 'bench.gguf'))
  const remove = () => rm(path, { force: true })
  try {
    await writeRandomModel(config, await createSink(path, { remedy: CACHE_REMEDY }), {
      packing: 'tq2_0',
      modelName: `Random ${shape}`,
      onProgress: fraction => progress('make random weights', fraction),
      yieldToEventLoop: nodeEngineEnvironment.yieldToEventLoop,
      signal,
    })
    const file = await openGguf(await openFile(path))
    // An open file may go at once, so that even a kill leaves nothing; Windows needs the second try after the close.
    await remove().catch(() => {})
    return { file, remove }
  } catch (error) {
    await remove()
    throw error
  }
}
