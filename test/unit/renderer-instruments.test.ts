/** Figures: how they are written, and the ring buffer they are drawn from. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { AppClient } from '../../renderer/stores/connection.ts'
import { createMemoryStore, type MemorySample } from '../../renderer/stores/memory.ts'
import { createPreferencesStore, nextTheme } from '../../renderer/stores/preferences.ts'
import {
  axisEndBytes,
  DASH,
  formatBytes,
  formatDuration,
  formatParameters,
  formatPercent,
  formatRate,
} from '../../renderer/ui/units.ts'

/** Reads better than an escape. */
const plain = (text: string) => text.replaceAll('\u00a0', ' ')

describe('units', () => {
  it('writes a figure that nobody measured as a dash, never as zero', () => {
    for (const format of [formatBytes, formatRate, formatDuration, formatParameters, formatPercent]) {
      for (const missing of [null, undefined, Number.NaN, Number.POSITIVE_INFINITY]) expect(format(missing)).toBe(DASH)
    }
    expect(plain(formatBytes(0))).toBe('0 B')
    expect(formatRate(0)).toBe('0.0')
  })

  it.each([
    [36 * 1024, '36 KiB'],
    [1023, '1,023 B'],
    [1024, '1 KiB'],
    [1.5 * 1024, '1.50 KiB'],
    [23_450_000, '22.4 MiB'],
    [121.4 * 1024 * 1024, '121 MiB'],
    [1024 ** 2 - 1, '1.00 MiB'],
    [5.25 * 1024 ** 3, '5.25 GiB'],
  ])('bytes: %d is %s', (bytes, text) => expect(plain(formatBytes(bytes))).toBe(text))

  it.each([
    [0.4, '0 ms'],
    [118.2, '118 ms'],
    [999.6, '1.00 s'],
    [12_340, '12.3 s'],
    [125_000, '2 min 5 s'],
  ])('durations: %d ms is %s', (milliseconds, text) => expect(plain(formatDuration(milliseconds))).toBe(text))

  it.each([
    [97_626_624, '97.6 M'],
    [1_299_000_000, '1.30 B'],
    [812, '812'],
  ])('parameters: %d is %s', (count, text) => expect(plain(formatParameters(count))).toBe(text))

  it('ends an axis at the next power of two of a kibibyte', () => {
    expect(axisEndBytes(0)).toBe(1024)
    expect(axisEndBytes(45 * 1024)).toBe(64 * 1024)
    expect(axisEndBytes(64 * 1024)).toBe(64 * 1024)
  })
})

/** A client whose memory stream is driven by hand. */
function createMemoryClient() {
  let emit: ((sample: MemorySample) => void) | null = null
  let subscriptions = 0
  const client = {
    call: () => Promise.reject(new Error('not scripted')),
    subscribe(_method: string, _params: unknown, onEvent: (sample: MemorySample) => void) {
      emit = onEvent
      subscriptions += 1
      return {
        cancel() {
          emit = null
        },
        ended: Promise.resolve(),
      }
    },
  } as unknown as AppClient
  return {
    client,
    get isWatched() {
      return emit !== null
    },
    get subscriptions() {
      return subscriptions
    },
    sample(sampledAtMs: number, bytesPerState: number, processRssBytes: number | null) {
      emit!({
        sampledAtMs,
        hostRssBytes: 1,
        memory: {
          weightBytes: 1,
          bytesOfAllStates: 1,
          scratchBytes: 1,
          sessionCount: 1,
          bytesPerState,
          place: 'system',
          processRssBytes,
        },
      })
    },
  }
}

describe('memory', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it('asks the host only while somebody watches', () => {
    const host = createMemoryClient()
    const store = createMemoryStore(host.client)
    expect(host.isWatched).toBe(false)
    const stopOne = store.watch()
    const stopTwo = store.watch()
    expect(host.subscriptions).toBe(1)
    stopOne()
    stopOne()
    expect(host.isWatched).toBe(true)
    stopTwo()
    expect(host.isWatched).toBe(false)
  })

  it('keeps the latest samples in order when the ring is full', () => {
    const host = createMemoryClient()
    const store = createMemoryStore(host.client)
    store.watch()
    for (let i = 0; i < 1000; i++) host.sample(i * 500, i, i)
    const { trace } = store
    expect(trace.length).toBe(300)
    expect(trace.timeMs(0)).toBe(700 * 500)
    expect(trace.timeMs(trace.length - 1)).toBe(999 * 500)
    expect(trace.bytesPerState(trace.length - 1)).toBe(999)
    for (let i = 1; i < trace.length; i++) expect(trace.timeMs(i)).toBe(trace.timeMs(i - 1) + 500)
  })

  it('holds a figure that could not be measured as not a number', () => {
    const host = createMemoryClient()
    const store = createMemoryStore(host.client)
    store.watch()
    host.sample(0, 36_864, null)
    expect(store.trace.engineRssBytes(0)).toBeNaN()
    expect(store.latest.getState().sample?.memory.processRssBytes).toBeNull()
  })

  it('forgets the latest sample when no other follows', () => {
    const host = createMemoryClient()
    const store = createMemoryStore(host.client)
    store.watch()
    host.sample(0, 1, 1)
    vi.advanceTimersByTime(2_900)
    expect(store.latest.getState().sample).not.toBeNull()
    vi.advanceTimersByTime(200)
    expect(store.latest.getState().sample).toBeNull()
    expect(store.trace.length).toBe(1)
  })
})

describe('preferences', () => {
  const memoOf = (text: string | null) => {
    let stored = text
    return { getItem: () => stored, setItem: (_: string, value: string) => void (stored = value) }
  }

  it('are remembered', () => {
    const memo = memoOf(null)
    createPreferencesStore(memo).setState({ theme: 'dark' })
    expect(createPreferencesStore(memo).getState()).toMatchObject({
      theme: 'dark',
      chatsOpen: true,
      instrumentsOpen: true,
    })
  })

  it.each(['', 'null', '{', '{"theme":"pink"}'])('fall back to the defaults on %j', text => {
    expect(createPreferencesStore(memoOf(text)).getState().theme).toBe('system')
  })

  it('go round the three themes', () => {
    expect(nextTheme(nextTheme(nextTheme('system')))).toBe('system')
  })

  it('work without a storage that can be written', () => {
    const memo = {
      getItem: () => null,
      setItem: () => {
        throw new Error('full')
      },
    }
    const store = createPreferencesStore(memo)
    store.setState({ theme: 'light' })
    expect(store.getState().theme).toBe('light')
  })
})
