/** The Electron shell against a stand-in for Electron: what it sets up, and everything that it must refuse. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { appApi } from '../../contract/app-api.ts'
import { createClient } from '../../contract/rpc.ts'
import * as electron from '../fake-electron.ts'
import { FakeEngineChild } from '../fake-engine-child.ts'

vi.mock('electron', () => import('../fake-electron.ts'))
vi.mock('../../main/host/engine-child.ts', () => import('../fake-engine-child.ts'))

const preventable = (url: string) => ({
  url,
  prevented: false,
  preventDefault() {
    this.prevented = true
  },
})
const firstWindow = () => electron.FakeBrowserWindow.all[0]!
const turn = () => new Promise(resolve => setTimeout(resolve, 5))

let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tern-electron-'))
  writeFileSync(join(folder, 'index.html'), '<title>Tern</title>')
  process.argv = ['electron', '.']
  await import('../../main/electron/index.ts')
  await vi.waitUntil(() => electron.FakeBrowserWindow.all.length > 0)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('at the start', () => {
  it('the sandbox is on, Chromium’s own network use is off, tern: is an ordinary secure scheme', () => {
    expect(electron.app.sandboxed).toBe(true)
    expect(electron.app.switches).toContainEqual(['host-resolver-rules', 'MAP * ~NOTFOUND'])
    expect(electron.app.switches).toContainEqual(['disable-background-networking', undefined])
    expect(electron.protocol.schemes).toEqual([
      { scheme: 'tern', privileges: { standard: true, secure: true, supportFetchAPI: true } },
    ])
  })

  it('one window opens on the app’s own page, locked down', () => {
    const { options, loaded } = firstWindow()
    expect(electron.FakeBrowserWindow.all).toHaveLength(1)
    expect(loaded).toEqual(['tern://app/'])
    const preferences = options.webPreferences!
    for (const must of ['contextIsolation', 'sandbox', 'webSecurity'] as const) expect(preferences[must]).toBe(true)
    const never = ['nodeIntegration', 'nodeIntegrationInWorker', 'nodeIntegrationInSubFrames', 'webviewTag'] as const
    for (const mustNot of [...never, 'allowRunningInsecureContent', 'navigateOnDragDrop'] as const) {
      expect(preferences[mustNot], mustNot).toBe(false)
    }
    expect(options.webPreferences!.preload).toMatch(/preload\.cjs$/)
    expect(options.show).toBe(false)
    firstWindow().emit('ready-to-show')
    expect(firstWindow().shown).toBe(true)
  })

  it('the engine runs as a child of plain Node from files beside the archive, which are checked, and gets its model', async () => {
    const engine = FakeEngineChild.all[0]!
    expect(engine.options.entry).toBe('/app/out/engine/entry.js')
    // npm's Node where the app is developed; never Electron itself.
    expect(engine.options.nodePath).toMatch(/node_modules.*bin.node(\.exe)?$/)
    // No list of hashes lies beside the sources: then nothing is started.
    expect(engine.options.check).toThrow(/engine-files\.json/)
    engine.say({ control: 'ready' })
    await turn()
    expect(engine.sent).toContainEqual(
      expect.objectContaining({
        kind: 'subscribe',
        method: 'model.load',
        params: expect.objectContaining({ path: '/app/models/tern-98m-v2.gguf' }),
      }),
    )
  })

  it('the menu has what desktop apps have; developer tools only where it is developed', async () => {
    const { menuTemplate } = await import('../../main/electron/menu.ts')
    const roles = (template: unknown) => JSON.stringify(template)
    expect(electron.Menu.template).not.toBeNull()
    expect(roles(menuTemplate(false, 'linux'))).toContain('toggleDevTools')
    expect(roles(menuTemplate(true, 'linux'))).not.toContain('toggleDevTools')
    expect(roles(menuTemplate(true, 'darwin'))).toContain('appMenu')
  })
})

describe('a page', () => {
  it('stays where it is, whoever sends it away', () => {
    for (const name of ['will-navigate', 'will-redirect', 'will-frame-navigate']) {
      for (const url of [
        'https://example.com/',
        'file:///etc/passwd',
        'tern://other/',
        'tern://app.evil/',
        'javascript:alert(1)',
        'data:text/html,x',
      ]) {
        const event = preventable(url)
        firstWindow().webContents.emit(name, event)
        expect(event.prevented, `${name} ${url}`).toBe(true)
      }
      const home = preventable('tern://app/')
      firstWindow().webContents.emit(name, home)
      expect(home.prevented).toBe(false)
    }
    const webview = preventable('')
    firstWindow().webContents.emit('will-attach-webview', webview)
    expect(webview.prevented).toBe(true)
  })

  it('opens no window; links go to the system after a question, http, https and mailto only', async () => {
    const open = async (url: string, answer: number) => {
      electron.dialog.answers.push(answer)
      const verdict = firstWindow().webContents.openHandler!({ url })
      await turn()
      electron.dialog.answers.length = 0
      return verdict.action
    }
    expect(await open('https://example.com/path?x=1', 0)).toBe('deny')
    expect(electron.dialog.asked.at(-1)!.detail).toBe('example.com/path')
    expect(await open('https://example.com/refused', 1)).toBe('deny')
    expect(await open('mailto:someone@example.com', 0)).toBe('deny')
    const asked = electron.dialog.asked.length
    for (const url of [
      'file:///etc/passwd',
      'javascript:alert(1)',
      'ssh://host',
      'smb://host/x',
      'tern://app/',
      'https://good.example@evil.example/',
      'nonsense',
      `https://e.example/${'x'.repeat(5000)}`,
    ]) {
      expect(await open(url, 0), url).toBe('deny')
    }
    expect(electron.dialog.asked.length).toBe(asked)
    expect(electron.shell.opened).toEqual(['https://example.com/path?x=1', 'mailto:someone@example.com'])
  })

  it('loads nothing from anywhere but the app', () => {
    const isCancelled = (url: string) => {
      let cancelled: boolean | undefined
      electron.session.defaultSession.beforeRequest!({ url }, response => (cancelled = response.cancel))
      return cancelled
    }
    for (const url of [
      'https://example.com/x.js',
      'http://127.0.0.1:80/',
      'ws://example.com/',
      'file:///etc/passwd',
      'chrome-extension://x/',
      'tern://app.evil/x',
      'nonsense',
    ]) {
      expect(isCancelled(url), url).toBe(true)
    }
    for (const url of ['tern://app/', 'tern://app/assets/a.js', 'data:image/png;base64,AA', 'devtools://devtools/x']) {
      expect(isCancelled(url), url).toBe(false)
    }
  })

  it('may write the clipboard and nothing else', () => {
    const { permissionRequest, permissionCheck, devicePermission } = electron.session.defaultSession
    const requested = (permission: string, requestingUrl: string) => {
      let granted: boolean | undefined
      permissionRequest!({} as never, permission as never, value => (granted = value), { requestingUrl } as never)
      return granted
    }
    expect(requested('clipboard-sanitized-write', 'tern://app/')).toBe(true)
    expect(requested('clipboard-sanitized-write', 'https://example.com/')).toBe(false)
    for (const permission of [
      'media',
      'geolocation',
      'notifications',
      'clipboard-read',
      'openExternal',
      'fileSystem',
      'usb',
      'serial',
    ]) {
      expect(requested(permission, 'tern://app/'), permission).toBe(false)
      expect(permissionCheck!(null, permission as never, 'tern://app', {} as never), permission).toBe(false)
    }
    expect(permissionCheck!(null, 'clipboard-sanitized-write', 'tern://app', {} as never)).toBe(true)
    expect(devicePermission!({} as never)).toBe(false)
  })

  it('that keeps dying is loaded again a few times, then not', () => {
    const { webContents } = firstWindow()
    for (let death = 0; death < 3; death++) webContents.emit('render-process-gone', {}, { reason: 'crashed' })
    expect(webContents.reloads).toBe(3)
    expect(electron.dialog.errors).toHaveLength(0)
    webContents.emit('render-process-gone', {}, { reason: 'crashed' })
    expect(webContents.reloads).toBe(3)
    expect(electron.dialog.errors).toHaveLength(1)
    webContents.emit('render-process-gone', {}, { reason: 'clean-exit' })
    expect(webContents.reloads).toBe(3)
  })
})

describe('tern://app/', () => {
  it('serves the built window with its headers, and nothing else', async () => {
    const { guardSession } = await import('../../main/electron/window.ts')
    const guarded = new (
      electron.session.defaultSession.constructor as new () => typeof electron.session.defaultSession
    )()
    guardSession(folder, guarded as never)
    const get = (url: string, method = 'GET') => guarded.handlers.get('tern')!({ url, method } as Request)
    const page = await get('tern://app/')
    expect(page.status).toBe(200)
    expect(await page.text()).toContain('Tern')
    expect(page.headers.get('Content-Type')).toBe('text/html; charset=utf-8')
    expect(page.headers.get('Content-Security-Policy')).toContain("default-src 'none'")
    expect(page.headers.get('Cross-Origin-Embedder-Policy')).toBe('require-corp')
    expect(await (await get('tern://app/?query#hash', 'HEAD')).text()).toBe('')
    expect((await get('tern://app/', 'POST')).status).toBe(405)
    for (const url of [
      'tern://app/missing.js',
      'tern://app/../secret.html',
      'tern://app/..%2fsecret.html',
      'tern://app//etc/passwd',
      'tern://other/',
      'tern://app',
    ]) {
      expect((await get(url)).status, url).toBe(404)
    }
  })
})

describe('a connection', () => {
  const connect = (url: string, isMainFrame = true) => {
    const sender = new electron.FakeContents()
    const senderFrame = isMainFrame ? sender.mainFrame : new electron.FakeFrame()
    senderFrame.url = url
    electron.ipcMain.emit('tern:connect', { sender, senderFrame })
    return senderFrame.received
  }

  it('is given to the app’s own page, and carries the app’s contract', async () => {
    const [message] = connect('tern://app/')
    expect(message!.channel).toBe('tern:port')
    const port = message!.ports[0]!
    const client = createClient(appApi, {
      send: data => port.postMessage(data),
      onMessage(listener) {
        port.on('message', listener)
        return () => port.off('message', listener)
      },
    })
    expect(await client.call('app.info', undefined)).toEqual({
      version: '0.1.0',
      shell: 'electron',
      platform: process.platform,
    })
    port.postMessage({ kind: 'call', id: 9, method: 'engine.kill' })
    const chat = await client.call('chat.create', { isTemporary: false })
    const listed = await new Promise(resolve => client.subscribe('chat.summaries', undefined, resolve))
    expect(listed).toMatchObject({ kind: 'all', summaries: [{ id: chat.id }] })
    port.close()
  })

  it('is refused to other pages and to frames inside ours', () => {
    expect(connect('https://example.com/')).toEqual([])
    expect(connect('tern://app.evil/')).toEqual([])
    expect(connect('tern://app/', false)).toEqual([])
    expect(() =>
      electron.ipcMain.emit('tern:connect', { sender: new electron.FakeContents(), senderFrame: null }),
    ).not.toThrow()
  })
})

describe('the preload', () => {
  it('shows the page one function, and passes the port on to the page’s own origin', async () => {
    const posted: unknown[] = []
    vi.stubGlobal('window', {
      location: { origin: 'tern://app' },
      postMessage: (...args: unknown[]) => posted.push(args),
    })
    await import('../../main/electron/preload.ts')
    expect(Object.keys(electron.contextBridge.exposed)).toEqual(['tern'])
    expect(Object.keys(electron.contextBridge.exposed.tern!)).toEqual(['connect'])
    electron.contextBridge.exposed.tern!.connect!()
    expect(electron.ipcRenderer.sent).toEqual(['tern:connect'])
    electron.ipcRenderer.emit('tern:port', { ports: ['port'] })
    expect(posted).toEqual([['tern-port', 'tern://app', ['port']]])
    vi.unstubAllGlobals()
  })
})

describe('the app', () => {
  it('started twice shows the window that is there', () => {
    firstWindow().minimized = true
    electron.app.emit('second-instance')
    expect(firstWindow()).toMatchObject({ minimized: false, focused: 1 })
    expect(electron.FakeBrowserWindow.all).toHaveLength(1)
  })

  it('ends only after the engine process has ended', async () => {
    const event = preventable('')
    electron.app.emit('will-quit', event)
    expect(event.prevented).toBe(true)
    await vi.waitUntil(() => electron.app.quits === 1)
    expect(FakeEngineChild.all[0]!.sent).toContainEqual({ control: 'shutdown' })
    const second = preventable('')
    electron.app.emit('will-quit', second)
    expect(second.prevented).toBe(false)
  })
})
