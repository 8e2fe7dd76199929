/**
 * What ends a command before its time: Ctrl-C, a request to terminate, an output that takes nothing more. The first asks
 * the work to stop and clean up, within a bounded time; a second Ctrl-C ends the process at once.
 */
import { TernError } from '../../contract/errors.ts'
import type { Terminal } from './terminal.ts'

export interface Interrupts {
  /** Fires when the command is to stop. */
  readonly signal: AbortSignal
  /** Exit code of a command that stopped because of `signal`. */
  readonly exitCode: number
  /** Standard output or error could not be written, though somebody may read it: exit code 1, whatever the work says. */
  readonly hasOutputFailed: boolean
  /** Throws `cancelled` when the command is to stop. */
  throwIfStopped(): void
  /** What `work` gives; rejects with `cancelled` as soon as the command is to stop, whether or not `work` can be. */
  untilStopped<T>(work: Promise<T>): Promise<T>
  stop(exitCode: number): void
  /** The command is over: the process must end soon, even when something of it hangs. */
  dispose(): void
}

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
type Signal = keyof typeof EXIT_CODES
const SIGNALS = Object.keys(EXIT_CODES) as Signal[]

/** Two signals within this time are one: on a terminal the launcher and the kernel both deliver a Ctrl-C. */
const SAME_SIGNAL_MS = 150
/** For work to stop and clean up after itself. */
const MAX_STOP_MS = 5_000
/** For what a stopped command has left behind, as a read that cannot be called off. */
const MAX_EXIT_MS = 200

/** `endProcess` ends this process though something of it hangs. */
export function watchInterrupts(terminal: Terminal, endProcess = endThisProcess): Interrupts {
  const controller = new AbortController()
  let exitCode: number = EXIT_CODES.SIGINT
  let firstSignalAtMs = Number.NaN
  let received: Signal | null = null
  let hasOutputFailed = false

  const endNow = () => {
    if (terminal.stdin.isTTY) terminal.stdin.setRawMode(false)
    if (received !== null) process.off(received, listeners[received])
    endProcess(received, exitCode)
  }
  const stop = (code: number) => {
    if (controller.signal.aborted) return
    exitCode = code
    controller.abort()
    setTimeout(endNow, MAX_STOP_MS).unref()
  }
  const onSignal = (signal: Signal) => {
    const nowMs = performance.now()
    received ??= signal
    if (nowMs - firstSignalAtMs > SAME_SIGNAL_MS) endNow()
    if (Number.isNaN(firstSignalAtMs)) firstSignalAtMs = nowMs
    stop(EXIT_CODES[signal])
  }
  const listeners: Record<Signal, () => void> = {
    SIGINT: () => onSignal('SIGINT'),
    SIGTERM: () => onSignal('SIGTERM'),
    SIGHUP: () => onSignal('SIGHUP'),
  }
  const onOutputError = (error: NodeJS.ErrnoException) => {
    // `tern run ... | head -1`: the reader has what it wanted.
    if (error.code === 'EPIPE') return stop(0)
    if (hasOutputFailed) return
    hasOutputFailed = true
    const reason = error.code === 'ENOSPC' ? 'there is no room left' : (error.code ?? error.message)
    terminal.stderr.write(`tern: The output cannot be written: ${reason}.\n`)
    // It may come after the command has ended.
    process.exitCode = 1
    stop(1)
  }

  for (const signal of SIGNALS) process.on(signal, listeners[signal])
  terminal.stdout.on('error', onOutputError)
  terminal.stderr.on('error', onOutputError)
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode
    },
    get hasOutputFailed() {
      return hasOutputFailed
    },
    throwIfStopped() {
      if (controller.signal.aborted) throw cancelled()
    },
    untilStopped(work) {
      return new Promise((resolve, reject) => {
        const onAbort = () => reject(cancelled())
        if (controller.signal.aborted) onAbort()
        controller.signal.addEventListener('abort', onAbort, { once: true })
        work.then(resolve, reject).finally(() => controller.signal.removeEventListener('abort', onAbort))
      })
    },
    stop,
    dispose() {
      if (controller.signal.aborted) setTimeout(endNow, MAX_EXIT_MS).unref()
      else for (const signal of SIGNALS) process.off(signal, listeners[signal])
    },
  }
}

function endThisProcess(signal: Signal | null, exitCode: number): void {
  // An exit waits for reads that block, for ever at a pipe that nobody writes to; a signal does not.
  if (signal === null || process.platform === 'win32') process.exit(exitCode)
  process.kill(process.pid, signal)
}

export const cancelled = (): TernError => new TernError({ code: 'cancelled', message: 'Cancelled.' })
