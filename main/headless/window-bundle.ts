/**
 * Sees to the built bundles in out/: builds them when their sources' contents have changed, and says so in one line.
 * The stamp beside a bundle is the hash of everything it was made from. It never leaves a half-built window behind.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const WINDOW_SOURCES = ['electron.config.ts', 'package-lock.json', 'renderer/**/*.*', 'contract/**/*.ts']
const ELECTRON_SOURCES = [...WINDOW_SOURCES, 'package.json', 'main/**/*.ts', 'engine/**/*.ts']

/** Builds out/renderer if it is missing or stale. Rejects with the bundler's own output when that fails. */
export function ensureWindow(): Promise<void> {
  return ensureBundle(WINDOW_SOURCES, 'window', async () => {
    const temporary = `out/.renderer-${process.pid}`
    try {
      const vite = 'node_modules/vite/bin/vite.js'
      await runBuild([
        vite,
        'build',
        '--config',
        'main/headless/window.vite.config.ts',
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

/** Builds all that Electron runs (out/main, out/preload, out/renderer) if anything is missing or stale. */
export function ensureElectronBundles(): Promise<void> {
  return ensureBundle(ELECTRON_SOURCES, 'electron', () =>
    runBuild(['node_modules/electron-vite/bin/electron-vite.js', 'build', '--config', 'electron.config.ts']),
  )
}

async function ensureBundle(sources: string[], name: string, build: () => Promise<void>): Promise<void> {
  const stampPath = `${ROOT}out/${name}.stamp`
  const hash = hashFiles(sources)
  const outputs = name === 'window' ? ['out/renderer/index.html'] : ['out/main/index.js', 'out/renderer/index.html']
  const isBuilt = outputs.every(output => readIfThere(`${ROOT}${output}`) !== null)
  if (isBuilt && readIfThere(stampPath)?.toString() === hash) return
  process.stderr.write(
    isBuilt ? 'Building the window (its sources changed)...\n' : 'Building the window (first start only)...\n',
  )
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

function readIfThere(path: string): Buffer | null {
  try {
    return readFileSync(path)
  } catch {
    return null
  }
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
      else reject(new Error(`The window could not be built (exit code ${code}):\n${output.trim()}`))
    })
  })
}
