#!/usr/bin/env node
/**
 * The command `tern`: sees to a recent Node and to the compiled kernels, then hands over to cli.ts.
 * Plain JavaScript, so that an older Node can start it. Parses no arguments.
 */
import module from 'node:module'
import { underNode24 } from './node24.mjs'

await underNode24(import.meta.url, async () => {
  // Half of a cold start is reading and compiling our own sources; the cache halves that.
  module.enableCompileCache?.()
  const { ensureKernels } = await import('../../engine/backends/wasm/build-kernels.mjs')
  await ensureKernels()
  const { main } = await import('./cli.ts')
  process.exitCode = await main(process.argv.slice(2))
})
