/**
 * Reads all sources about twice a second, while somebody watches or a reply is written, and adds energy up. A reply's energy
 * is the difference of these sums; what goes beyond the idle draw is told where that was seen before.
 */
import type { PowerSample } from '../../../contract/app/power.ts'
import type { AbortSignalLike } from '../../../contract/rpc.ts'
import type { PowerScope, ReplyEnergy } from '../../../contract/words/energy.ts'
import { type Cancel, systemTime, type Time } from '../../time.ts'
import { EnergyCounter, type EnergyTotal } from './energy-counter.ts'
import type { ComputePlace, EnergyMeter, EnergyWindow, PowerSources } from './ports.ts'
import { readersFor } from './power-sources.ts'

const PLACES: readonly ComputePlace[] = ['system', 'gpu', 'board']
const PERIOD_MS = 500
/** Idle draw is the median of so many samples; of fewer it is not told. */
const IDLE_SAMPLES = 20
const MIN_IDLE_SAMPLES = 6
/** Samples of a card's power see what lasts longer than this; shorter replies are bounded by them. */
const MIN_SAMPLED_MS = 20_000
/** At least this share of a reply must be covered by readings. */
const MIN_COVERED = 0.8

export class PowerMeter implements EnergyMeter {
  private readonly find: () => Promise<PowerSources>
  private readonly time: Time
  private sources: Promise<{ counters: readonly EnergyCounter[]; closed: PowerSources['closed'] }> | null = null
  private readonly watchers = new Set<(sample: PowerSample) => void>()
  /** Replies that are being written. */
  private openWindows = 0
  private stopSampling: Cancel | null = null
  private sampling: Promise<void> | null = null
  private readonly idle = new Map<PowerScope, { watts: readonly number[]; atMs: number }>()

  /** `find`: looks for the machine's sources; asked at the first use. */
  constructor(find: () => Promise<PowerSources>, time: Time = systemTime) {
    this.find = find
    this.time = time
  }

  async watch(emit: (sample: PowerSample) => void, signal: AbortSignalLike): Promise<void> {
    if (signal.aborted) return
    this.watchers.add(emit)
    this.update()
    void this.sample()
    await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()))
    this.watchers.delete(emit)
    this.update()
  }

  begin(): EnergyWindow {
    this.openWindows++
    this.update()
    const startMs = this.time.nowMs()
    const before = this.totals()
    let isOpen = true
    return {
      end: async place => {
        if (!isOpen) return null
        isOpen = false
        const after = await this.totals()
        const windowMs = this.time.nowMs() - startMs
        this.openWindows--
        this.update()
        return this.energy(await before, after, place, windowMs)
      },
    }
  }

  /** Of every source, read at this moment. */
  private async totals(): Promise<ReadonlyMap<string, EnergyTotal>> {
    await this.sampling
    await this.sample()
    const { counters } = await this.opened()
    return new Map(counters.map(({ reader, total }) => [reader.id, total]))
  }

  private async energy(
    before: ReadonlyMap<string, EnergyTotal>,
    after: ReadonlyMap<string, EnergyTotal>,
    place: ComputePlace,
    windowMs: number,
  ): Promise<ReplyEnergy | null> {
    const { counters } = await this.opened()
    const used = readersFor(
      counters.map(({ reader }) => reader),
      place,
    )
    if (used === null || windowMs <= 0) return null
    let joules = 0
    for (const { id } of used.readers) {
      const [from, to] = [before.get(id), after.get(id)]
      if (from === undefined || to === undefined) return null
      if (to.coveredMs - from.coveredMs < MIN_COVERED * windowMs) return null
      joules += to.joules - from.joules
    }
    const method = used.readers.every(({ counterRangeJoules }) => counterRangeJoules !== null) ? 'counter' : 'samples'
    const idle = this.idleOf(used.scope)
    return {
      joules,
      aboveIdleJoules: idle === null ? null : Math.max(0, joules - (idle.watts * windowMs) / 1_000),
      scope: used.scope,
      method,
      quality: qualityOf(used.scope, method, windowMs),
      windowMs,
      idle: idle === null ? null : { watts: idle.watts, ageMs: this.time.nowMs() - idle.atMs },
    }
  }

  /** Samples flow while somebody needs them. */
  private update(): void {
    const isNeeded = this.watchers.size > 0 || this.openWindows > 0
    if (isNeeded && this.stopSampling === null) this.stopSampling = this.time.every(PERIOD_MS, () => void this.sample())
    if (!isNeeded) this.stop()
  }

  private stop(): void {
    this.stopSampling?.()
    this.stopSampling = null
  }

  private sample(): Promise<void> {
    // A slow source skips samples; they do not pile up.
    this.sampling ??= this.readAll().finally(() => {
      this.sampling = null
    })
    return this.sampling
  }

  private async readAll(): Promise<void> {
    const { counters, closed } = await this.opened()
    // Where nothing can be read, nothing is: this once is to say so.
    if (counters.length === 0) this.stop()
    await Promise.all(
      counters.map(async counter => {
        const value = await counter.reader.read().catch(() => null)
        counter.add(value, this.time.nowMs())
      }),
    )
    this.noteIdle(counters)
    const sample: PowerSample = {
      sampledAtMs: this.time.wallMs(),
      readings: counters.map(({ reader: { id, scope, name, counterRangeJoules }, watts }) => {
        return { id, scope, name, method: counterRangeJoules === null ? 'samples' : 'counter', watts }
      }),
      closed: [...closed],
      idleWatts: this.idleShown(counters),
    }
    for (const emit of [...this.watchers]) emit(sample)
  }

  private noteIdle(counters: readonly EnergyCounter[]): void {
    if (this.openWindows > 0) return
    const readers = counters.map(({ reader }) => reader)
    for (const place of PLACES) {
      const used = readersFor(readers, place)
      const now = counters.filter(({ reader }) => used?.readers.includes(reader) === true)
      if (used === null || now.some(({ watts }) => watts === null)) continue
      const watts = now.reduce((sum, counter) => sum + counter.watts!, 0)
      const before = this.idle.get(used.scope)?.watts ?? []
      this.idle.set(used.scope, { watts: [...before, watts].slice(-IDLE_SAMPLES), atMs: this.time.nowMs() })
    }
  }

  private idleOf(scope: PowerScope): { watts: number; atMs: number } | null {
    const seen = this.idle.get(scope)
    if (seen === undefined || seen.watts.length < MIN_IDLE_SAMPLES) return null
    return { watts: seen.watts.toSorted((a, b) => a - b)[seen.watts.length >> 1], atMs: seen.atMs }
  }

  private idleShown(counters: readonly EnergyCounter[]): number | null {
    const used = readersFor(
      counters.map(({ reader }) => reader),
      'system',
    )
    return used === null ? null : (this.idleOf(used.scope)?.watts ?? null)
  }

  private opened() {
    this.sources ??= this.find().then(({ readers, closed }) => {
      return { counters: readers.map(reader => new EnergyCounter(reader)), closed }
    })
    return this.sources
  }
}

/**
 * A card's samples were held against its own energy counter on an H100: within 1 % at rest and at full load, but 8 % too high
 * over 20 s of work in bursts. So they estimate, however long.
 */
function qualityOf(scope: PowerScope, method: ReplyEnergy['method'], windowMs: number): ReplyEnergy['quality'] {
  if (method === 'counter') return 'measured'
  if (windowMs < MIN_SAMPLED_MS) return 'bound'
  return scope === 'gpu' ? 'estimated' : 'measured'
}
