/** One sampler of the engine's memory for all who watch; nothing is sampled while nobody does. */
import type { AbortSignalLike } from '../../../contract/rpc.ts'
import type { EngineMemory } from '../../../contract/words/memory.ts'
import { type Cancel, systemTime, type Time } from '../../time.ts'
import type { EngineAccess } from '../chats/ports.ts'

const SAMPLE_INTERVAL_MS = 500

export interface EngineMemorySample {
  sampledAtMs: number
  memory: EngineMemory
  hostRssBytes: number
}

export interface EngineMemoryWatch {
  /** Emits about twice a second until `signal` fires, the last sample at once; nothing while the engine is not ready. */
  watch(emit: (sample: EngineMemorySample) => void, signal: AbortSignalLike): Promise<void>
}

export function createEngineMemoryWatch(engine: EngineAccess, time: Time = systemTime): EngineMemoryWatch {
  const watchers = new Set<(sample: EngineMemorySample) => void>()
  let last: EngineMemorySample | null = null
  let stopSampling: Cancel | null = null
  let isSampling = false

  const sample = async () => {
    // A slow answer skips samples; it does not pile them up.
    if (isSampling) return
    isSampling = true
    try {
      const { client } = await engine.whenReady()
      const memory = await client.call('memory', undefined)
      last = { sampledAtMs: time.wallMs(), memory, hostRssBytes: process.memoryUsage.rss() }
      for (const emit of [...watchers]) emit(last)
    } catch {
      // The engine is restarting or has given up: engine.status says so, here there is nothing to measure.
    } finally {
      isSampling = false
    }
  }

  return {
    async watch(emit, signal) {
      if (signal.aborted) return
      watchers.add(emit)
      if (stopSampling === null) {
        stopSampling = time.every(SAMPLE_INTERVAL_MS, () => void sample())
        void sample()
      } else if (last !== null) emit(last)
      await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()))
      watchers.delete(emit)
      if (watchers.size > 0) return
      stopSampling?.()
      stopSampling = null
      last = null
    },
  }
}
