/**
 * A stand-in for the `electron` module: records what the shell asks for and lets tests play the user, the window and the
 * engine process. Typed against electron's own types where the shell uses them, so that a change of the API shows.
 */
import { EventEmitter } from 'node:events'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import type Electron from 'electron'

export class FakeFrame {
  url = 'tern://app/'
  received: { channel: string; ports: MessagePort[] }[] = []
  postMessage(channel: string, _message: unknown, ports: unknown[]) {
    this.received.push({ channel, ports: ports as MessagePort[] })
  }
}

export class FakeContents extends EventEmitter {
  mainFrame = new FakeFrame()
  openHandler: ((details: { url: string }) => { action: string }) | null = null
  reloads = 0
  setWindowOpenHandler(handler: (details: { url: string }) => { action: string }) {
    this.openHandler = handler
  }
  reload() {
    this.reloads += 1
  }
}

export class FakeBrowserWindow extends EventEmitter {
  static all: FakeBrowserWindow[] = []
  static getAllWindows = () => FakeBrowserWindow.all
  static fromWebContents = (contents: unknown) =>
    FakeBrowserWindow.all.find(window => window.webContents === contents) ?? null
  webContents = new FakeContents()
  loaded: string[] = []
  shown = false
  focused = 0
  minimized = false
  options: Electron.BrowserWindowConstructorOptions
  constructor(options: Electron.BrowserWindowConstructorOptions) {
    super()
    this.options = options
    FakeBrowserWindow.all.push(this)
    app.emit('web-contents-created', {}, this.webContents)
  }
  async loadURL(url: string) {
    this.loaded.push(url)
  }
  show() {
    this.shown = true
  }
  focus() {
    this.focused += 1
  }
  isMinimized() {
    return this.minimized
  }
  restore() {
    this.minimized = false
  }
}

class FakeApp extends EventEmitter {
  isPackaged = false
  hasLock = true
  sandboxed = false
  switches: [string, string | undefined][] = []
  quits = 0
  exits: number[] = []
  commandLine = { appendSwitch: (name: string, value?: string) => void this.switches.push([name, value]) }
  requestSingleInstanceLock = () => this.hasLock
  enableSandbox() {
    this.sandboxed = true
  }
  whenReady = () => Promise.resolve()
  getVersion = () => '0.1.0'
  getAppPath = () => '/app'
  quit() {
    this.quits += 1
  }
  exit(code: number) {
    this.exits.push(code)
  }
}
export const app = new FakeApp()

class FakeSession {
  handlers = new Map<string, (request: Request) => Promise<Response>>()
  beforeRequest: ((details: { url: string }, callback: (response: { cancel?: boolean }) => void) => void) | null = null
  permissionRequest: Parameters<Electron.Session['setPermissionRequestHandler']>[0] = null
  permissionCheck: Parameters<Electron.Session['setPermissionCheckHandler']>[0] = null
  devicePermission: Parameters<Electron.Session['setDevicePermissionHandler']>[0] = null
  protocol = {
    handle: (scheme: string, handler: (request: Request) => Promise<Response>) =>
      void this.handlers.set(scheme, handler),
  }
  webRequest = {
    onBeforeRequest: (listener: NonNullable<FakeSession['beforeRequest']>) => {
      this.beforeRequest = listener
    },
  }
  setPermissionRequestHandler(handler: FakeSession['permissionRequest']) {
    this.permissionRequest = handler
  }
  setPermissionCheckHandler(handler: FakeSession['permissionCheck']) {
    this.permissionCheck = handler
  }
  setDevicePermissionHandler(handler: FakeSession['devicePermission']) {
    this.devicePermission = handler
  }
}
export const session = { defaultSession: new FakeSession() }

export const protocol = {
  schemes: [] as Electron.CustomScheme[],
  registerSchemesAsPrivileged(schemes: Electron.CustomScheme[]) {
    protocol.schemes.push(...schemes)
  },
}

export const dialog = {
  answers: [] as number[],
  asked: [] as { message: string; detail?: string | undefined }[],
  errors: [] as string[],
  async showMessageBox(_window: unknown, options: Electron.MessageBoxOptions) {
    dialog.asked.push({ message: options.message, detail: options.detail })
    return { response: dialog.answers.shift() ?? options.cancelId ?? 0 }
  },
  showErrorBox: (title: string, _content: string) => void dialog.errors.push(title),
}

export const shell = {
  opened: [] as string[],
  async openExternal(url: string) {
    shell.opened.push(url)
  },
}

export const ipcMain = new EventEmitter()

/** Two connected ports with the interface of Electron's main process. */
export class MessageChannelMain {
  port1: FakePortMain
  port2: MessagePort
  constructor() {
    const { port1, port2 } = new MessageChannel()
    this.port1 = new FakePortMain(port1)
    this.port2 = port2
  }
}
class FakePortMain extends EventEmitter {
  private readonly port: MessagePort
  constructor(port: MessagePort) {
    super()
    this.port = port
    port.on('message', data => this.emit('message', { data, ports: [] }))
    port.on('close', () => this.emit('close'))
  }
  start() {
    this.port.start()
  }
  postMessage(message: unknown) {
    this.port.postMessage(message)
  }
  close() {
    this.port.close()
  }
}

export const Menu = {
  template: null as Electron.MenuItemConstructorOptions[] | null,
  buildFromTemplate: (template: Electron.MenuItemConstructorOptions[]) => template,
  setApplicationMenu: (template: Electron.MenuItemConstructorOptions[]) => {
    Menu.template = template
  },
}

export const contextBridge = {
  exposed: {} as Record<string, Record<string, (...args: unknown[]) => unknown>>,
  exposeInMainWorld(name: string, api: Record<string, (...args: unknown[]) => unknown>) {
    contextBridge.exposed[name] = api
  },
}

class FakeIpcRenderer extends EventEmitter {
  sent: string[] = []
  send(channel: string) {
    this.sent.push(channel)
  }
}
export const ipcRenderer = new FakeIpcRenderer()

export const BrowserWindow = FakeBrowserWindow
