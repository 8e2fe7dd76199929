/**
 * Sees to the built bundles in out/: builds them when their sources' contents have changed, and says so in one line.
 * The stamp beside a bundle is the hash of everything it was made from. It never leaves a half-built window behind.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const WINDOW_SOURCES = ['electron.config.ts', 'package-lock.json', 'renderer/**/*.*', 'contract/**/*.ts']
const WINDOW_OUTPUTS = ['out/renderer/index.html']
const MAIN_SOURCES = [
  'electron.config.ts',
  'package-lock.json',
  'package.json',
  '{main,engine,contract,shaders}/**/*.{ts,wgsl}',
  'models/*.gguf',
]
const MAIN_OUTPUTS = [
  'out/main/index.js',
  'out/main/engine-files.json',
  'out/engine/entry.js',
  'out/engine/wasm-thread.js',
  'out/engine/list-adapters.js',
  'out/engine/shaders/embedding.wgsl',
  'out/preload/preload.cjs',
]

/** What npm's --omit=optional leaves out, and package-lock files written on another platform. */
const BINDING_MISSING =
  'The window could not be built: the part of the bundler made for this platform is not installed. ' +
  'Run "npm ci --include=optional".'

/** Builds out/renderer if it is missing or stale. Rejects with the bundler's own output when that fails. */
export function ensureWindow(): Promise<void> {
  return ensureBundle('window', WINDOW_SOURCES, WINDOW_OUTPUTS, async () => {
    const temporary = `out/.renderer-${process.pid}`
    try {
      const vite = 'node_modules/vite/bin/vite.js'
      await runBuild([
        vite,
        'build',
        '--config',
        'main/browser-shell/window.vite.config.ts',
        '--outDir',
        `${ROOT}${temporary}`,
      ])
      await rm(`${ROOT}out/renderer`, { recursive: true, force: true })
      await rename(`${ROOT}${temporary}`, `${ROOT}out/renderer`)
    } finally {
      await rm(`${ROOT}${temporary}`, { recursive: true, force: true })
    }
  })
}

/** Builds all that Electron runs (out/main, out/engine, out/preload, out/renderer) where it is missing or stale. */
export async function ensureElectronBundles(): Promise<void> {
  await ensureWindow()
  await ensureBundle('app', MAIN_SOURCES, MAIN_OUTPUTS, async () => {
    await runBuild([
      'node_modules/electron-vite/bin/electron-vite.js',
      'build',
      '--config',
      'main/electron/main.vite.config.ts',
    ])
    // After it: the engine's hashes go beside the main bundle.
    await runBuild(['node_modules/vite/bin/vite.js', 'build', '--config', 'main/engine-process/engine.vite.config.ts'])
  })
}

async function ensureBundle(
  what: 'window' | 'app',
  sources: string[],
  outputs: string[],
  build: () => Promise<void>,
): Promise<void> {
  const stampPath = `${ROOT}out/${what}.stamp`
  const hash = hashFiles(sources)
  const isBuilt = outputs.every(output => existsSync(`${ROOT}${output}`))
  if (isBuilt && existsSync(stampPath) && readFileSync(stampPath, 'utf8') === hash) return
  process.stderr.write(`Building the ${what} (${isBuilt ? 'its sources changed' : 'first start only'})...\n`)
  await build()
  await mkdir(`${ROOT}out`, { recursive: true })
  await writeFile(stampPath, hash)
}

function hashFiles(patterns: string[]): string {
  const hash = createHash('sha256')
  for (const file of globSync(patterns, { cwd: ROOT }).sort()) {
    const content = readFileSync(`${ROOT}${file}`)
    hash.update(`${file}\0${content.byteLength}\0`).update(content)
  }
  return hash.digest('hex')
}

/** Runs a bundler quietly in a process of its own: its memory is not ours to keep. */
function runBuild(args: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    // Under a test runner NODE_ENV is 'test', and the bundle would hold React's slow development build.
    const env = { ...process.env, NODE_ENV: 'production' }
    const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const collect = (chunk: Buffer) => {
      output += chunk.toString()
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    child.once('error', reject)
    child.once('exit', code => {
      if (code === 0) resolve()
      else if (output.includes('Cannot find native binding')) reject(new Error(BINDING_MISSING))
      else reject(new Error(`The window could not be built (exit code ${code}):\n${output.trim()}`))
    })
  })
}
