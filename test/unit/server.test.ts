/** The local server: what it serves, and everything that it must refuse. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { connect as tcpConnect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { judgeRequest, sameSecret } from '../../main/browser-shell/request-guard.ts'
import { startWindowServer, type WindowServer } from '../../main/browser-shell/server.ts'
import { MAX_MESSAGE_BYTES } from '../../main/browser-shell/websocket-transport.ts'
import { resolveWindowFile, securityHeaders } from '../../main/host/window-files.ts'

let folder: string
let server: WindowServer
let origin: string
let token: string
const opened: unknown[] = []
const received: unknown[] = []
let closed = 0
let flood: ((message: unknown) => void) | null = null

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tern-server-'))
  writeFileSync(join(folder, 'secret.html'), 'secret')
  const root = join(folder, 'renderer')
  mkdirSync(join(root, 'assets'), { recursive: true })
  writeFileSync(join(root, 'index.html'), '<!doctype html><title>Tern</title>')
  writeFileSync(join(root, 'assets', 'index-a1.js'), 'export {}')
  writeFileSync(join(root, 'notes.txt'), 'no such type')
  server = await startWindowServer({
    rendererDirectory: root,
    connect(transport) {
      opened.push(transport)
      flood = message => transport.send(message)
      transport.onMessage(message => {
        received.push(message)
        transport.send({ echo: message })
      })
      return { close: () => void closed++ }
    },
  })
  origin = `http://127.0.0.1:${server.port}`
  token = new URL(server.url).pathname.split('/')[1]!
})
afterAll(async () => {
  await server.close()
  rmSync(folder, { recursive: true, force: true })
})

interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
}
/** Sends exactly this path; fetch would normalise it. */
function get(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port: server.port, path, method, headers }, response => {
      let body = ''
      response.on('data', chunk => (body += chunk))
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body }))
    })
    request.on('error', reject)
    request.end()
  })
}

/** 'open', or the HTTP status of the refusal. */
function upgrade(path: string, options: WebSocket.ClientOptions = { origin }): Promise<number | 'open'> {
  return new Promise(resolve => {
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}${path}`, options)
    socket.on('open', () => {
      resolve('open')
      socket.close()
    })
    socket.on('unexpected-response', (_request, response) => resolve(response.statusCode!))
    socket.on('error', () => {})
  })
}

const openSocket = () =>
  new Promise<WebSocket>((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/${token}/rpc`, { origin })
    socket.on('open', () => resolve(socket))
    socket.on('error', reject)
  })
const closeCode = (socket: WebSocket) =>
  new Promise<number>(resolve => {
    socket.on('error', () => {})
    socket.on('close', code => resolve(code))
  })

describe('what it serves', () => {
  it('the window below the token, with every protection', async () => {
    const { status, headers, body } = await get(`/${token}/`)
    expect(status).toBe(200)
    expect(body).toContain('<title>Tern</title>')
    expect(headers['content-type']).toBe('text/html; charset=utf-8')
    const policy = headers['content-security-policy'] as string
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain("script-src 'self';")
    expect(policy).toContain(`connect-src 'self' ws://127.0.0.1:${server.port} ws://localhost:${server.port};`)
    expect(policy).not.toContain('unsafe')
    expect(policy).not.toContain('*')
    expect(headers).toMatchObject({
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
      'cross-origin-resource-policy': 'same-origin',
      'cache-control': 'no-store',
    })
    expect(headers['permissions-policy']).toContain('camera=()')
    expect(headers['access-control-allow-origin']).toBeUndefined()
  })

  it('assets, HEAD, and the name localhost', async () => {
    expect((await get(`/${token}/assets/index-a1.js`)).headers['content-type']).toContain('javascript')
    expect(await get(`/${token}/`, {}, 'HEAD')).toMatchObject({ status: 200, body: '' })
    const host = `localhost:${server.port}`
    expect((await get(`/${token}/`, { host, origin: `http://${host}` })).status).toBe(200)
  })

  it('an address that lost its last slash', async () => {
    const { status, headers } = await get(`/${token}`)
    expect({ status, location: headers.location }).toEqual({ status: 302, location: `/${token}/` })
  })

  it('messages both ways over one WebSocket', async () => {
    const socket = await openSocket()
    const answer = new Promise(resolve => socket.on('message', data => resolve(JSON.parse(String(data)))))
    socket.send(JSON.stringify({ kind: 'call', id: 1 }))
    expect(await answer).toEqual({ echo: { kind: 'call', id: 1 } })
    const before = closed
    socket.close()
    await expect.poll(() => closed).toBe(before + 1)
  })

  it('a launch address once, then never again', async () => {
    const launch = new URL(server.createLaunchUrl()).pathname
    expect(launch).not.toContain(token)
    const first = await get(launch)
    expect(first.status).toBe(302)
    expect(first.headers.location).toBe(`/${token}/`)
    expect((await get(launch)).status).toBe(404)
  })
})

describe('what it refuses', () => {
  it('everything without the token, without a detail', async () => {
    const wrong = token.replace(/^./, first => (first === 'A' ? 'B' : 'A'))
    for (const path of [
      '/',
      '/index.html',
      `/${wrong}/`,
      `/${token.slice(0, -1)}/`,
      `/${token}x/`,
      `//${token}/`,
      '/favicon.ico',
    ]) {
      expect(await get(path), path).toMatchObject({ status: 404, body: '' })
    }
  })

  it('hosts that are not ours: DNS rebinding', async () => {
    for (const host of [
      'evil.example',
      `evil.example:${server.port}`,
      '127.0.0.1',
      `127.0.0.1:${server.port + 1}`,
      `[::1]:${server.port}`,
    ]) {
      expect((await get(`/${token}/`, { host })).status, host).toBe(403)
    }
  })

  it('origins that are not ours', async () => {
    for (const foreign of [
      'https://evil.example',
      'null',
      `https://127.0.0.1:${server.port}`,
      `http://localhost:${server.port}`,
      'http://127.0.0.1',
    ]) {
      expect((await get(`/${token}/`, { origin: foreign })).status, foreign).toBe(403)
    }
  })

  it('methods other than GET and HEAD', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE']) {
      expect((await get(`/${token}/`, {}, method)).status, method).toBe(405)
    }
  })

  it('paths that leave the folder, in any spelling, and types that the window never needs', async () => {
    const paths = [
      '../secret.html',
      '..%2fsecret.html',
      '%2e%2e/secret.html',
      'assets/../../secret.html',
      'assets/..\\..\\secret.html',
      './index.html',
      'assets//index-a1.js',
      'assets/',
      'assets',
      '/etc/passwd',
      'index.html%00.js',
      'index.html/',
      '.hidden.html',
      'notes.txt',
      'C:\\secret.html',
      'secret.html',
    ]
    for (const path of paths) {
      expect(await get(`/${token}/${path}`), path).toMatchObject({ status: 404, body: '' })
    }
  })

  it('WebSockets without token, elsewhere, or from another origin', async () => {
    expect(await upgrade('/rpc')).toBe(404)
    expect(await upgrade('/wrong/rpc')).toBe(404)
    expect(await upgrade(`/${token}/`)).toBe(404)
    expect(await upgrade(`/${token}/other`)).toBe(404)
    expect(await upgrade(`/${token}/rpc`, { origin: 'https://evil.example' })).toBe(403)
    expect(await upgrade(`/${token}/rpc`, {})).toBe(403)
    expect(await upgrade(`/${token}/rpc`, { origin, headers: { host: 'evil.example' } })).toBe(403)
    expect(await upgrade(`/${token}/rpc`)).toBe('open')
  })

  it('messages that are too large, not text, or not JSON: the connection ends', async () => {
    const large = await openSocket()
    large.send('x'.repeat(MAX_MESSAGE_BYTES + 1))
    expect(await closeCode(large)).toBe(1009)
    const binary = await openSocket()
    binary.send(Buffer.from('{}'))
    expect(await closeCode(binary)).toBe(1003)
    const garbage = await openSocket()
    garbage.send('{"kind":')
    expect(await closeCode(garbage)).toBe(1007)
  })

  it('raw nonsense: the connection ends, the server goes on', async () => {
    await new Promise<void>(resolve => {
      const socket = tcpConnect(server.port, '127.0.0.1', () => socket.end('\0\0\0 nonsense\r\n\r\n'))
      socket.on('error', () => {})
      socket.on('close', () => resolve())
      socket.resume()
    })
    expect((await get(`/${token}/`)).status).toBe(200)
  })

  it('whoever hangs up in the middle: the server goes on', async () => {
    const head = `GET /wrong/rpc HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`
    const hangUp = () =>
      new Promise<void>(resolve => {
        const socket = tcpConnect(server.port, '127.0.0.1', () => {
          socket.write(head, () => setImmediate(() => socket.resetAndDestroy()))
        })
        socket.on('error', () => {})
        socket.on('close', () => resolve())
      })
    for (let round = 0; round < 30; round++) await hangUp()
    expect((await get(`/${token}/`)).status).toBe(200)
  })

  it('a tab that does not read: it is dropped before its backlog grows without bound', async () => {
    const socket = await openSocket()
    const ended = closeCode(socket)
    socket.pause()
    const message = { text: 'x'.repeat(1024 * 1024) }
    for (let sent = 0; sent < 256 && socket.readyState === WebSocket.OPEN; sent++) {
      flood!(message)
      await new Promise(resolve => setImmediate(resolve))
      if (sent > 200) socket.resume()
    }
    expect(await ended).toBe(1006)
  })

  it('a port that is taken, with a way out', async () => {
    const attempt = startWindowServer({ rendererDirectory: folder, port: server.port, connect: () => ({ close() {} }) })
    const error = await attempt.catch(error => error)
    expect(error.data).toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining(`${server.port} is in use`),
      remedy: expect.stringContaining('--port'),
    })
  })
})

describe('the decisions alone', () => {
  const facts = { method: 'GET', url: '/t/', host: '127.0.0.1:80', origin: undefined, isUpgrade: false }

  it('a request passes only when all of it fits', () => {
    expect(judgeRequest(facts, 't', 80)).toEqual({ pass: true, path: '/' })
    expect(judgeRequest({ ...facts, url: '/t/a/b?x=1' }, 't', 80)).toEqual({ pass: true, path: '/a/b' })
    expect(judgeRequest({ ...facts, url: '/t' }, 't', 80)).toEqual({ pass: true, path: '' })
    expect(judgeRequest({ ...facts, url: '/' }, 't', 80).pass).toBe(false)
    expect(judgeRequest({ ...facts, url: undefined }, 't', 80).pass).toBe(false)
    expect(judgeRequest({ ...facts, url: 'http://127.0.0.1:80/t/' }, 't', 80).pass).toBe(false)
    expect(judgeRequest({ ...facts, host: undefined }, 't', 80).pass).toBe(false)
    expect(judgeRequest({ ...facts, isUpgrade: true }, 't', 80).pass).toBe(false)
    expect(judgeRequest({ ...facts, isUpgrade: true, origin: 'http://127.0.0.1:80' }, 't', 80).pass).toBe(true)
    expect(
      judgeRequest({ ...facts, isUpgrade: true, origin: 'http://127.0.0.1:80', method: 'HEAD' }, 't', 80).pass,
    ).toBe(false)
  })

  it('secrets are equal or not, whatever their lengths', () => {
    expect(sameSecret('abc', 'abc')).toBe(true)
    expect(sameSecret('abc', 'abd')).toBe(false)
    expect(sameSecret('', 'abc')).toBe(false)
  })

  it('files resolve below their folder, or not at all', () => {
    expect(resolveWindowFile('/w', '/')).toEqual({
      path: join('/w', 'index.html'),
      contentType: 'text/html; charset=utf-8',
    })
    expect(resolveWindowFile('/w', 'index.html')).toBeNull()
    expect(resolveWindowFile('/w', '/..')).toBeNull()
    expect(resolveWindowFile('/w', '')).toBeNull()
  })

  it('the policy allows nothing inline and nothing foreign', () => {
    const policy = securityHeaders()['Content-Security-Policy']!
    for (const directive of ["default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]) {
      expect(policy.split('; ')).toContain(directive)
    }
    expect(policy).not.toMatch(/unsafe|\*|https?:|data:|blob:/)
  })
})
