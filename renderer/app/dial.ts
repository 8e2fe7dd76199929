/**
 * Opens a line to the host: the MessagePort that Electron's preload hands over, else a WebSocket beside the page.
 * It does not reconnect (stores/connection.ts does).
 */
import type { Transport } from '../../contract/rpc.ts'
import type { Dial, Line } from '../stores/connection.ts'

/** What main/electron/preload.ts puts on the window: the port comes as a message event with the data "tern-port". */
interface TernBridge {
  connect(): void
}
declare global {
  interface Window {
    tern?: TernBridge
  }
}

const DIAL_TIMEOUT_MS = 10_000

export const dial: Dial = () => {
  const bridge = window.tern
  return bridge === undefined ? dialWebSocket(new URL('rpc', document.baseURI)) : dialPort(bridge)
}

/** A transport over anything that delivers messages; `deliver` is what the line calls with each one. */
function createTransport(post: (message: unknown) => void): { transport: Transport; deliver(message: unknown): void } {
  const listeners = new Set<(message: unknown) => void>()
  return {
    transport: {
      send: post,
      onMessage(listener) {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
    },
    deliver(message) {
      for (const listener of listeners) listener(message)
    },
  }
}

/** The app's API carries no bytes, so plain JSON is enough here. */
function dialWebSocket(url: URL): Promise<Line> {
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url)
    const timer = setTimeout(() => socket.close(), DIAL_TIMEOUT_MS)
    const { transport, deliver } = createTransport(message => {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message))
    })
    socket.onmessage = event => {
      if (typeof event.data === 'string') deliver(JSON.parse(event.data))
    }
    const closed = new Promise<void>(settle => {
      socket.onclose = () => {
        clearTimeout(timer)
        settle()
        reject(new Error('the host does not answer'))
      }
    })
    socket.onopen = () => {
      clearTimeout(timer)
      resolve({ transport, closed, close: () => socket.close() })
    }
  })
}

async function dialPort(bridge: TernBridge): Promise<Line> {
  const port = await requestPort(bridge)
  const { transport, deliver } = createTransport(message => port.postMessage(message))
  const closed = new Promise<void>(settle => {
    port.addEventListener('close', () => settle())
  })
  port.onmessage = event => deliver(event.data)
  return { transport, closed, close: () => port.close() }
}

function requestPort(bridge: TernBridge): Promise<MessagePort> {
  return new Promise((resolve, reject) => {
    const done = () => {
      clearTimeout(timer)
      window.removeEventListener('message', onMessage)
    }
    const timer = setTimeout(() => {
      done()
      reject(new Error('the host does not answer'))
    }, DIAL_TIMEOUT_MS)
    const onMessage = (event: MessageEvent) => {
      const [port] = event.ports
      if (event.source !== window || event.data !== 'tern-port' || port === undefined) return
      done()
      resolve(port)
    }
    window.addEventListener('message', onMessage)
    bridge.connect()
  })
}
