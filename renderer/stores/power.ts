/**
 * The power that the machine draws, over the last two minutes: a ring buffer that instruments draw from outside React, and
 * the latest sample for text. While the window is hidden nothing is asked of the host.
 */
import { createStore, type StoreApi } from 'zustand/vanilla'
import type { PowerSample } from '../../contract/app/power.ts'
import type { AppClient } from './connection.ts'

/** Two samples a second over the span, and some to spare. */
const CAPACITY = 300
/** Without a sample for so long the latest one says nothing of now. */
const STALE_AFTER_MS = 3_000

/** Watts over time, oldest first by index; NaN: not known. */
interface PowerTrace {
  readonly length: number
  timeMs(index: number): number
  watts(index: number): number
}

interface PowerState {
  /** null: nothing was heard yet, or not for a while. */
  sample: PowerSample | null
  /** Why there are no figures: told once, kept. */
  isWithoutSource: boolean
}

export interface PowerStore {
  state: StoreApi<PowerState>
  trace: PowerTrace
  /** Called after every sample; returns a function that removes the listener. */
  onSample(listener: () => void): () => void
  /** Samples flow while at least one watcher is there and the window is in sight. */
  watch(): () => void
}

/** The reading that stands for the machine: the processor's, else a card's, else the whole machine's. */
export function mainReading({ readings }: PowerSample): { watts: number | null; scope: string; name: string } | null {
  for (const scope of ['package', 'system', 'gpu', 'board'] as const) {
    const found = readings.filter(reading => reading.scope === scope)
    if (found.length === 0) continue
    // Of several processors all count; of two ways to tell of the whole machine, one.
    const used = scope === 'system' ? found.slice(0, 1) : found
    const isKnown = used.every(({ watts }) => watts !== null)
    return { watts: isKnown ? used.reduce((sum, { watts }) => sum + watts!, 0) : null, scope, name: used[0].name }
  }
  return null
}

/** What is used of the document. */
export interface Visibility {
  readonly hidden: boolean
  addEventListener(type: 'visibilitychange', listener: () => void): void
  removeEventListener(type: 'visibilitychange', listener: () => void): void
}

export function createPowerStore(client: AppClient, visibility: Visibility): PowerStore {
  const state = createStore<PowerState>(() => ({ sample: null, isWithoutSource: false }))
  const times = new Float64Array(CAPACITY)
  const values = new Float64Array(CAPACITY)
  let written = 0
  const slot = (index: number) => (written < CAPACITY ? index : (written + index) % CAPACITY)
  const listeners = new Set<() => void>()
  let watchers = 0
  let stop: (() => void) | null = null
  let staleTimer: ReturnType<typeof setTimeout> | undefined

  const take = (sample: PowerSample) => {
    const isWithoutSource = sample.readings.length === 0
    times[written % CAPACITY] = sample.sampledAtMs
    values[written % CAPACITY] = mainReading(sample)?.watts ?? Number.NaN
    written += 1
    state.setState({ sample, isWithoutSource })
    clearTimeout(staleTimer)
    // Where there is no source nothing more comes, and nothing becomes stale.
    if (!isWithoutSource) staleTimer = setTimeout(() => state.setState({ sample: null }), STALE_AFTER_MS)
    for (const listener of listeners) listener()
  }
  const update = () => {
    const isNeeded = watchers > 0 && !visibility.hidden
    if (isNeeded && stop === null) {
      const subscription = client.subscribe('power.watch', undefined, take)
      stop = () => subscription.cancel()
      subscription.ended.then(
        () => {},
        () => {
          // The line is down: asked again when it is back and the window in sight.
          stop = null
        },
      )
    } else if (!isNeeded && stop !== null) {
      stop()
      stop = null
      clearTimeout(staleTimer)
    }
  }

  return {
    state,
    trace: {
      get length() {
        return Math.min(written, CAPACITY)
      },
      timeMs: index => times[slot(index)],
      watts: index => values[slot(index)],
    },
    onSample(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    watch() {
      if (watchers++ === 0) visibility.addEventListener('visibilitychange', update)
      update()
      let watching = true
      return () => {
        if (!watching) return
        watching = false
        if (--watchers === 0) visibility.removeEventListener('visibilitychange', update)
        update()
      }
    },
  }
}
