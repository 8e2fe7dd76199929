/** contract/rpc.ts: calls, streams, cancels, failures, hostile messages, and the end of a connection. */
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { TernError } from '../../contract/errors.ts'
import { createClient, createTransportPair, type Handlers, serve, type Transport } from '../../contract/rpc.ts'

const api = {
  calls: {
    double: { params: v.object({ value: v.number() }), result: v.number() },
    fail: { params: v.undefined(), result: v.undefined() },
    lie: { params: v.undefined(), result: v.number() },
    never: { params: v.undefined(), result: v.undefined() },
    bytes: { params: v.object({ data: v.instance(Uint8Array) }), result: v.instance(Uint8Array) },
  },
  streams: {
    count: { params: v.object({ to: v.number() }), event: v.number() },
    endless: { params: v.undefined(), event: v.number() },
    lies: { params: v.undefined(), event: v.number() },
  },
} as const

const turn = () => new Promise(resolve => setTimeout(resolve, 0))

function connect() {
  const aborted: string[] = []
  const handlers: Handlers<typeof api> = {
    calls: {
      double: ({ value }) => value * 2,
      fail: () => {
        throw new TernError({ code: 'disk-full', message: 'No room.', remedy: 'Make some.' })
      },
      lie: () => 'not a number' as unknown as number,
      never: (_params, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            aborted.push('never')
            reject(new TernError({ code: 'cancelled', message: 'Cancelled.' }))
          })
        }),
      bytes: ({ data }) => data.map(byte => byte + 1),
    },
    streams: {
      count: async ({ to }, emit) => {
        for (let value = 1; value <= to; value++) emit(value)
      },
      endless: (_params, emit, { signal }) =>
        new Promise(resolve => {
          const timer = setInterval(() => emit(1), 1)
          signal.addEventListener('abort', () => {
            aborted.push('endless')
            clearInterval(timer)
            emit(2)
            resolve()
          })
        }),
      lies: async (_params, emit) => emit('text' as unknown as number),
    },
  }
  const [near, far] = createTransportPair()
  const server = serve(api, far, handlers)
  return { client: createClient(api, near), server, near, aborted }
}

const codeOf = async (promise: Promise<unknown>) => {
  const error: unknown = await promise.then(
    () => 'no error',
    error => error,
  )
  return error instanceof TernError ? error.code : error
}

describe('calls', () => {
  it('return results, in whatever order they end', async () => {
    const { client } = connect()
    const slow = client.call('never', undefined)
    slow.catch(() => {})
    expect(await Promise.all([client.call('double', { value: 2 }), client.call('double', { value: 21 })])).toEqual([
      4, 42,
    ])
  })

  it('carry bytes', async () => {
    const { client } = connect()
    expect(await client.call('bytes', { data: Uint8Array.of(1, 2) })).toEqual(Uint8Array.of(2, 3))
  })

  it('carry errors as data, with remedy', async () => {
    const { client } = connect()
    const error: TernError = await client.call('fail', undefined).catch(error => error)
    expect(error).toBeInstanceOf(TernError)
    expect(error.data).toMatchObject({ code: 'disk-full', message: 'No room.', remedy: 'Make some.' })
  })

  it('refuse wrong parameters and wrong results', async () => {
    const { client } = connect()
    expect(await codeOf(client.call('double', { value: 'two' as unknown as number }))).toBe('protocol-violation')
    expect(await codeOf(client.call('lie', undefined))).toBe('protocol-violation')
  })

  it('refuse methods that do not exist, inherited names too', async () => {
    const { client } = connect()
    expect(await codeOf(client.call('missing' as 'fail', undefined))).toBe('protocol-violation')
    expect(await codeOf(client.call('constructor' as 'fail', undefined))).toBe('protocol-violation')
    expect(await codeOf(client.subscribe('toString' as 'endless', undefined, () => {}).ended)).toBe(
      'protocol-violation',
    )
  })

  it('are cancelled by a signal, also by one that has fired before', async () => {
    const { client, aborted } = connect()
    const controller = new AbortController()
    const call = client.call('never', undefined, { signal: controller.signal })
    await turn()
    controller.abort()
    expect(await codeOf(call)).toBe('cancelled')
    expect(await codeOf(client.call('never', undefined, { signal: controller.signal }))).toBe('cancelled')
    expect(aborted).toEqual(['never', 'never'])
  })
})

describe('streams', () => {
  it('deliver every event in order, then end', async () => {
    const { client } = connect()
    const events: number[] = []
    await client.subscribe('count', { to: 4 }, event => events.push(event)).ended
    expect(events).toEqual([1, 2, 3, 4])
  })

  it('end for both sides when cancelled, without another event', async () => {
    const { client, aborted } = connect()
    const events: number[] = []
    const stream = client.subscribe('endless', undefined, event => events.push(event))
    while (events.length === 0) await turn()
    stream.cancel()
    stream.cancel()
    await stream.ended
    const received = events.length
    await turn()
    expect(events.length).toBe(received)
    expect(events).not.toContain(2)
    expect(aborted).toEqual(['endless'])
  })

  it('fail on an event that the schema refuses, and on a listener that throws', async () => {
    const { client } = connect()
    expect(await codeOf(client.subscribe('lies', undefined, () => {}).ended)).toBe('protocol-violation')
    const stream = client.subscribe('endless', undefined, () => {
      throw new Error('listener')
    })
    await expect(stream.ended).rejects.toThrow('listener')
  })
})

describe('hostile messages', () => {
  const hostile: unknown[] = [
    null,
    undefined,
    42,
    'call',
    [],
    {},
    { kind: 'call' },
    { kind: 'call', id: -1, method: 'double', params: { value: 1 } },
    { kind: 'call', id: 1.5, method: 'double', params: { value: 1 } },
    { kind: 'call', id: 'x', method: 'double', params: { value: 1 } },
    { kind: 'call', id: 900, method: '__proto__', params: null },
    { kind: 'call', id: 901, method: { toString: 'double' } },
    { kind: 'subscribe', id: 902, method: 'double', params: { value: 1 } },
    { kind: 'cancel', id: 77 },
    { kind: 'result', id: 0, value: 'forged' },
    { kind: 'launch', id: 1 },
    JSON.parse('{"__proto__":{"polluted":true},"kind":"cancel","id":3}'),
  ]

  it('are ignored or answered with a failure by the server, which goes on', async () => {
    const { client, near } = connect()
    for (const message of hostile) near.send(message)
    expect(await client.call('double', { value: 4 })).toBe(8)
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  })

  it('are ignored by the client, which goes on', async () => {
    const [near, far] = createTransportPair()
    const client = createClient(api, near)
    far.onMessage(message => {
      const { id } = message as { id: number }
      for (const other of hostile.slice(0, 13)) far.send(other)
      far.send({ kind: 'failure', id, error: { code: 'no-such-code', message: 'x' } })
      far.send({ kind: 'result', id, value: 10 })
      far.send({ kind: 'result', id, value: 11 })
    })
    expect(await client.call('double', { value: 5 })).toBe(10)
  })

  it('cannot run one id twice at the same time', async () => {
    const { near, aborted } = connect()
    near.send({ kind: 'call', id: 5, method: 'never', params: undefined })
    near.send({ kind: 'call', id: 5, method: 'never', params: undefined })
    near.send({ kind: 'cancel', id: 5 })
    await turn()
    expect(aborted).toEqual(['never'])
  })
})

describe('the end of a connection', () => {
  it('fails what is in flight, and what comes later, with the given error', async () => {
    const { client } = connect()
    const lost = { code: 'engine-lost', message: 'It died.' } as const
    const call = client.call('never', undefined)
    const stream = client.subscribe('endless', undefined, () => {})
    client.close(lost)
    expect(await codeOf(call)).toBe('engine-lost')
    expect(await codeOf(stream.ended)).toBe('engine-lost')
    expect(await codeOf(client.call('double', { value: 1 }))).toBe('engine-lost')
    expect(await codeOf(client.subscribe('count', { to: 1 }, () => {}).ended)).toBe('engine-lost')
  })

  it('cancels what the server is doing', async () => {
    const { client, server, aborted } = connect()
    client.call('never', undefined).catch(() => {})
    client.subscribe('endless', undefined, () => {})
    await turn()
    server.close()
    expect(aborted.sort()).toEqual(['endless', 'never'])
  })

  it('lets a JSON transport leave out undefined', async () => {
    const [near, far] = createTransportPair()
    const json = (transport: Transport): Transport => ({
      send: message => transport.send(JSON.parse(JSON.stringify(message))),
      onMessage: transport.onMessage,
    })
    const quiet = { calls: { nothing: { params: v.undefined(), result: v.undefined() } }, streams: {} } as const
    serve(quiet, json(far), { calls: { nothing: () => {} }, streams: {} })
    expect(await createClient(quiet, json(near)).call('nothing', undefined)).toBeUndefined()
  })
})
