/**
 * The inside of an engine process: serves the engine's API on the channel to the host, and never outlives the host. It
 * knows nothing of the engine itself.
 */
import { fstatSync } from 'node:fs'
import { Socket } from 'node:net'
import { type EngineApi, engineApi } from '../../contract/engine-api.ts'
import { type Handlers, serve } from '../../contract/rpc.ts'
import { type ControlMessage, parseControl } from './control.ts'
import { type FrameTransport, frameTransport } from './frame-transport.ts'

/** How long unfinished work may take to clean up after `shutdown`, milliseconds. */
const SHUTDOWN_GRACE_MS = 1_000

/** The file descriptor of the channel to the host (main/host/engine-child.ts). */
const CHANNEL_FD = 3

/** The channel that this process was started with; throws when it was not started by a host. */
function parentChannel(): FrameTransport {
  try {
    if (fstatSync(CHANNEL_FD).isFile()) throw new Error()
    return frameTransport(new Socket({ fd: CHANNEL_FD, readable: true, writable: true }))
  } catch {
    throw new Error('This file is the engine process of Tern; the host starts it. Run `npm start` or `npx tern`.')
  }
}

/**
 * Serves `handlers` until the parent closes the channel or asks to shut down; then cancels what is in flight, calls
 * `dispose` and exits.
 */
export function runEngineProcess(
  handlers: Handlers<EngineApi>,
  dispose: () => Promise<void>,
  channel: FrameTransport = parentChannel(),
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
