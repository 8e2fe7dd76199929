#!/usr/bin/env node
/**
 * The command `tern`: sees to a recent Node, then hands over to cli.ts. Plain JavaScript, so that an older Node can
 * start it. Parses no arguments.
 */
import { existsSync } from 'node:fs'
import { useCompileCache } from './compile-cache.mjs'
import { underNode24 } from './node24.mjs'

await underNode24(import.meta.url, async () => {
  useCompileCache()
  const { main } = await import('../cli/cli.ts')
  process.exitCode = await main(process.argv.slice(2), { compileKernels })
})

/** `npm ci` compiles them already; this is for `--ignore-scripts`, and for changed sources. */
async function compileKernels() {
  const { ensureKernels, KERNEL_FOLDER } = await import('../../engine/backends/wasm/build-kernels.mjs')
  if (!existsSync(KERNEL_FOLDER)) process.stderr.write('Compiling the kernels (first start only)...\n')
  await ensureKernels()
}
