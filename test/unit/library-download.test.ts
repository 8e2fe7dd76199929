/** Downloads from a server of this test's own that stalls, stops, lies, redirects and refuses: whole and right, or an error. */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type DownloadPlace, downloadFile, partPath } from '../../main/services/library/download.ts'
import { downloadModel, repositoryName } from '../../main/services/library/hub.ts'
import { systemTime } from '../../main/time.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

const CONTENT = randomBytes(200_000)
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const gitSha1 = (bytes: Uint8Array) =>
  createHash('sha1').update(`blob ${bytes.byteLength}\0`).update(bytes).digest('hex')

let folder: string
let path: string
let server: Server
let url: string
/** One for each request, the last one for all that follow. */
let answers: Answer[]
let ranges: (string | undefined)[]

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tern-download-'))
  path = join(folder, 'deep', 'file.bin')
  ranges = []
  onArrival = null
  answers = [whole()]
  server = createServer((request, response) => {
    ranges.push(request.headers.range)
    const answer = answers.length > 1 ? answers.shift()! : answers[0]
    answer(request, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(async () => {
  server.closeAllConnections()
  await new Promise(resolve => server.close(resolve))
  rmSync(folder, { recursive: true, force: true })
})

const startOf = ({ headers }: IncomingMessage) => Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0)

/** As an honest server does it, ranges included. */
const whole =
  (content: Uint8Array = CONTENT): Answer =>
  (request, response) => {
    const start = startOf(request)
    const range = start > 0 ? { 'content-range': `bytes ${start}-${content.byteLength - 1}/${content.byteLength}` } : {}
    response.writeHead(start > 0 ? 206 : 200, { ...range, 'content-length': content.byteLength - start })
    response.end(content.subarray(start))
  }
/** What the server does once bytes have arrived here. */
let onArrival: (() => void) | null = null
/** Some bytes, and when they have come `after`. */
const some =
  (bytes: number, after: (response: ServerResponse) => void, content: Uint8Array = CONTENT): Answer =>
  (request, response) => {
    const start = startOf(request)
    const range = start > 0 ? { 'content-range': `bytes ${start}-${content.byteLength - 1}/${content.byteLength}` } : {}
    response.writeHead(start > 0 ? 206 : 200, { ...range, 'content-length': content.byteLength - start })
    onArrival = () => after(response)
    response.write(content.subarray(start, start + bytes))
  }
const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (_, response) =>
    void response.writeHead(code, headers).end()
const cut = (response: ServerResponse) => void response.socket?.destroy()
const halfClose = (response: ServerResponse) => void response.socket?.end()
const stall = () => {}

/** Long enough for a slow machine; what waits for it has a short one. */
const place: DownloadPlace = { fetch, time: systemTime, stallMs: 10_000, backoffMs: 1 }
const impatient: DownloadPlace = { ...place, stallMs: 300 }
const download = (
  signal = new AbortController().signal,
  onProgress: (bytes: number) => void = () => {},
  on: DownloadPlace = place,
) =>
  downloadFile(
    { url: `${url}/file.bin`, bytes: CONTENT.byteLength, hash: { kind: 'sha256', hex: sha256(CONTENT) } },
    path,
    on,
    {
      headers: {},
      signal,
      onProgress(bytes) {
        onProgress(bytes)
        if (bytes === 0) return
        onArrival?.()
        onArrival = null
      },
    },
  )
const expectWhole = () => {
  expect(readFileSync(path).equals(CONTENT)).toBe(true)
  expect(existsSync(partPath(path))).toBe(false)
}

describe('a file arrives whole', () => {
  it('from an honest server, in one request', async () => {
    const seen: number[] = []
    await download(undefined, bytes => seen.push(bytes))
    expectWhole()
    expect(ranges).toEqual([undefined])
    expect(seen.at(-1)).toBe(CONTENT.byteLength)
  })

  it.each<[string, (response: ServerResponse) => void]>([
    ['is cut off', cut],
    ['is half closed', halfClose],
    ['stalls with its connection open', stall],
  ])('where the connection %s, from where it was', async (_, after) => {
    answers = [some(50_000, after), whole()]
    await download(undefined, undefined, after === stall ? impatient : place)
    expectWhole()
    expect(ranges[1]).toMatch(/^bytes=[1-9]/)
  })

  it.each([429, 503, 500])('after an answer of %d', async code => {
    answers = [status(code, { 'retry-after': '0' }), whole()]
    await download()
    expectWhole()
  })

  it('where the second range is refused once with 403', async () => {
    answers = [some(50_000, cut), status(403), whole()]
    await download()
    expectWhole()
  })

  it('where the server knows no ranges', async () => {
    answers = [
      some(50_000, cut),
      (_, response) => void response.writeHead(200, { 'content-length': CONTENT.byteLength }).end(CONTENT),
    ]
    await download()
    expectWhole()
  })

  it('where the file changed between two ranges: once more from the beginning', async () => {
    answers = [some(50_000, cut, randomBytes(CONTENT.byteLength)), whole()]
    await download()
    expectWhole()
    expect(ranges.at(-1)).toBeUndefined()
  })

  it('in a later call, from what an earlier one left', async () => {
    const controller = new AbortController()
    answers = [some(50_000, stall)]
    await expect(download(controller.signal, bytes => bytes > 0 && controller.abort())).rejects.toMatchObject({
      data: { code: 'cancelled' },
    })
    expect(existsSync(path)).toBe(false)
    answers = [whole()]
    await download()
    expectWhole()
    expect(ranges[1]).toMatch(/^bytes=[1-9]/)
  })

  it('after a redirect; the token stays at the first host', async () => {
    const tokens: (string | undefined)[] = []
    const elsewhere = createServer((request, response) => {
      tokens.push(request.headers.authorization)
      whole()(request, response)
    })
    await new Promise<void>(resolve => elsewhere.listen(0, '127.0.0.1', resolve))
    try {
      const target = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/signed`
      answers = [
        (request, response) => {
          tokens.push(request.headers.authorization)
          response.writeHead(302, { location: target }).end()
        },
      ]
      const file = { url: `${url}/file.bin`, bytes: CONTENT.byteLength, hash: { kind: 'sha256', hex: sha256(CONTENT) } }
      await downloadFile(file as Parameters<typeof downloadFile>[0], path, place, {
        headers: { authorization: 'Bearer secret' },
        signal: new AbortController().signal,
        onProgress() {},
      })
      expectWhole()
      expect(tokens).toEqual(['Bearer secret', undefined])
    } finally {
      elsewhere.closeAllConnections()
      elsewhere.close()
    }
  })
})

describe('nothing takes the name', () => {
  it.each<[string, () => Answer, string]>([
    ['401', () => status(401), 'status 401'],
    ['403', () => status(403), 'status 403'],
    ['404', () => status(404), 'status 404'],
    ['503 for ever', () => status(503), '0 bytes after 5 attempts'],
    ['a connection that is always cut', () => (_, response) => cut(response), 'after 5 attempts'],
    ['other content, each time', () => whole(randomBytes(CONTENT.byteLength)), 'other content, twice'],
    ['more than the file has', () => whole(Buffer.concat([CONTENT, CONTENT])), 'more'],
    [
      'a range that was not asked for',
      () => (_, response) => void response.writeHead(206, { 'content-range': 'bytes 7-9/10' }).end('abc'),
      'bytes 7-9/10',
    ],
  ])('after %s', async (_, answer, says) => {
    answers = [answer()]
    await expect(download()).rejects.toMatchObject({
      data: { code: 'download-failed', actual: expect.stringContaining(says) },
    })
    expect(existsSync(path)).toBe(false)
  })
})

describe('a model of the hub', () => {
  const SHA = 'a'.repeat(40)
  const config = (kind: string) => Buffer.from(JSON.stringify({ model_type: kind }))
  /** Files of a repository, weights in large-file storage. */
  const repository =
    (files: Record<string, Uint8Array>): Answer =>
    (request, response) => {
      const asked = request.url ?? ''
      const json = (value: unknown) => void response.writeHead(200).end(JSON.stringify(value))
      if (asked === '/api/models/a/b/revision/main') return json({ sha: SHA, more: 1 })
      if (asked === `/api/models/a/b/tree/${SHA}`) {
        return json(
          Object.entries(files).map(([name, bytes]) => ({
            type: 'file',
            path: name,
            size: bytes.byteLength,
            oid: gitSha1(bytes),
            ...(name.endsWith('.safetensors') && { lfs: { oid: sha256(bytes), size: bytes.byteLength } }),
          })),
        )
      }
      const bytes = files[asked.replace(`/a/b/resolve/${SHA}/`, '')]
      if (bytes === undefined) return status(404)(request, response)
      whole(bytes)(request, response)
    }
  const get = (on: DownloadPlace = place) =>
    downloadModel(
      'a/b',
      join(folder, 'model'),
      { ...on, hubUrl: url, token: null },
      {
        signal: new AbortController().signal,
        onProgress() {},
      },
    )

  it('is fetched without what Tern has no use for, and not twice', async () => {
    const files = {
      'config.json': config('hgrn_bit'),
      'model.safetensors': CONTENT,
      'tokenizer.json': Buffer.alloc(0),
      'modeling.py': Buffer.from('evil'),
      '../../escape.safetensors': CONTENT,
      'pytorch_model.bin': CONTENT,
      'adapter.safetensors': CONTENT,
    }
    answers = [repository(files)]
    await get()
    expect(readFileSync(join(folder, 'model', 'model.safetensors')).equals(CONTENT)).toBe(true)
    // Files without a byte are legal.
    expect(readFileSync(join(folder, 'model', 'tokenizer.json'))).toHaveLength(0)
    for (const name of ['modeling.py', 'pytorch_model.bin', 'adapter.safetensors', '../../escape.safetensors']) {
      expect(existsSync(join(folder, 'model', name)), name).toBe(false)
    }
    const requests = ranges.length
    await get()
    expect(ranges.length - requests).toBe(2)
  })

  it('of another kind is told by its configuration, before its weights', async () => {
    answers = [repository({ 'model.safetensors': CONTENT, 'config.json': config('llama') })]
    await expect(get()).rejects.toMatchObject({ data: { code: 'config-unsupported', actual: '"llama"' } })
    expect(existsSync(join(folder, 'model', 'model.safetensors'))).toBe(false)
  })

  it('without weights is none', async () => {
    answers = [repository({ 'config.json': config('hgrn_bit') })]
    await expect(get()).rejects.toMatchObject({ data: { code: 'config-unsupported', actual: 'config.json' } })
  })

  it.each([
    ['no JSON', (_: IncomingMessage, response: ServerResponse) => void response.end('<html>')],
    ['another form', (_: IncomingMessage, response: ServerResponse) => void response.end('{"sha": "../../x"}')],
    ['nothing', () => {}],
    ['404', status(404)],
  ])('whose list is %s is an error', async (_, answer) => {
    answers = [answer]
    await expect(get(impatient)).rejects.toMatchObject({ data: { code: 'download-failed' } })
  })

  it('is named by id or link', () => {
    expect(repositoryName('ridger/MMfreeLM-370M')).toBe('ridger/MMfreeLM-370M')
    expect(repositoryName('https://hub.example/ridger/MMfreeLM-370M/tree/main')).toBe('ridger/MMfreeLM-370M')
    for (const wrong of ['', 'a', 'a/b/c', '../b', 'a/..', 'a/b?x', 'a b/c']) {
      expect(() => repositoryName(wrong), wrong).toThrow('names no repository')
    }
  })
})

it('a part that is longer than the file is begun anew', async () => {
  mkdirSync(join(folder, 'deep'))
  writeFileSync(partPath(path), Buffer.concat([CONTENT, CONTENT]))
  await download()
  expectWhole()
})
