/**
 * Whether Electron can run here, and why not: one honest clause for the user. Its binary is not part of the npm package;
 * it is fetched at the first start, once, and a failure is remembered for a day so that later starts are not slow.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PACKAGE = join(ROOT, 'node_modules/electron')
const FAILURE_STAMP = join(ROOT, 'out/electron-download-failed')
const REMEMBER_FAILURE_MS = 24 * 3600 * 1000
/** About 120 MB. */
const DOWNLOAD_TIMEOUT_MS = 300_000

/** Machine facts; an argument so that decisions can be tested. */
export interface Machine {
  platform: NodeJS.Platform
  env: NodeJS.ProcessEnv
  /** undefined on Windows. */
  userId: number | undefined
}

/** Why Electron cannot run on this machine whatever is installed, or null. */
export function electronObstacle({ platform, env, userId }: Machine): string | null {
  if (platform !== 'linux') return null
  if (!env.DISPLAY && !env.WAYLAND_DISPLAY) return 'There is no display'
  if (userId === 0) return "Electron's sandbox does not run as root"
  return null
}

/** Path of Electron's binary when it is installed. */
export function findElectronBinary(packageFolder = PACKAGE): string | null {
  try {
    const relative = readFileSync(join(packageFolder, 'path.txt'), 'utf8')
    const path = join(process.env.ELECTRON_OVERRIDE_DIST_PATH ?? join(packageFolder, 'dist'), relative)
    return existsSync(path) ? path : null
  } catch {
    return null
  }
}

/** The binary's path, fetched if need be, or the reason why there is none. */
export async function ensureElectronBinary(): Promise<{ path: string } | { reason: string }> {
  const installed = findElectronBinary()
  if (installed !== null) return { path: installed }
  const install = join(PACKAGE, 'install.js')
  if (!existsSync(install)) return { reason: 'Electron is not installed' }
  const failed = "Electron's binary is not installed (its download failed)"
  if (isRecent(FAILURE_STAMP)) return { reason: failed }

  process.stderr.write("Downloading Electron's binary (first start only, about 120 MB; Ctrl-C stops)...\n")
  await download(install)
  const path = findElectronBinary()
  if (path !== null) {
    rmSync(FAILURE_STAMP, { force: true })
    return { path }
  }
  try {
    mkdirSync(join(ROOT, 'out'), { recursive: true })
    writeFileSync(FAILURE_STAMP, 'Delete this file to try again before a day has passed.\n')
  } catch {
    // A folder that may not be written to: the next start tries again.
  }
  return { reason: failed }
}

function isRecent(stamp: string): boolean {
  try {
    return Date.now() - statSync(stamp).mtimeMs < REMEMBER_FAILURE_MS
  } catch {
    return false
  }
}

/** Electron's own installer, which checks the checksum; quiet, because its failure is told in our words. */
function download(install: string): Promise<void> {
  return new Promise(resolve => {
    const child = spawn(process.execPath, [install], { stdio: 'ignore', timeout: DOWNLOAD_TIMEOUT_MS })
    child.once('error', () => resolve())
    child.once('exit', () => resolve())
  })
}
