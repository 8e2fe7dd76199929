/** Notices an engine process that has stopped answering while it has work. */
import type { Transport } from '../../contract/rpc.ts'
import type { Cancel, Time } from '../time.ts'

export interface SilenceLimits {
  /**
   * While work is in flight, silence is counted in ticks of our own timer, not on the clock: a machine that slept, or a
   * host that was stopped, adds one tick. The limit, ten minutes by default, lies far above the longest synchronous step:
   * a chunk of the reference backend with the largest published model takes two to three.
   */
  silenceTickMs: number
  silenceTickLimit: number
}

/** Streams that stay open for the life of the process: no work. */
const isStanding = (method: unknown): boolean => method === 'engine.events'

/**
 * Passes messages through and calls `onSilence` when nothing at all came back for `silenceTickLimit` ticks although
 * requests are in flight and the process was asked by `ping`. No timer runs while nothing is in flight.
 */
export function watchSilence(
  inner: Transport,
  limits: SilenceLimits,
  time: Time,
  ping: () => void,
  onSilence: () => void,
): { transport: Transport; stop(): void } {
  const inFlight = new Set<unknown>()
  let silentTicks = 0
  let stopTicking: Cancel | null = null

  const stop = () => {
    stopTicking?.()
    stopTicking = null
  }
  const tick = () => {
    silentTicks += 1
    if (silentTicks > limits.silenceTickLimit) {
      stop()
      onSilence()
    } else ping()
  }
  const stopListening = inner.onMessage(message => {
    silentTicks = 0
    const { kind, id } = message as { kind?: unknown; id?: unknown }
    if (kind === 'result' || kind === 'end' || kind === 'failure') inFlight.delete(id)
    if (inFlight.size === 0) stop()
  })
  return {
    transport: {
      send(message) {
        const { kind, id, method } = message as { kind?: unknown; id?: unknown; method?: unknown }
        if ((kind === 'call' || kind === 'subscribe') && !isStanding(method)) {
          inFlight.add(id)
          if (stopTicking === null) {
            silentTicks = 0
            stopTicking = time.every(limits.silenceTickMs, tick)
          }
        }
        inner.send(message)
      },
      onMessage: listener => inner.onMessage(listener),
    },
    stop() {
      stop()
      stopListening()
    },
  }
}
