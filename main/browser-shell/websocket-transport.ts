/**
 * The contract's transport over one WebSocket: every message is one JSON text. A tab that does not read is dropped before
 * its backlog grows large, one that does not answer pings is dropped too; both may connect again and get the truth anew.
 */
import type { RawData, WebSocket } from 'ws'
import type { Transport } from '../../contract/rpc.ts'

/** Largest message that a window may send: chat.send takes a million characters. */
export const MAX_MESSAGE_BYTES = 8 * 1024 * 1024
/** Bytes waiting to be sent to one tab. */
const MAX_BACKLOG_BYTES = 32 * 1024 * 1024
const PING_INTERVAL_MS = 30_000

/** Close codes of RFC 6455. */
const UNSUPPORTED_DATA = 1003
const INVALID_PAYLOAD = 1007

export function webSocketTransport(socket: WebSocket): Transport {
  const listeners = new Set<(message: unknown) => void>()
  let answered = true
  const timer = setInterval(() => {
    if (!answered) return socket.terminate()
    answered = false
    socket.ping()
  }, PING_INTERVAL_MS)
  timer.unref()

  socket.on('pong', () => {
    answered = true
  })
  socket.on('close', () => clearInterval(timer))
  // An oversized or malformed frame: ws closes the connection by itself.
  socket.on('error', () => {})
  socket.on('message', (data: RawData, isBinary: boolean) => {
    if (isBinary) return socket.close(UNSUPPORTED_DATA)
    let message: unknown
    try {
      message = JSON.parse(data.toString())
    } catch {
      return socket.close(INVALID_PAYLOAD)
    }
    for (const listener of [...listeners]) listener(message)
  })

  return {
    send(message) {
      if (socket.readyState !== socket.OPEN) return
      if (socket.bufferedAmount > MAX_BACKLOG_BYTES) return socket.terminate()
      socket.send(JSON.stringify(message))
    },
    onMessage(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}
