/** What telemetry needs of others, and what it gives them. */
import type { ClosedSource, PowerScope, ReplyEnergy } from '../../../contract/words/energy.ts'

/** The machine's files and programs, as far as readers use them. */
export interface PowerMachine {
  readonly platform: NodeJS.Platform
  /** Names in a folder; none where there is no such folder. */
  list(path: string): Promise<readonly string[]>
  /** Throws an error with a `code`, as Node does. */
  readText(path: string): Promise<string>
  /** What a program prints; null: it is not there, fails, or takes too long. */
  run(command: string, args: readonly string[]): Promise<string | null>
}

/** A source of power figures that can be read. */
export interface PowerReader {
  readonly id: string
  readonly scope: PowerScope
  readonly name: string
  /** Where counters begin again, joules; null: it tells watts. */
  readonly counterRangeJoules: number | null
  /** Joules of a counter, or watts; null: not now. */
  read(): Promise<number | null>
}

export interface PowerSources {
  readonly readers: readonly PowerReader[]
  readonly closed: readonly ClosedSource[]
}

/** Whose memory a model is in tells what it draws from. */
export type ComputePlace = 'system' | 'gpu' | 'board'

export interface EnergyWindow {
  /** null: nothing on this machine could be read in this time. */
  end(place: ComputePlace): Promise<ReplyEnergy | null>
}

export interface EnergyMeter {
  begin(): EnergyWindow
}
