/**
 * The browser shell around the fake engine, to look at the window without a model:
 * `node test/fake-host.mjs [--port N] [--renderer DIRECTORY]`. A message with CRASH ends the engine process, FAIL fails.
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { runBrowserShell } from '../main/browser-shell/browser-shell.ts'

const { values } = parseArgs({ options: { port: { type: 'string' }, renderer: { type: 'string' } } })
await runBrowserShell({
  engineEntry: fileURLToPath(new URL('./fake-engine-process.ts', import.meta.url)),
  modelPath: '/models/fake.gguf',
  ...(values.port === undefined ? {} : { port: Number(values.port) }),
  ...(values.renderer === undefined ? {} : { rendererDirectory: values.renderer }),
})
