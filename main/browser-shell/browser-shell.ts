/**
 * The browser shell: the same services as in Electron, for a browser on this machine. Owns no window and no engine code;
 * ends with Ctrl-C and takes the engine process along.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import packageJson from '../../package.json' with { type: 'json' }
import { createAppHost } from '../host/app-service.ts'
import { type AppStorage, openAppStorage } from '../host/app-storage.ts'
import { engineChild } from '../host/engine-child.ts'
import { type ModelOptions, modelRequests } from '../host/model-request.ts'
import { noBrowserReason, openBrowser } from './open-browser.ts'
import { startWindowServer } from './server.ts'

const APP_ROOT = fileURLToPath(new URL('../../', import.meta.url))
const ENGINE_ENTRY = fileURLToPath(new URL('../engine-process/entry.ts', import.meta.url))

export interface BrowserShellOptions extends ModelOptions {
  /** Any free one by default. */
  port?: number
  /** true: opens the system's browser where there is a screen and CI is not set. */
  open?: boolean
  /** The built window; out/renderer by default. */
  rendererDirectory?: string
  /** Where chats are kept; the user's data folder by default. */
  storage?: AppStorage
  /** What the engine process runs; the engine's entry by default. */
  engineEntry?: string
}

export interface BrowserShell {
  readonly url: string
  /** See WindowServer. */
  createLaunchUrl(): string
  /** While the engine process runs; for diagnostics. */
  readonly enginePid: number | undefined
  close(): Promise<void>
}

/** Starts server and engine process. Throws `invalid-argument` when the port cannot be had. */
export async function startBrowserShell(options: BrowserShellOptions = {}): Promise<BrowserShell> {
  const host = createAppHost({
    storage: options.storage ?? (await openAppStorage()),
    info: { version: packageJson.version, shell: 'browser', platform: process.platform },
    spawnEngine: engineChild({ nodePath: process.execPath, entry: options.engineEntry ?? ENGINE_ENTRY }),
    ...modelRequests(options, APP_ROOT),
  })
  try {
    const server = await startWindowServer({
      rendererDirectory: options.rendererDirectory ?? join(APP_ROOT, 'out/renderer'),
      connect: host.connect,
      ...(options.port === undefined ? {} : { port: options.port }),
    })
    return {
      url: server.url,
      createLaunchUrl: server.createLaunchUrl,
      get enginePid() {
        return host.supervisor.pid
      },
      async close() {
        await Promise.all([server.close(), host.stop()])
      },
    }
  } catch (error) {
    await host.stop()
    throw error
  }
}

/**
 * Runs the browser shell until SIGINT, SIGTERM or SIGHUP; resolves when everything has ended. Prints one line with the
 * URL. Throws `invalid-argument` when the port cannot be had.
 */
export async function runBrowserShell(options: BrowserShellOptions = {}): Promise<void> {
  // Before the address is out: whoever reads it may send a signal at once.
  const ended = terminationSignal()
  const shell = await startBrowserShell(options)
  process.stdout.write(`Tern is running at ${shell.url}  (Ctrl-C stops it)\n`)
  if (options.open === true && noBrowserReason() === null) openBrowser(shell.createLaunchUrl())
  await ended
  await shell.close()
}

/** Resolves at the first signal that asks to end; further ones while we end are taken for the same wish. */
function terminationSignal(): Promise<void> {
  return new Promise(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve())
  })
}
