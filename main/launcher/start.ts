/** `npm start`: Tern in Electron's window, or, where that cannot be, in the browser, with one line that says why. */
import { fileURLToPath } from 'node:url'
import { TernError } from '../../contract/errors.ts'
import { runBrowserShell } from '../browser-shell/browser-shell.ts'
import { endWithNpm } from '../browser-shell/end-with-npm.ts'
import { ensureElectronBundles, ensureWindow } from '../browser-shell/window-bundle.ts'
import { parseStartOptions, START_HELP, type StartOptions } from '../host/start-options.ts'
import { electronObstacle, ensureElectronBinary } from './electron-binary.ts'
import { endAs, runInherited } from './node24.mjs'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** Electron that ends with an error within this time never showed a window. */
const EARLY_EXIT_MS = 5_000

/** Runs until the app ends; resolves with the exit code. */
export async function start(args: readonly string[]): Promise<number> {
  let options: StartOptions
  try {
    options = parseStartOptions(args)
  } catch (error) {
    process.stderr.write(`tern: ${error instanceof Error ? error.message : error}\n\n${START_HELP}`)
    return 2
  }
  if (options.help) {
    process.stdout.write(START_HELP)
    return 0
  }
  endWithNpm()
  try {
    if (!options.browser) {
      const reason = await tryElectron(args)
      if (reason === null) return Number(process.exitCode ?? 0)
      process.stdout.write(`${reason}, so Tern runs in your browser.\n`)
    }
    await ensureWindow()
    await runBrowserShell(options)
    return 0
  } catch (error) {
    const remedy = error instanceof TernError && error.data.remedy !== undefined ? ` ${error.data.remedy}` : ''
    process.stderr.write(`tern: ${error instanceof Error ? error.message : error}${remedy}\n`)
    return 1
  }
}

/** Runs Electron to its end and returns null, or says why it could not. */
async function tryElectron(args: readonly string[]): Promise<string | null> {
  const { platform, env } = process
  const obstacle = electronObstacle({ platform, env, userId: process.getuid?.() })
  if (obstacle !== null) return obstacle
  const binary = await ensureElectronBinary()
  if ('reason' in binary) return binary.reason
  await ensureElectronBundles()
  const startedAtMs = performance.now()
  const outcome = await runInherited(binary.path, [ROOT, ...args])
  if (outcome.code !== 0 && performance.now() - startedAtMs < EARLY_EXIT_MS && !wasAskedToEnd(outcome.signal)) {
    return `Electron could not start (${outcome.signal ?? `exit code ${outcome.code}`})`
  }
  endAs(outcome)
  return null
}

const wasAskedToEnd = (signal: string | null) => signal === 'SIGINT' || signal === 'SIGTERM' || signal === 'SIGHUP'
