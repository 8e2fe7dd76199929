/**
 * Runs once before all tests: builds what they need and the repository does not hold, where it is missing or older than
 * its sources: the WASM kernels, and the window (out/renderer) for the end-to-end tests.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, globSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

export default async function setup(): Promise<void> {
  const kernels = new URL('../engine/backends/wasm/build-kernels.mjs', import.meta.url)
  if (!existsSync(kernels)) return
  const { ensureKernels }: { ensureKernels(): Promise<unknown> } = await import(kernels.href)
  await ensureKernels()
  if (runsEndToEnd() && isRendererStale()) {
    execFileSync(
      process.execPath,
      ['node_modules/electron-vite/bin/electron-vite.js', 'build', '--config', 'electron.config.ts'],
      {
        cwd: root,
        stdio: ['ignore', 'ignore', 'inherit'],
      },
    )
  }
}

/** `vitest run test/unit/foo.test.ts` names its files and needs no window. */
function runsEndToEnd(): boolean {
  const named = process.argv.slice(2).filter(argument => argument.includes('test/') && !argument.startsWith('-'))
  return named.length === 0 || named.some(argument => argument.includes('e2e'))
}

function isRendererStale(): boolean {
  const built = `${root}/out/renderer/index.html`
  if (!existsSync(built)) return true
  const builtAtMs = statSync(built).mtimeMs
  const sources = ['electron.config.ts', 'package-lock.json', 'renderer/**/*.*', 'contract/**/*.*']
  return globSync(sources, { cwd: root }).some(file => statSync(`${root}/${file}`).mtimeMs > builtAtMs)
}
