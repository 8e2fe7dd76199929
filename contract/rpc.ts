/**
 * RPC over a two-member transport: calls, streams (subscribe) and cancels, as distinct messages.
 * Everything received is parsed by the schema of its method, on both sides. It does not reconnect and does not batch:
 * transports do.
 */
import * as v from 'valibot'
import { errorDataSchema, TernError, type TernErrorData, toErrorData } from './errors.ts'

/** A connection as RPC needs it. Messages are structured-cloneable; a JSON transport encodes Uint8Array itself. */
export interface Transport {
  send(message: unknown): void
  /** Returns a function that removes the listener. */
  onMessage(listener: (message: unknown) => void): () => void
}

type Schema = v.GenericSchema<unknown, unknown>

interface CallDefinition {
  params: Schema
  result: Schema
}
interface StreamDefinition {
  params: Schema
  event: Schema
}
export interface ApiDefinition {
  calls: Record<string, CallDefinition>
  streams: Record<string, StreamDefinition>
}

type Calls<A extends ApiDefinition> = A['calls']
type Streams<A extends ApiDefinition> = A['streams']
type CallParams<A extends ApiDefinition, M extends keyof Calls<A>> = v.InferInput<Calls<A>[M]['params']>
type CallResult<A extends ApiDefinition, M extends keyof Calls<A>> = v.InferOutput<Calls<A>[M]['result']>
export type StreamParams<A extends ApiDefinition, M extends keyof Streams<A>> = v.InferInput<Streams<A>[M]['params']>
export type StreamEvent<A extends ApiDefinition, M extends keyof Streams<A>> = v.InferOutput<Streams<A>[M]['event']>

interface CallContext {
  /** Fires when the caller cancels or the connection closes. */
  signal: AbortSignalLike
}

/** Structural subset of AbortSignal, so that contract needs no DOM. */
export interface AbortSignalLike {
  readonly aborted: boolean
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}

export type Handlers<A extends ApiDefinition> = {
  calls: {
    [M in keyof Calls<A>]: (
      params: v.InferOutput<Calls<A>[M]['params']>,
      context: CallContext,
    ) => CallHandlerResult<v.InferInput<Calls<A>[M]['result']>>
  }
  streams: {
    /** Emits until its promise settles or the signal fires; the promise's end is the stream's end. */
    [M in keyof Streams<A>]: (
      params: v.InferOutput<Streams<A>[M]['params']>,
      emit: (event: v.InferInput<Streams<A>[M]['event']>) => void,
      context: CallContext,
    ) => Promise<void>
  }
}
/** A handler of a method without a result may simply return. */
type CallHandlerResult<T> = T | Promise<T> | (undefined extends T ? ReturnType<() => void> | Promise<void> : never)

export interface Subscription {
  /** Idempotent. `ended` settles afterwards. */
  cancel(): void
  /** Resolves when the stream ends or was cancelled by us; rejects with a TernError when it fails. */
  readonly ended: Promise<void>
}

export interface Client<A extends ApiDefinition> {
  call<M extends keyof Calls<A> & string>(
    method: M,
    params: CallParams<A, M>,
    options?: { signal?: AbortSignalLike },
  ): Promise<CallResult<A, M>>
  subscribe<M extends keyof Streams<A> & string>(
    method: M,
    params: StreamParams<A, M>,
    onEvent: (event: StreamEvent<A, M>) => void,
  ): Subscription
  /** Fails everything in flight with `error`; later calls fail in the same way. */
  close(error?: TernErrorData): void
}

const id = v.pipe(v.number(), v.integer(), v.minValue(0))
/** Anything, or left out: a JSON transport drops undefined. */
const anything = v.optional(v.unknown())
const messageSchema = v.variant('kind', [
  v.object({ kind: v.literal('call'), id, method: v.string(), params: anything }),
  v.object({ kind: v.literal('subscribe'), id, method: v.string(), params: anything }),
  v.object({ kind: v.literal('cancel'), id }),
  v.object({ kind: v.literal('result'), id, value: anything }),
  v.object({ kind: v.literal('event'), id, event: anything }),
  v.object({ kind: v.literal('end'), id }),
  v.object({ kind: v.literal('failure'), id, error: errorDataSchema }),
])

const CLOSED: TernErrorData = {
  code: 'connection-closed',
  message: 'The connection to the other process is closed.',
}

const violation = (what: string): TernErrorData => ({ code: 'protocol-violation', message: what })

function parse<S extends Schema>(schema: S, value: unknown, what: string): v.InferOutput<S> {
  const parsed = v.safeParse(schema, value)
  if (parsed.success) return parsed.output
  const issue = parsed.issues[0]
  throw new TernError(violation(`${what}: ${v.getDotPath(issue) ?? 'value'}: ${issue.message}`))
}

interface Pending {
  settle(value: unknown): void
  event(value: unknown): void
  end(): void
  fail(error: TernErrorData): void
}

export function createClient<A extends ApiDefinition>(api: A, transport: Transport): Client<A> {
  let nextId = 0
  let closedWith: TernErrorData | null = null
  const pending = new Map<number, Pending>()

  const stopListening = transport.onMessage(raw => {
    const parsed = v.safeParse(messageSchema, raw)
    if (!parsed.success) return
    const message = parsed.output
    const entry = pending.get(message.id)
    if (entry === undefined) return
    switch (message.kind) {
      case 'result':
        pending.delete(message.id)
        entry.settle(message.value)
        break
      case 'event':
        entry.event(message.event)
        break
      case 'end':
        pending.delete(message.id)
        entry.end()
        break
      case 'failure':
        pending.delete(message.id)
        entry.fail(message.error)
        break
    }
  })

  return {
    call(method, params, options = {}) {
      return new Promise((resolve, reject) => {
        if (closedWith !== null) return reject(new TernError(closedWith))
        const callId = nextId++
        const onAbort = () => transport.send({ kind: 'cancel', id: callId })
        const done = () => options.signal?.removeEventListener('abort', onAbort)
        pending.set(callId, {
          settle: value => {
            done()
            try {
              resolve(parse(api.calls[method]!.result, value, `result of ${method}`) as never)
            } catch (error) {
              reject(error)
            }
          },
          event: () => {},
          end: () => {},
          fail: error => {
            done()
            reject(new TernError(error))
          },
        })
        options.signal?.addEventListener('abort', onAbort)
        transport.send({ kind: 'call', id: callId, method, params })
        if (options.signal?.aborted) onAbort()
      })
    },

    subscribe(method, params, onEvent) {
      let cancel = () => {}
      const ended = new Promise<void>((resolve, reject) => {
        if (closedWith !== null) return reject(new TernError(closedWith))
        const streamId = nextId++
        cancel = () => {
          if (!pending.delete(streamId)) return
          transport.send({ kind: 'cancel', id: streamId })
          resolve()
        }
        pending.set(streamId, {
          settle: () => {},
          event: value => {
            try {
              onEvent(parse(api.streams[method]!.event, value, `event of ${method}`) as never)
            } catch (error) {
              if (pending.delete(streamId)) transport.send({ kind: 'cancel', id: streamId })
              reject(error)
            }
          },
          end: resolve,
          fail: error => reject(new TernError(error)),
        })
        transport.send({ kind: 'subscribe', id: streamId, method, params })
      })
      // A caller that only wants events need not watch the end.
      ended.catch(() => {})
      return { cancel: () => cancel(), ended }
    },

    close(error = CLOSED) {
      if (closedWith !== null) return
      closedWith = error
      stopListening()
      const entries = [...pending.values()]
      pending.clear()
      for (const entry of entries) entry.fail(error)
    },
  }
}

export interface Server {
  /** Cancels everything in flight and stops listening: call it when the connection closes. */
  close(): void
}

/** Answers an API's messages on one connection. */
export function serve<A extends ApiDefinition>(api: A, transport: Transport, handlers: Handlers<A>): Server {
  const running = new Map<number, AbortController>()

  const run = async (message: { id: number; kind: 'call' | 'subscribe'; method: string; params?: unknown }) => {
    const controller = new AbortController()
    running.set(message.id, controller)
    const context: CallContext = { signal: controller.signal }
    try {
      if (message.kind === 'call') {
        const definition = own(api.calls, message.method)
        if (definition === undefined) throw new TernError(violation(`No method ${message.method}.`))
        const params = parse(definition.params, message.params, `params of ${message.method}`)
        const value = await handlers.calls[message.method]!(params, context)
        transport.send({ kind: 'result', id: message.id, value })
      } else {
        const definition = own(api.streams, message.method)
        if (definition === undefined) throw new TernError(violation(`No stream ${message.method}.`))
        const params = parse(definition.params, message.params, `params of ${message.method}`)
        const emit = (event: unknown) => {
          if (!controller.signal.aborted) transport.send({ kind: 'event', id: message.id, event })
        }
        await handlers.streams[message.method]!(params, emit, context)
        transport.send({ kind: 'end', id: message.id })
      }
    } catch (thrown) {
      transport.send({ kind: 'failure', id: message.id, error: toErrorData(thrown) })
    } finally {
      running.delete(message.id)
    }
  }

  const stopListening = transport.onMessage(raw => {
    const parsed = v.safeParse(messageSchema, raw)
    if (!parsed.success) return
    const message = parsed.output
    if (message.kind === 'cancel') running.get(message.id)?.abort()
    else if (message.kind === 'call' || message.kind === 'subscribe') {
      if (running.has(message.id)) return
      void run(message)
    }
  })

  return {
    close() {
      stopListening()
      for (const controller of running.values()) controller.abort()
      running.clear()
    },
  }
}

const own = <T>(record: Record<string, T>, key: string): T | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined

/** Two connected transports in one process; messages arrive asynchronously, in order, structured-cloned. */
export function createTransportPair(): [Transport, Transport] {
  const listeners: [Set<(m: unknown) => void>, Set<(m: unknown) => void>] = [new Set(), new Set()]
  const side = (mine: 0 | 1): Transport => ({
    send(message) {
      const copy = structuredClone(message)
      queueMicrotask(() => {
        for (const listener of listeners[mine === 0 ? 1 : 0]) listener(copy)
      })
    },
    onMessage(listener) {
      listeners[mine].add(listener)
      return () => listeners[mine].delete(listener)
    },
  })
  return [side(0), side(1)]
}
