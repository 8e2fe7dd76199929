/**
 * `npm start`: sees to a recent Node and to the compiled kernels, then hands over to start.ts. Plain JavaScript, so that
 * an older Node can start it.
 */
import { useCompileCache } from './compile-cache.mjs'
import { underNode24 } from './node24.mjs'

await underNode24(import.meta.url, async () => {
  useCompileCache()
  const { ensureKernels } = await import('../../engine/backends/wasm/build-kernels.mjs')
  await ensureKernels()
  const { start } = await import('./start.ts')
  process.exitCode = await start(process.argv.slice(2))
})
