/**
 * The engine's memory over the last two minutes: a ring buffer that instruments draw from outside React, and the latest
 * sample for text. It holds figures only and never draws; while nobody watches, nothing is asked of the host.
 */
import { createStore, type StoreApi } from 'zustand/vanilla'
import type { EngineMemory } from '../../contract/words/memory.ts'
import type { AppClient } from './connection.ts'

export const TRACE_SPAN_MS = 120_000
/** Two samples a second over the span, and some to spare for a faster host. */
const CAPACITY = 300
/** Without a sample for so long, the latest one says nothing of now: instruments show a dash. */
const STALE_AFTER_MS = 3_000

export interface MemorySample {
  sampledAtMs: number
  memory: EngineMemory
  hostRssBytes: number
}

/** Bytes over time, oldest first by index. A figure that the host could not measure is NaN. */
interface Trace {
  readonly length: number
  timeMs(index: number): number
  bytesPerState(index: number): number
  engineRssBytes(index: number): number
}

export interface MemoryStore {
  latest: StoreApi<{ sample: MemorySample | null }>
  trace: Trace
  /** Called after every sample; returns a function that removes the listener. */
  onSample(listener: () => void): () => void
  /** Samples flow while at least one watcher is there. */
  watch(): () => void
}

export function createMemoryStore(client: AppClient): MemoryStore {
  const latest = createStore<{ sample: MemorySample | null }>(() => ({ sample: null }))
  const times = new Float64Array(CAPACITY)
  const states = new Float64Array(CAPACITY)
  const residents = new Float64Array(CAPACITY)
  let written = 0
  const slot = (index: number) => (written < CAPACITY ? index : (written + index) % CAPACITY)
  const listeners = new Set<() => void>()
  let watchers = 0
  let stop = () => {}
  let staleTimer: ReturnType<typeof setTimeout> | undefined
  const forget = () => latest.setState({ sample: null })

  const take = (sample: MemorySample) => {
    const at = written % CAPACITY
    times[at] = sample.sampledAtMs
    states[at] = sample.memory.bytesPerState
    residents[at] = sample.memory.processRssBytes ?? Number.NaN
    written += 1
    latest.setState({ sample })
    clearTimeout(staleTimer)
    staleTimer = setTimeout(forget, STALE_AFTER_MS)
    for (const listener of listeners) listener()
  }

  return {
    latest,
    trace: {
      get length() {
        return Math.min(written, CAPACITY)
      },
      timeMs: index => times[slot(index)],
      bytesPerState: index => states[slot(index)],
      engineRssBytes: index => residents[slot(index)],
    },
    onSample(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    watch() {
      if (watchers++ === 0) {
        const subscription = client.subscribe('engine.memory', undefined, take)
        stop = () => subscription.cancel()
      }
      let watching = true
      return () => {
        if (!watching) return
        watching = false
        if (--watchers > 0) return
        stop()
        clearTimeout(staleTimer)
        forget()
      }
    },
  }
}
