/**
 * The local API: OpenAI's routes on 127.0.0.1, over the engine's contract. Requests are written in one batch, as many at once
 * as MAX_RUNNING; more wait their turn, and beyond that are told to come later. A client that goes away stops its work.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as v from 'valibot'
import { TernError, toErrorData } from '../../../contract/errors.ts'
import type { NewId } from '../../ids.ts'
import type { Time } from '../../time.ts'
import { type AnswerForm, type AnswerHead, chatForm, completionForm, responseBody } from './answers.ts'
import { ApiError, apiErrorOf } from './api-error.ts'
import { carryOut } from './carry-out.ts'
import { checkRequest, corsHeaders, type GateOptions } from './gate.ts'
import { type ApiMetrics, createApiMetrics } from './metrics.ts'
import { type Plan, planChat, planCompletion, planResponse } from './plan.ts'
import type { ApiEngineAccess } from './ports.ts'
import { chatRequestSchema, completionRequestSchema, responseRequestSchema } from './requests.ts'
import { SessionPool } from './session-pool.ts'
import { Turns } from './turns.ts'

const ADDRESS = '127.0.0.1'
const MAX_BODY_BYTES = 4 * 2 ** 20
const MAX_CONNECTIONS = 256

export interface ApiServerOptions {
  engine: ApiEngineAccess
  time: Time
  newId: NewId
  /** 0: any free one. */
  port: number
  token: string | null
  origins: readonly string[]
}

export interface ApiServer {
  readonly url: string
  close(): Promise<void>
}

/** Throws `invalid-argument` when the port cannot be had. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const server = createServer({ maxHeaderSize: 16 * 1024, requestTimeout: 60_000, headersTimeout: 10_000 })
  server.maxConnections = MAX_CONNECTIONS
  await listen(server, options.port)
  const { port } = server.address() as AddressInfo
  const api = new Api(options, { port, token: options.token, origins: options.origins })
  server.on('request', (request, response) => void api.answer(request, response))
  return {
    url: `http://${ADDRESS}:${port}/v1`,
    close() {
      server.closeAllConnections()
      return new Promise(resolve => server.close(() => resolve()))
    },
  }
}

class Api {
  private readonly options: ApiServerOptions
  private readonly gate: GateOptions
  private readonly pool = new SessionPool()
  private readonly turns = new Turns()
  private readonly metrics: ApiMetrics = createApiMetrics()

  constructor(options: ApiServerOptions, gate: GateOptions) {
    this.options = options
    this.gate = gate
  }

  /** Never rejects: whatever goes wrong is an answer, or a connection that is closed. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { host, origin, authorization } = request.headers
    const cors = corsHeaders(origin, this.gate)
    for (const [name, value] of Object.entries(cors)) response.setHeader(name, value)
    try {
      if (request.method === 'OPTIONS') {
        // A browser asks without the token; it learns only whether its page may ask.
        checkRequest({ method: request.method, host, origin, authorization: undefined }, { ...this.gate, token: null })
        response.writeHead(204).end()
        return
      }
      checkRequest({ method: request.method, host, origin, authorization }, this.gate)
      await this.route(request, response)
    } catch (thrown) {
      const error = thrown instanceof ApiError ? thrown : apiErrorOf(toErrorData(thrown))
      this.metrics.refused(error.status)
      if (response.headersSent) return void response.end(`data: ${JSON.stringify(error.body)}\n\n`)
      if (error.status === 401) response.setHeader('WWW-Authenticate', 'Bearer')
      if (error.status === 429) response.setHeader('Retry-After', '1')
      // What was not read of the body would be taken for the next request.
      if (!request.complete) response.setHeader('Connection', 'close')
      sendJson(response, error.status, error.body)
    }
  }

  private async route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '').split('?', 1)[0]
    const route = `${request.method} ${path}`
    switch (route) {
      case 'GET /v1/models':
        return sendJson(response, 200, { object: 'list', data: [this.modelBody()] })
      case 'POST /v1/chat/completions':
        return this.write(planChat(await bodyOf(request, chatRequestSchema)), chatForm, 'chatcmpl', response)
      case 'POST /v1/completions':
        return this.write(
          planCompletion(await bodyOf(request, completionRequestSchema)),
          completionForm,
          'cmpl',
          response,
        )
      case 'POST /v1/responses':
        return this.respond(planResponse(await bodyOf(request, responseRequestSchema)), response)
      case 'POST /v1/embeddings':
        throw new ApiError(400, 'unsupported_endpoint', 'Tern’s models write text and make no embeddings.')
      case 'GET /metrics': {
        response.writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4' })
        return void response.end(this.metrics.text(this.turns))
      }
    }
    if (path === `/v1/models/${encodeURIComponent(this.modelId())}` && request.method === 'GET') {
      return sendJson(response, 200, this.modelBody())
    }
    if (path.startsWith('/v1/models/')) throw new ApiError(404, 'model_not_found', 'There is no such model.', 'model')
    if (ROUTES.has(path)) throw new ApiError(405, 'method_not_allowed', `${path} does not take ${request.method}.`)
    throw new ApiError(404, 'unknown_url', `Unknown request URL: ${request.method} ${path}. See docs/api.md.`)
  }

  private modelId(): string {
    return this.options.engine.modelName() ?? 'tern'
  }

  private modelBody() {
    return { id: this.modelId(), object: 'model', created: 0, owned_by: 'tern' }
  }

  private head(prefix: string): AnswerHead {
    return {
      id: `${prefix}-${this.options.newId()}`,
      createdAtS: Math.floor(this.options.time.wallMs() / 1_000),
      model: this.modelId(),
    }
  }

  private async write(plan: Plan, form: AnswerForm, prefix: string, response: ServerResponse): Promise<void> {
    const head = this.head(prefix)
    if (!plan.isStream) {
      const { choices, usage } = await this.run(plan, response, () => {})
      return sendJson(response, 200, form.whole(head, choices, usage))
    }
    const open = () => {
      if (response.headersSent) return
      response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' })
      for (const index of plan.samplings.keys()) sendEvent(response, form.opening(head, index))
    }
    const { choices, usage } = await this.run(plan, response, (index, text) => {
      open()
      sendEvent(response, form.text(head, index, text))
    })
    open()
    for (const [index, { finishReason }] of choices.entries())
      sendEvent(response, form.closing(head, index, finishReason))
    if (plan.withUsage) sendEvent(response, form.usage(head, usage))
    response.end('data: [DONE]\n\n')
  }

  /** Responses in one piece; of their streams, the events that carry text. */
  private async respond(plan: Plan, response: ServerResponse): Promise<void> {
    const head = this.head('chatcmpl')
    if (!plan.isStream) {
      const { choices, usage } = await this.run(plan, response, () => {})
      return sendJson(response, 200, responseBody(head, choices[0], usage))
    }
    let sequence = 0
    const send = (type: string, rest: object) => {
      response.write(`event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequence++, ...rest })}\n\n`)
    }
    const id = head.id.replace('chatcmpl', 'msg')
    const at = { item_id: id, output_index: 0, content_index: 0 }
    const { choices, usage } = await this.run(plan, response, (_, delta) => {
      if (!response.headersSent) {
        response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' })
        send('response.created', {
          response: { id: head.id, object: 'response', status: 'in_progress', model: head.model },
        })
      }
      send('response.output_text.delta', { ...at, delta })
    })
    if (!response.headersSent) response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    send('response.output_text.done', { ...at, text: choices[0].text })
    send('response.completed', { response: responseBody(head, choices[0], usage) })
    response.end()
  }

  /** In its turn. The work stops within a token when the client goes away. */
  private async run(plan: Plan, response: ServerResponse, onText: (index: number, text: string) => void) {
    const gone = new AbortController()
    response.once('close', () => {
      if (!response.writableEnded) gone.abort()
    })
    const done = await this.turns.enter(gone.signal)
    const startedAtMs = this.options.time.nowMs()
    let firstAtMs: number | null = null
    try {
      const engine = await this.options.engine.whenReady(gone.signal)
      const result = await carryOut(plan, engine, this.pool, gone.signal, (index, text) => {
        firstAtMs ??= this.options.time.nowMs()
        onText(index, text)
      })
      this.metrics.served(result.usage, (firstAtMs ?? this.options.time.nowMs()) - startedAtMs)
      return result
    } finally {
      done()
    }
  }
}

const ROUTES = new Set([
  '/v1/models',
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/responses',
  '/v1/embeddings',
  '/metrics',
])

/** Throws an ApiError that names the first field that is wrong. */
async function bodyOf<const S extends v.GenericSchema>(request: IncomingMessage, schema: S): Promise<v.InferOutput<S>> {
  const type = request.headers['content-type']?.split(';', 1)[0].trim().toLowerCase()
  if (type !== 'application/json') {
    throw new ApiError(415, 'unsupported_media_type', 'Send "Content-Type: application/json".')
  }
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.byteLength
    if (bytes > MAX_BODY_BYTES) {
      throw new ApiError(413, 'request_too_large', `A request holds at most ${MAX_BODY_BYTES / 2 ** 20} MiB.`)
    }
    pieces.push(piece)
  }
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(pieces)))
  } catch {
    throw new ApiError(400, 'invalid_json', 'The body is no JSON in UTF-8.')
  }
  const parsed = v.safeParse(schema, json)
  if (parsed.success) return parsed.output
  const [issue] = parsed.issues
  const param = v.getDotPath(issue)
  throw new ApiError(400, 'invalid_value', param === null ? issue.message : `${param}: ${issue.message}`, param)
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  if (response.destroyed) return
  const bytes = Buffer.from(JSON.stringify(body))
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': bytes.byteLength }).end(bytes)
}

function sendEvent(response: ServerResponse, body: unknown): void {
  if (body !== null && !response.destroyed) response.write(`data: ${JSON.stringify(body)}\n\n`)
}

function listen(server: ReturnType<typeof createServer>, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new TernError({
          code: 'invalid-argument',
          message: `The local API cannot listen on port ${port}.`,
          actual: error.code ?? error.message,
          remedy: 'Choose another port.',
        }),
      ),
    )
    server.listen(port, ADDRESS, resolve)
  })
}
