/** Joules that add up from readings of one source: differences of a counter that begins again, or power over time. */
import type { PowerReader } from './ports.ts'

/** More than any machine on a desk draws: a reading beyond it is none. */
const MAX_WATTS = 5_000
/** A longer pause (the machine slept) is a gap: nothing is known of it. */
const MAX_GAP_MS = 5_000

export interface EnergyTotal {
  joules: number
  /** How long readings cover. */
  coveredMs: number
}

export class EnergyCounter {
  readonly reader: PowerReader
  total: EnergyTotal = { joules: 0, coveredMs: 0 }
  /** Of the last step; null: not known. */
  watts: number | null = null
  private last: { value: number; atMs: number } | null = null

  constructor(reader: PowerReader) {
    this.reader = reader
  }

  /** What was read, and when on a monotonic clock. */
  add(value: number | null, atMs: number): void {
    const { last } = this
    this.last = value === null || !Number.isFinite(value) || value < 0 ? null : { value, atMs }
    this.watts = null
    if (this.last === null) return
    const range = this.reader.counterRangeJoules
    if (range === null) this.watts = value! <= MAX_WATTS ? value : null
    if (last === null || atMs <= last.atMs || atMs - last.atMs > MAX_GAP_MS) return
    const seconds = (atMs - last.atMs) / 1_000
    const joules = range === null ? ((last.value + value!) / 2) * seconds : difference(last.value, value!, range)
    if (joules / seconds > MAX_WATTS) {
      this.watts = null
      return
    }
    if (range !== null) this.watts = joules / seconds
    this.total = { joules: this.total.joules + joules, coveredMs: this.total.coveredMs + (atMs - last.atMs) }
  }
}

const difference = (before: number, now: number, range: number): number =>
  now >= before ? now - before : now + range - before
