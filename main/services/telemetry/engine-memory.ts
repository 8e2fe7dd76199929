/** Samples the engine's memory for whoever watches; samples nothing while nobody does. */
import type { AbortSignalLike } from '../../../contract/rpc.ts'
import type { EngineMemory } from '../../../contract/words/memory.ts'
import type { EngineAccess } from '../chats/chats.ts'

const SAMPLE_INTERVAL_MS = 500

export interface EngineMemorySample {
  sampledAtMs: number
  memory: EngineMemory
  hostRssBytes: number
}

/** Emits about twice a second until `signal` fires; waits while the engine is not ready, skips a sample that fails. */
export async function watchEngineMemory(
  engine: EngineAccess,
  emit: (sample: EngineMemorySample) => void,
  signal: AbortSignalLike,
): Promise<void> {
  while (!signal.aborted) {
    try {
      const { client } = await engine.whenReady(signal)
      const memory = await client.call('memory', undefined)
      emit({ sampledAtMs: Date.now(), memory, hostRssBytes: process.memoryUsage.rss() })
    } catch {
      // The engine is restarting or has given up: engine.status says so, here there is nothing to measure.
    }
    await pause(SAMPLE_INTERVAL_MS, signal)
  }
}

function pause(durationMs: number, signal: AbortSignalLike): Promise<void> {
  return new Promise(resolve => {
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, durationMs)
    signal.addEventListener('abort', end)
    if (signal.aborted) end()
  })
}
