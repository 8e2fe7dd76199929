/** Electron's main process: one instance, one window, one engine process. Everything else is in main/services. */
import { basename, join } from 'node:path'
import { app, BrowserWindow } from 'electron'
import { createAppHost } from '../host/app-service.ts'
import { parseStartOptions } from '../host/start-options.ts'
import { utilityEngineProcess } from './engine.ts'
import { setMenu } from './menu.ts'
import { CHROMIUM_SWITCHES } from './policy.ts'
import { guardContents, guardSession, openWindow, registerAppScheme, serveWindows } from './window.ts'

const OUT = join(import.meta.dirname, '..')

async function run(): Promise<void> {
  const options = parseStartOptions(process.argv.slice(app.isPackaged ? 1 : 2))
  app.enableSandbox()
  for (const [name, value] of CHROMIUM_SWITCHES) app.commandLine.appendSwitch(name, value)
  registerAppScheme()
  app.on('web-contents-created', (_event, contents) => guardContents(contents))
  await app.whenReady()

  guardSession(join(OUT, 'renderer'))
  setMenu(app.isPackaged, process.platform)
  const modelPath = options.modelPath ?? join(app.getAppPath(), 'models/tern-98m-v2.gguf')
  const host = createAppHost({
    info: { version: app.getVersion(), shell: 'electron', platform: process.platform },
    spawnEngine: utilityEngineProcess(join(OUT, 'main/engine-process.js')),
    model: {
      path: modelPath,
      name: basename(modelPath),
      backend: options.backend ?? 'auto',
      ...(options.threads === undefined ? {} : { threads: options.threads }),
      ...(options.adapter === undefined ? {} : { adapter: options.adapter }),
    },
  })
  serveWindows(host)

  const open = () => openWindow(join(OUT, 'preload/preload.cjs'))
  open()
  app.on('activate', () => {
    if (BrowserWindow.getAllWindows().length === 0) open()
  })
  app.on('second-instance', () => {
    const [window = open()] = BrowserWindow.getAllWindows()
    if (window.isMinimized()) window.restore()
    window.focus()
  })
  app.on('window-all-closed', () => {
    if (process.platform !== 'darwin') app.quit()
  })

  let isStopped = false
  app.on('will-quit', event => {
    if (isStopped) return
    // The engine process gets the time to remove unfinished files.
    event.preventDefault()
    void host.stop().finally(() => {
      isStopped = true
      app.quit()
    })
  })
}

if (app.requestSingleInstanceLock()) {
  run().catch(error => {
    process.stderr.write(`tern: ${error instanceof Error ? error.message : error}\n`)
    app.exit(1)
  })
} else app.quit()
