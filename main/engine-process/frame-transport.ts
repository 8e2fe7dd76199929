/** The contract's transport over a byte stream between two processes: frames (contract/frames.ts) both ways. */
import type { Duplex } from 'node:stream'
import { encodeFrame, FrameReader } from '../../contract/frames.ts'
import type { Transport } from '../../contract/rpc.ts'

/** Bytes waiting for a process that does not read: it hangs, and is not worth our memory. */
const MAX_BACKLOG_BYTES = 512 * 1024 * 1024

export interface FrameTransport extends Transport {
  /** The other side closed, ended, or sent something that is no frame. Called once. */
  onClose(listener: () => void): void
}

export function frameTransport(stream: Duplex, maxBacklogBytes = MAX_BACKLOG_BYTES): FrameTransport {
  const listeners = new Set<(message: unknown) => void>()
  const closeListeners = new Set<() => void>()
  const reader = new FrameReader()
  let isOpen = true

  const close = () => {
    if (!isOpen) return
    isOpen = false
    stream.destroy()
    for (const listener of closeListeners) listener()
  }
  stream.on('data', (chunk: Uint8Array) => {
    let messages: unknown[]
    try {
      messages = reader.push(chunk)
    } catch {
      close()
      return
    }
    for (const message of messages) {
      for (const listener of [...listeners]) listener(message)
    }
  })
  stream.on('end', close)
  stream.on('close', close)
  // A broken pipe: 'close' follows.
  stream.on('error', () => {})

  return {
    send(message) {
      if (!isOpen) return
      const pieces = encodeFrame(message)
      if (stream.writableLength > maxBacklogBytes) {
        close()
        return
      }
      stream.cork()
      for (const piece of pieces) stream.write(piece)
      stream.uncork()
    },
    onMessage(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    onClose(listener) {
      closeListeners.add(listener)
    },
  }
}
