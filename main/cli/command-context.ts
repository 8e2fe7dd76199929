/** What every command gets: streams, interrupts and a way to the engine. */
import type { EngineApi } from '../../contract/engine-api.ts'
import type { Client } from '../../contract/rpc.ts'
import type { BackendChoice } from '../../contract/words/backend.ts'
import type { PowerMachine } from '../services/telemetry/ports.ts'
import type { Interrupts } from './interrupts.ts'
import type { Terminal } from './terminal.ts'

export interface ConnectedEngine {
  readonly client: Client<EngineApi>
  /** Cancels what runs, waits until it has cleaned up, frees threads and files. */
  close(): Promise<void>
}

export interface CommandContext {
  readonly terminal: Terminal
  readonly interrupts: Interrupts
  /** Where the power that is drawn is read. */
  readonly powerMachine: PowerMachine
  /** The command wants JSON: errors go to stdout as JSON too. */
  wantsJson: boolean
  /** Sees to the compiled kernels of a backend. Throws `backend-unavailable`. */
  prepareBackend(backend: BackendChoice): Promise<void>
  /** `backend` is what the command will ask the engine for. Throws `backend-unavailable`. */
  connectEngine(backend: BackendChoice): Promise<ConnectedEngine>
}

/** Wrong usage that the option parser cannot see: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
