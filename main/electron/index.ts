/** Electron's main process: one instance, one window, one engine child. Everything else is in main/services. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { app, BrowserWindow } from 'electron'
import { createAppHost } from '../host/app-service.ts'
import { openAppStorage } from '../host/app-storage.ts'
import { engineChild } from '../host/engine-child.ts'
import { checkEngineFiles, readEngineManifest } from '../host/engine-files.ts'
import { modelRequests } from '../host/model-request.ts'
import { parseStartOptions } from '../host/start-options.ts'
import { findInstalledNode24 } from '../launcher/node24.mjs'
import { setMenu } from './menu.ts'
import { CHROMIUM_SWITCHES } from './policy.ts'
import { guardContents, guardSession, openWindow, registerAppScheme, serveWindows } from './window.ts'

const OUT = join(import.meta.dirname, '..')

/** The Node that the engine child runs: shipped beside the archive, or npm's where the app is developed. */
function nodePath(resources: string): string {
  if (app.isPackaged) return join(resources, 'node', process.platform === 'win32' ? 'node.exe' : 'node')
  const path = findInstalledNode24()
  if (path === null) throw new Error('Node 24 is not installed: run "npm ci --include=optional".')
  return path
}

async function run(): Promise<void> {
  const options = parseStartOptions(process.argv.slice(app.isPackaged ? 1 : 2))
  app.enableSandbox()
  for (const [name, value] of CHROMIUM_SWITCHES) app.commandLine.appendSwitch(name, value)
  registerAppScheme()
  app.on('web-contents-created', (_event, contents) => guardContents(contents))
  await app.whenReady()

  guardSession(join(OUT, 'renderer'))
  setMenu(app.isPackaged, process.platform)
  const resources = app.isPackaged ? process.resourcesPath : app.getAppPath()
  const host = createAppHost({
    storage: await openAppStorage({ workerUrl: pathToFileURL(join(OUT, 'main/store-worker.js')) }),
    info: { version: app.getVersion(), shell: 'electron', platform: process.platform },
    spawnEngine: engineChild({
      nodePath: nodePath(resources),
      entry: join(resources, 'out/engine/entry.js'),
      check: () => checkEngineFiles(resources, readEngineManifest(join(OUT, 'main/engine-files.json'))),
    }),
    ...modelRequests(options, resources),
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
