/**
 * The line to the host, and its repair. `client` looks like one RPC client for the life of the window: underneath, a
 * lost connection is dialled again with growing pauses and every subscription is made anew (the host holds the truth,
 * and each stream opens with a whole picture). Calls are never repeated: the caller is told that the line is down.
 * It knows nothing of WebSocket or MessagePort (app/dial.ts does).
 */
import { createStore, type StoreApi } from 'zustand/vanilla'
import { type AppApi, appApi } from '../../contract/app-api.ts'
import { TernError, type TernErrorData, toErrorData } from '../../contract/errors.ts'
import { type Client, createClient, type Subscription, type Transport } from '../../contract/rpc.ts'

/** One connection attempt that succeeded. */
export interface Line {
  transport: Transport
  /** Resolves once, when the other side is gone. */
  closed: Promise<void>
  close(): void
}
export type Dial = () => Promise<Line>

export type ConnectionState =
  | { phase: 'connecting' }
  | { phase: 'open' }
  /** The host is gone; the next attempt starts at `retryAtMs` (Date.now() time). */
  | { phase: 'lost'; attempt: number; retryAtMs: number }

export type AppClient = Pick<Client<AppApi>, 'call' | 'subscribe'>

export interface Connection {
  state: StoreApi<ConnectionState>
  client: AppClient
  /** Dials at once instead of waiting for the pause to end. */
  retryNow(): void
  close(): void
}

const FIRST_PAUSE_MS = 250
const MAX_PAUSE_MS = 8_000
/** A line that lives shorter than this does not reset the pause: a host in a crash loop is not hammered. */
const STABLE_AFTER_MS = 2_000

const HOST_GONE: TernErrorData = {
  code: 'connection-closed',
  message: 'Tern’s background process does not answer.',
  remedy: 'The window reconnects by itself; then try again.',
}

interface Watch {
  attach(client: Client<AppApi>): void
}

export function createConnection(dial: Dial): Connection {
  const state = createStore<ConnectionState>(() => ({ phase: 'connecting' }))
  const watches = new Set<Watch>()
  let current: { client: Client<AppApi>; line: Line } | null = null
  let attempt = 0
  let retryTimer: ReturnType<typeof setTimeout> | null = null
  let closed = false

  const connect = async () => {
    retryTimer = null
    let line: Line
    try {
      line = await dial()
    } catch {
      return schedule()
    }
    if (closed) return line.close()
    const client = createClient(appApi, line.transport)
    current = { client, line }
    const openedAtMs = Date.now()
    state.setState({ phase: 'open' }, true)
    for (const watch of [...watches]) watch.attach(client)
    await line.closed
    if (current?.client === client) current = null
    client.close(HOST_GONE)
    if (Date.now() - openedAtMs >= STABLE_AFTER_MS) attempt = 0
    schedule()
  }

  const schedule = () => {
    if (closed) return
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** attempt, MAX_PAUSE_MS)
    attempt += 1
    state.setState({ phase: 'lost', attempt, retryAtMs: Date.now() + pauseMs }, true)
    retryTimer = setTimeout(() => void connect(), pauseMs)
  }

  const client: AppClient = {
    call(method, params, options) {
      if (current === null) return Promise.reject(new TernError(HOST_GONE))
      return current.client.call(method, params, options)
    },

    subscribe(method, params, onEvent) {
      let inner: Subscription | null = null
      let settle = { resolve: () => {}, reject: (_: unknown) => {} }
      const ended = new Promise<void>((resolve, reject) => {
        settle = { resolve, reject }
      })
      ended.catch(() => {})
      const watch: Watch = {
        attach(live) {
          const subscription = live.subscribe(method, params, onEvent)
          inner = subscription
          subscription.ended.then(
            () => {
              if (watches.delete(watch)) settle.resolve()
            },
            error => {
              // A lost line is not the stream's end: the next line attaches again.
              if (toErrorData(error).code === 'connection-closed') return
              if (watches.delete(watch)) settle.reject(error)
            },
          )
        },
      }
      watches.add(watch)
      if (current !== null) watch.attach(current.client)
      return {
        cancel() {
          if (!watches.delete(watch)) return
          inner?.cancel()
          settle.resolve()
        },
        ended,
      }
    },
  }

  void connect()

  return {
    state,
    client,
    retryNow() {
      if (retryTimer === null) return
      clearTimeout(retryTimer)
      void connect()
    },
    close() {
      closed = true
      if (retryTimer !== null) clearTimeout(retryTimer)
      current?.line.close()
    },
  }
}
