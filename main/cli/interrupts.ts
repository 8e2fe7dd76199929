/**
 * What ends a command before its time: Ctrl-C, a request to terminate, a reader of stdout that went away. The first asks
 * the work to stop and clean up; a second Ctrl-C ends the process at once.
 */
import { TernError } from '../../contract/errors.ts'
import type { Terminal } from './terminal.ts'

export interface Interrupts {
  /** Fires when the command is to stop. */
  readonly signal: AbortSignal
  /** Exit code of a command that stopped because of `signal`. */
  readonly exitCode: number
  /** Throws `cancelled` when the command is to stop. */
  throwIfStopped(): void
  stop(exitCode: number): void
  dispose(): void
}

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

/** Two signals within this time are one: on a terminal the launcher and the kernel both deliver a Ctrl-C. */
const SAME_SIGNAL_MS = 150

export function watchInterrupts(terminal: Terminal): Interrupts {
  const controller = new AbortController()
  let exitCode: number = EXIT_CODES.SIGINT
  let firstSignalAtMs = Number.NaN

  const stop = (code: number) => {
    if (controller.signal.aborted) return
    exitCode = code
    controller.abort()
  }
  const onSignal = (signal: keyof typeof EXIT_CODES) => {
    const nowMs = performance.now()
    if (nowMs - firstSignalAtMs > SAME_SIGNAL_MS) process.exit(EXIT_CODES[signal])
    if (Number.isNaN(firstSignalAtMs)) firstSignalAtMs = nowMs
    stop(EXIT_CODES[signal])
  }
  // `tern run ... | head -1`: the reader has what it wanted.
  const onOutputError = (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    stop(0)
  }

  const signals = Object.keys(EXIT_CODES) as (keyof typeof EXIT_CODES)[]
  for (const signal of signals) process.on(signal, onSignal)
  terminal.stdout.on('error', onOutputError)
  terminal.stderr.on('error', onOutputError)
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode
    },
    throwIfStopped() {
      if (controller.signal.aborted) throw new TernError({ code: 'cancelled', message: 'Cancelled.' })
    },
    stop,
    dispose() {
      for (const signal of signals) process.off(signal, onSignal)
    },
  }
}
