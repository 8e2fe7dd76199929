/** The local API over a fake engine: its forms, by OpenAI's own client, and everything that it refuses. */
import { request } from 'node:http'
import OpenAI from 'openai'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { engineApi } from '../../contract/engine-api.ts'
import { createClient, createTransportPair, serve } from '../../contract/rpc.ts'
import { createRandom, wholeBelow } from '../../engine/seeded-random.ts'
import { newId } from '../../main/ids.ts'
import { type ApiServer, startApiServer } from '../../main/services/api/api-server.ts'
import { systemTime } from '../../main/time.ts'
import { createFakeEngine, FAKE_COMMANDS, type FakeEngine } from '../fake-engine.ts'

const TOKEN = 'tern-of-the-test'
const ORIGIN = 'http://localhost:3000'

let engine: FakeEngine
let server: ApiServer
let client: OpenAI
let port: number

async function start(tokenMs = 0, replyWords = 6) {
  engine = createFakeEngine({ tokenMs, replyWords, loadMs: 0, onCrash() {} })
  const [near, far] = createTransportPair()
  serve(engineApi, far, engine.handlers)
  const engineClient = createClient(engineApi, near)
  await engineClient.subscribe('model.load', { path: '/models/fake.gguf', backend: 'auto' }, () => {}).ended
  const connection = { client: engineClient }
  server = await startApiServer({
    engine: { whenReady: async () => connection, modelName: () => 'Fake 1B' },
    time: systemTime,
    newId,
    port: 0,
    token: TOKEN,
    origins: [ORIGIN],
  })
  port = Number(new URL(server.url).port)
  client = new OpenAI({ baseURL: server.url, apiKey: TOKEN, maxRetries: 0 })
}

beforeEach(() => start())
afterEach(() => server.close())

/** As a program sends it that is no good client. */
function raw(
  method: string,
  path: string,
  body: string | Buffer | null,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: Record<string, unknown>; body: string }> {
  return new Promise((resolve, reject) => {
    const all = { Authorization: `Bearer ${TOKEN}`, 'Content-Type': 'application/json', ...headers }
    const sent = request({ host: '127.0.0.1', port, method, path, headers: all }, response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', piece => {
        text += piece
      })
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body: text }))
    })
    sent.on('error', reject)
    sent.end(body ?? undefined)
  })
}
const chat = (over: object = {}) => JSON.stringify({ messages: [{ role: 'user', content: 'Hi' }], ...over })

describe('by OpenAI’s client', () => {
  it('tells its model', async () => {
    const { data } = await client.models.list()
    expect(data).toMatchObject([{ id: 'Fake 1B', object: 'model', owned_by: 'tern' }])
    expect(await client.models.retrieve('Fake 1B')).toMatchObject({ id: 'Fake 1B' })
    await expect(client.models.retrieve('gpt-4')).rejects.toMatchObject({ status: 404, code: 'model_not_found' })
  })

  it('answers a chat', async () => {
    const answer = await client.chat.completions.create({
      model: 'any',
      messages: [
        { role: 'developer', content: 'Be short.' },
        { role: 'user', content: [{ type: 'text', text: 'Hello' }] },
      ],
    })
    expect(answer).toMatchObject({ object: 'chat.completion', model: 'Fake 1B' })
    expect(answer.choices).toMatchObject([
      {
        index: 0,
        finish_reason: 'stop',
        message: { role: 'assistant', content: expect.stringMatching(/^the tern flies/) },
      },
    ])
    expect(answer.usage).toMatchObject({ completion_tokens: 6, prompt_tokens: expect.any(Number) })
    expect(answer.usage!.total_tokens).toBe(answer.usage!.prompt_tokens + 6)
  })

  it('streams one, with its usage when asked', async () => {
    const stream = await client.chat.completions.create({
      model: 'any',
      messages: [{ role: 'user', content: 'Hello' }],
      stream: true,
      stream_options: { include_usage: true },
    })
    const chunks = []
    for await (const chunk of stream) chunks.push(chunk)
    expect(chunks[0].choices[0].delta).toEqual({ role: 'assistant', content: '' })
    const whole = await client.chat.completions.create({ model: 'x', messages: [{ role: 'user', content: 'Hello' }] })
    expect(chunks.map(chunk => chunk.choices[0]?.delta.content ?? '').join('')).toBe(whole.choices[0].message.content)
    expect(chunks.at(-2)!.choices[0]).toMatchObject({ delta: {}, finish_reason: 'stop' })
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 6 } })
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1)
  })

  it('completes text, with as few tokens as OpenAI when nothing is said', async () => {
    const answer = await client.completions.create({ model: 'x', prompt: 'The sea', max_tokens: 3 })
    expect(answer).toMatchObject({ object: 'text_completion', choices: [{ finish_reason: 'length' }] })
    expect(answer.usage!.completion_tokens).toBe(3)
    let text = ''
    const stream = await client.completions.create({ model: 'x', prompt: ['The sea'], max_tokens: 3, stream: true })
    for await (const chunk of stream) text += chunk.choices[0].text
    expect(text).toBe(answer.choices[0].text)
  })

  it('writes several choices from one reading', async () => {
    const answer = await client.chat.completions.create({
      model: 'x',
      messages: [{ role: 'user', content: 'Hi' }],
      n: 3,
    })
    expect(answer.choices.map(({ index }) => index)).toEqual([0, 1, 2])
    expect(answer.usage!.completion_tokens).toBe(18)
    expect(engine.reads.filter(({ read }) => read !== '')).toHaveLength(1)
    expect(engine.sessionCount).toBe(0)
  })

  it('answers Responses as far as text goes', async () => {
    const answer = await client.responses.create({ model: 'x', input: 'Hello', instructions: 'Be kind.' })
    expect(answer.output_text).toMatch(/^the tern flies/)
    expect(answer).toMatchObject({ status: 'completed', usage: { output_tokens: 6 } })
    let text = ''
    for await (const event of await client.responses.create({ model: 'x', input: 'Hello', stream: true })) {
      if (event.type === 'response.output_text.delta') text += event.delta
    }
    expect(text).toBe(answer.output_text)
  })

  it('goes on from a kept state, and says how much of the prompt it had read', async () => {
    const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Hello' }]
    const first = await client.chat.completions.create({ model: 'x', messages })
    expect(first.usage!.prompt_tokens_details!.cached_tokens).toBe(0)
    messages.push(
      { role: 'assistant', content: first.choices[0].message.content! },
      { role: 'user', content: 'And then?' },
    )
    const second = await client.chat.completions.create({ model: 'x', messages })
    expect(second.usage!.prompt_tokens_details!.cached_tokens).toBeGreaterThan(0)
    expect(second.usage!.prompt_tokens).toBeGreaterThan(second.usage!.prompt_tokens_details!.cached_tokens!)
    // Another conversation gets nothing of it.
    const other = await client.chat.completions.create({ model: 'x', messages: [{ role: 'user', content: 'Other' }] })
    expect(other.usage!.prompt_tokens_details!.cached_tokens).toBe(0)
  })

  it.each([
    ['tools', { tools: [{ type: 'function', function: { name: 'f' } }] }],
    ['response_format', { response_format: { type: 'json_object' } }],
    ['logprobs', { logprobs: true }],
  ])('refuses %s by name, which it does not serve', async (param, over) => {
    const asking = client.chat.completions.create({
      model: 'x',
      messages: [{ role: 'user', content: 'Hi' }],
      ...over,
    } as OpenAI.ChatCompletionCreateParamsNonStreaming)
    await expect(asking).rejects.toMatchObject({ status: 400, code: 'unsupported_parameter', param })
  })

  it('tells an engine’s error, whole and in a stream', async () => {
    const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: FAKE_COMMANDS.fail }]
    await expect(client.chat.completions.create({ model: 'x', messages })).rejects.toMatchObject({ status: 500 })
    const stream = client.chat.completions.create({ model: 'x', messages, stream: true })
    await expect(
      stream.then(async chunks => {
        for await (const _ of chunks) {
          // To its end.
        }
      }),
    ).rejects.toThrow()
  })

  it('a client that goes away stops its work', async () => {
    await server.close()
    await start(5, 10_000)
    const controller = new AbortController()
    const stream = await client.chat.completions.create(
      { model: 'x', messages: [{ role: 'user', content: 'Go on' }], stream: true, max_tokens: 5_000 },
      { signal: controller.signal },
    )
    for await (const chunk of stream) if (chunk.choices[0].delta.content) break
    controller.abort()
    for (let n = 0; n < 200 && engine.sessionCount > 0; n++) await new Promise(resolve => setTimeout(resolve, 5))
    expect(engine.sessionCount).toBe(0)
  })

  it('serves many at once, each in its turn', async () => {
    const answers = await Promise.all(
      Array.from({ length: 64 }, (_, n) =>
        client.chat.completions.create({ model: 'x', messages: [{ role: 'user', content: `Question ${n}` }] }),
      ),
    )
    expect(answers.every(({ choices }) => choices[0].finish_reason === 'stop')).toBe(true)
    const metrics = await raw('GET', '/metrics', null)
    expect(metrics.body).toContain('tern_requests_total 64')
    expect(metrics.body).toContain('tern_requests_running 0')
    expect(metrics.body).toContain(`tern_completion_tokens_total ${64 * 6}`)
  })
})

describe('who may ask', () => {
  it.each([
    ['no token', { Authorization: '' }, 401, 'invalid_api_key'],
    ['another token', { Authorization: 'Bearer tern-of-another' }, 401, 'invalid_api_key'],
    ['another way to send it', { Authorization: `Basic ${TOKEN}` }, 401, 'invalid_api_key'],
    ['a name that points here', { Host: 'evil.example' }, 403, 'host_not_allowed'],
    ['the page of another site', { Origin: 'https://evil.example' }, 403, 'origin_not_allowed'],
    ['a page without an origin', { Origin: 'null' }, 403, 'origin_not_allowed'],
  ])('%s is refused', async (_, headers, status, code) => {
    const answer = await raw('POST', '/v1/chat/completions', chat(), headers)
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([status, code])
    expect(answer.headers['access-control-allow-origin']).toBeUndefined()
  })

  it('a page that was allowed may, and is told so before it asks', async () => {
    const asked = await raw('OPTIONS', '/v1/chat/completions', null, { Origin: ORIGIN, Authorization: '' })
    expect(asked.status).toBe(204)
    expect(asked.headers['access-control-allow-origin']).toBe(ORIGIN)
    expect((await raw('POST', '/v1/chat/completions', chat(), { Origin: ORIGIN })).status).toBe(200)
    expect((await raw('OPTIONS', '/v1/models', null, { Origin: 'https://evil.example' })).status).toBe(403)
  })
})

describe('what cannot be answered', () => {
  it.each<[string, string, string, string | Buffer | null, Record<string, string>, number, string]>([
    ['an unknown path', 'GET', '/v1/nothing', null, {}, 404, 'unknown_url'],
    ['a path outside', 'GET', '/../etc/passwd', null, {}, 404, 'unknown_url'],
    ['a method that is none', 'DELETE', '/v1/models', null, {}, 405, 'method_not_allowed'],
    ['embeddings', 'POST', '/v1/embeddings', '{"input":"x"}', {}, 400, 'unsupported_endpoint'],
    ['no JSON', 'POST', '/v1/chat/completions', '{', {}, 400, 'invalid_json'],
    ['no UTF-8', 'POST', '/v1/chat/completions', Buffer.from([0xff, 0xfe]), {}, 400, 'invalid_json'],
    [
      'another type',
      'POST',
      '/v1/chat/completions',
      chat(),
      { 'Content-Type': 'text/plain' },
      415,
      'unsupported_media_type',
    ],
    ['too much', 'POST', '/v1/chat/completions', ' '.repeat(5 * 2 ** 20), {}, 413, 'request_too_large'],
    ['no messages', 'POST', '/v1/chat/completions', '{}', {}, 400, 'invalid_value'],
    ['an empty list', 'POST', '/v1/chat/completions', chat({ messages: [] }), {}, 400, 'invalid_value'],
    [
      'an unknown role',
      'POST',
      '/v1/chat/completions',
      chat({ messages: [{ role: 'x', content: '' }] }),
      {},
      400,
      'invalid_value',
    ],
    [
      'a picture',
      'POST',
      '/v1/chat/completions',
      chat({ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }),
      {},
      400,
      'unsupported_content',
    ],
    ['a temperature of 3', 'POST', '/v1/chat/completions', chat({ temperature: 3 }), {}, 400, 'invalid_value'],
    ['a text for a number', 'POST', '/v1/chat/completions', chat({ max_tokens: '5' }), {}, 400, 'invalid_value'],
    ['99 choices', 'POST', '/v1/chat/completions', chat({ n: 99 }), {}, 400, 'invalid_value'],
    ['an empty stop', 'POST', '/v1/chat/completions', chat({ stop: '' }), {}, 400, 'invalid_value'],
    ['two prompts', 'POST', '/v1/completions', '{"prompt":["a","b"]}', {}, 400, 'invalid_value'],
  ])('%s is refused in the form of the API', async (_, method, path, body, headers, status, code) => {
    const answer = await raw(method, path, body, headers)
    expect(answer.status).toBe(status)
    expect(JSON.parse(answer.body)).toEqual({
      error: {
        message: expect.any(String),
        type: 'invalid_request_error',
        param: expect.toBeOneOf([expect.any(String), null]),
        code,
      },
    })
  })

  it('names the field that is wrong', async () => {
    const answer = await raw('POST', '/v1/chat/completions', chat({ messages: [{ role: 'user', content: 7 }] }))
    expect(JSON.parse(answer.body).error.param).toBe('messages.0.content')
  })

  it('2,000 bodies with random damage: each an answer of 2xx or 4xx', async () => {
    const random = createRandom(0xa91)
    const good = chat({ temperature: 0.5, stop: ['a'], n: 2, logit_bias: { '5': -1 }, max_tokens: 3 })
    const statuses = new Map<number, number>()
    for (let n = 0; n < 2_000; n++) {
      const bytes = Buffer.from(good)
      for (let damage = 0; damage <= wholeBelow(random, 4); damage++) {
        bytes[wholeBelow(random, bytes.length)] = wholeBelow(random, 256)
      }
      const { status, body } = await raw(
        'POST',
        '/v1/chat/completions',
        bytes.subarray(0, 1 + wholeBelow(random, bytes.length)),
      )
      expect(() => JSON.parse(body)).not.toThrow()
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
    expect([...statuses.keys()].every(status => status === 200 || (status >= 400 && status < 500))).toBe(true)
    expect(statuses.get(400)).toBeGreaterThan(500)
  })
})
