/**
 * The inside of an engine process: serves the engine's API on the channel to the parent, whichever kind it is
 * (Electron's parentPort or Node's IPC), and never outlives the parent. It knows nothing of the engine itself.
 */
import { type EngineApi, engineApi } from '../../contract/engine-api.ts'
import { type Handlers, serve, type Transport } from '../../contract/rpc.ts'
import { type ControlMessage, parseControl } from './control.ts'

export interface ParentChannel extends Transport {
  /** The parent is gone, or closed the channel. */
  onClose(listener: () => void): void
}

/** Structural part of Electron's `process.parentPort` in a utility process. */
interface ParentPort {
  postMessage(message: unknown): void
  on(event: 'message', listener: (event: { data: unknown }) => void): void
  off(event: 'message', listener: (event: { data: unknown }) => void): void
}

/** How long unfinished work may take to clean up after `shutdown`, milliseconds. */
const SHUTDOWN_GRACE_MS = 1_000

/** The channel that this process was started with; throws when it was not started by a supervisor. */
export function parentChannel(): ParentChannel {
  const { parentPort } = process as { parentPort?: ParentPort | null }
  if (parentPort != null) {
    return {
      send: message => parentPort.postMessage(message),
      onMessage(listener) {
        const onMessage = (event: { data: unknown }) => listener(event.data)
        parentPort.on('message', onMessage)
        return () => parentPort.off('message', onMessage)
      },
      // Electron ends its utility processes itself when the main process goes.
      onClose: () => {},
    }
  }
  if (process.send === undefined) {
    throw new Error('This file is the engine process of Tern; the host starts it. Run `npm start` or `npx tern`.')
  }
  return {
    send(message) {
      // The parent may go at any moment; `disconnect` follows and ends this process.
      if (process.connected) process.send!(message, undefined, undefined, () => {})
    },
    onMessage(listener) {
      process.on('message', listener)
      return () => process.off('message', listener)
    },
    onClose: listener => process.once('disconnect', listener),
  }
}

/**
 * Serves `handlers` until the parent closes the channel or asks to shut down; then cancels what is in flight, calls
 * `dispose` and exits.
 */
export function runEngineProcess(
  handlers: Handlers<EngineApi>,
  dispose: () => Promise<void>,
  channel: ParentChannel = parentChannel(),
): void {
  const server = serve(engineApi, channel, handlers)
  const control = (message: ControlMessage) => channel.send(message)

  const exit = async () => {
    server.close()
    await Promise.race([dispose(), new Promise(resolve => setTimeout(resolve, SHUTDOWN_GRACE_MS))])
    process.exit(0)
  }
  channel.onMessage(message => {
    const received = parseControl(message)
    if (received?.control === 'ping') control({ control: 'pong' })
    if (received?.control === 'shutdown') void exit()
  })
  channel.onClose(() => void exit())
  // Ctrl-C reaches the whole process group; the host decides when the engine ends.
  process.on('SIGINT', () => {})
  control({ control: 'ready' })
}
