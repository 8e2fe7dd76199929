/**
 * The local server of the browser shell: the window's files and one WebSocket, on 127.0.0.1 only, below a random token.
 * Whatever does not fit is refused without a detail. It serves nothing that changes anything outside the RPC.
 */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'
import { TernError } from '../../contract/errors.ts'
import type { Server as RpcServer, Transport } from '../../contract/rpc.ts'
import { resolveWindowFile, securityHeaders } from '../host/window-files.ts'
import { judgeRequest, sameSecret } from './request-guard.ts'
import { MAX_MESSAGE_BYTES, webSocketTransport } from './websocket-transport.ts'

const ADDRESS = '127.0.0.1'
const MAX_CONNECTIONS = 64

export interface WindowServerOptions {
  /** The built window: index.html and its assets. */
  rendererDirectory: string
  /** 0 or left out: any free port. */
  port?: number
  /** Called for every window that connects; closed when its connection ends. */
  connect(transport: Transport): RpcServer
}

export interface WindowServer {
  readonly port: number
  /** http://127.0.0.1:PORT/TOKEN/ */
  readonly url: string
  /**
   * A URL that leads to `url` once: for command lines, which other users of the machine can read. Whoever comes second
   * gets nothing.
   */
  createLaunchUrl(): string
  close(): Promise<void>
}

const newToken = () => randomBytes(32).toString('base64url')

/** Throws `invalid-argument` when the port cannot be had. */
export async function startWindowServer(options: WindowServerOptions): Promise<WindowServer> {
  const token = newToken()
  const launchTokens = new Set<string>()
  const server = createServer({ maxHeaderSize: 16 * 1024, requestTimeout: 30_000 })
  server.maxConnections = MAX_CONNECTIONS
  const port = await listen(server, options.port ?? 0)
  const headers = securityHeaders([`ws://127.0.0.1:${port}`, `ws://localhost:${port}`])

  const judge = (request: IncomingMessage, isUpgrade: boolean) => {
    const { method, url } = request
    const { host, origin } = request.headers
    return judgeRequest({ method, url, host, origin, isUpgrade }, token, port)
  }

  /** Spends the launch token in `path`, if it is one. */
  const spendLaunchToken = (path: string | undefined): boolean => {
    for (const launchToken of launchTokens) {
      if (path !== undefined && sameSecret(path, `/${launchToken}`)) return launchTokens.delete(launchToken)
    }
    return false
  }

  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const verdict = judge(request, false)
    if (!verdict.pass) {
      if (verdict.status === 404 && request.method === 'GET' && spendLaunchToken(request.url)) {
        response.writeHead(302, { ...headers, Location: `/${token}/` }).end()
      } else response.writeHead(verdict.status, headers).end()
      return
    }
    if (verdict.path === '') {
      response.writeHead(302, { ...headers, Location: `/${token}/` }).end()
      return
    }
    const file = resolveWindowFile(options.rendererDirectory, verdict.path)
    const body = file === null ? null : await readFile(file.path).catch(() => null)
    if (file === null || body === null) {
      response.writeHead(404, headers).end()
      return
    }
    response.writeHead(200, { ...headers, 'Content-Type': file.contentType, 'Content-Length': body.byteLength })
    response.end(request.method === 'HEAD' ? undefined : body)
  }
  server.on('request', (request, response) => void answer(request, response))

  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES, perMessageDeflate: false })
  server.on('upgrade', (request, socket, head) => {
    // Whoever hangs up in the middle must not end the host.
    socket.on('error', () => {})
    const verdict = judge(request, true)
    if (!verdict.pass || verdict.path !== '/rpc') {
      socket.end(`HTTP/1.1 ${verdict.pass ? 404 : verdict.status} Refused\r\nConnection: close\r\n\r\n`)
      return
    }
    sockets.handleUpgrade(request, socket, head, connection => {
      const rpc = options.connect(webSocketTransport(connection))
      connection.on('close', () => rpc.close())
    })
  })

  return {
    port,
    url: `http://${ADDRESS}:${port}/${token}/`,
    createLaunchUrl() {
      const launchToken = newToken()
      launchTokens.add(launchToken)
      return `http://${ADDRESS}:${port}/${launchToken}`
    },
    close() {
      for (const connection of sockets.clients) connection.terminate()
      server.closeAllConnections()
      return new Promise(resolve => server.close(() => resolve()))
    },
  }
}

function listen(server: ReturnType<typeof createServer>, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const actual = error.code ?? error.message
      const why =
        error.code === 'EADDRINUSE'
          ? `Port ${port} is in use by another program.`
          : error.code === 'EACCES'
            ? `Port ${port} may not be used by this user.`
            : `The server on ${ADDRESS} cannot start: ${error.message}.`
      const remedy = port === 0 ? undefined : 'Choose another with --port, or leave --port out to take any free one.'
      reject(
        new TernError({ code: 'invalid-argument', message: why, actual, ...(remedy === undefined ? {} : { remedy }) }),
      )
    })
    server.listen(port, ADDRESS, () => resolve((server.address() as AddressInfo).port))
  })
}
