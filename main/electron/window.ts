/** The one window, closed in on itself: what it may load, open, ask for and connect to. The rules are in policy.ts. */
import { readFile } from 'node:fs/promises'
import {
  BrowserWindow,
  dialog,
  type IpcMainEvent,
  ipcMain,
  MessageChannelMain,
  type MessagePortMain,
  protocol,
  type Session,
  session,
  shell,
  type WebContents,
} from 'electron'
import type { Transport } from '../../contract/rpc.ts'
import type { AppHost } from '../host/app-service.ts'
import { CONNECT_CHANNEL, PORT_CHANNEL } from './channels.ts'
import {
  APP_SCHEME,
  APP_URL,
  answerAppRequest,
  externalLink,
  isAppUrl,
  isPermissionAllowed,
  isRequestAllowed,
  isTrustedSender,
  mayReload,
  windowOptions,
} from './policy.ts'

/** Before `ready`: tern: is a standard, secure scheme; nothing else is special about it. */
export function registerAppScheme(): void {
  protocol.registerSchemesAsPrivileged([
    { scheme: APP_SCHEME, privileges: { standard: true, secure: true, supportFetchAPI: true } },
  ])
}

/** After `ready`, once: serves the window's files and refuses everything else that a page could ask of the session. */
export function guardSession(rendererDirectory: string, guarded: Session = session.defaultSession): void {
  guarded.protocol.handle(APP_SCHEME, async request => {
    const answer = answerAppRequest(rendererDirectory, request)
    if (answer.status !== 200) return new Response(null, answer)
    const body = await readFile(answer.file.path).catch(() => null)
    if (body === null) return new Response(null, { status: 404, headers: answer.headers })
    return new Response(request.method === 'HEAD' ? null : new Uint8Array(body), answer)
  })
  guarded.webRequest.onBeforeRequest(({ url }, callback) => callback({ cancel: !isRequestAllowed(url) }))
  guarded.setPermissionRequestHandler((_contents, permission, callback, { requestingUrl }) =>
    callback(isPermissionAllowed(permission, requestingUrl)),
  )
  guarded.setPermissionCheckHandler((_contents, permission, origin) =>
    isPermissionAllowed(permission, origin.endsWith('/') ? origin : `${origin}/`),
  )
  guarded.setDevicePermissionHandler(() => false)
}

/** For every page that is ever made: it stays where it is, and opens nothing by itself. */
export function guardContents(contents: WebContents): void {
  const stay = (event: { preventDefault(): void; url: string }) => {
    if (!isAppUrl(event.url)) event.preventDefault()
  }
  contents.on('will-navigate', stay)
  contents.on('will-redirect', stay)
  contents.on('will-frame-navigate', stay)
  contents.on('will-attach-webview', event => event.preventDefault())
  contents.setWindowOpenHandler(({ url }) => {
    void askToOpen(contents, url)
    return { action: 'deny' }
  })
}

async function askToOpen(contents: WebContents, url: string): Promise<void> {
  const link = externalLink(url)
  const window = BrowserWindow.fromWebContents(contents)
  if (link === null || window === null) return
  const { response } = await dialog.showMessageBox(window, {
    type: 'question',
    message: 'Open this link outside Tern?',
    detail: link.shownAs,
    buttons: ['Open', 'Cancel'],
    defaultId: 1,
    cancelId: 1,
  })
  if (response === 0) await shell.openExternal(link.url)
}

/** Opens the window and keeps it alive: when its process dies, it is loaded again and asks the host for the truth. */
export function openWindow(preload: string): BrowserWindow {
  const window = new BrowserWindow(windowOptions(preload, process.platform))
  const deathsAtMs: number[] = []
  window.once('ready-to-show', () => window.show())
  window.webContents.on('render-process-gone', (_event, { reason }) => {
    if (reason === 'clean-exit') return
    if (mayReload(deathsAtMs, performance.now())) window.webContents.reload()
    else
      dialog.showErrorBox(
        'Tern’s window keeps failing',
        `Its process ended again (${reason}). Close Tern and start it anew.`,
      )
  })
  void window.loadURL(APP_URL)
  return window
}

/** Connects windows that ask for it to the host, each by a port of its own. Returns a function that stops doing so. */
export function serveWindows(host: AppHost): () => void {
  const onConnect = (event: IpcMainEvent) => {
    const { senderFrame, sender } = event
    const facts = senderFrame === null ? null : { url: senderFrame.url, isMainFrame: senderFrame === sender.mainFrame }
    if (!isTrustedSender(facts)) return
    const { port1, port2 } = new MessageChannelMain()
    const server = host.connect(portTransport(port1))
    port1.once('close', () => server.close())
    port1.start()
    senderFrame!.postMessage(PORT_CHANNEL, null, [port2])
  }
  ipcMain.on(CONNECT_CHANNEL, onConnect)
  return () => ipcMain.off(CONNECT_CHANNEL, onConnect)
}

function portTransport(port: MessagePortMain): Transport {
  return {
    send: message => port.postMessage(message),
    onMessage(listener) {
      const onMessage = ({ data }: { data: unknown }) => listener(data)
      port.on('message', onMessage)
      return () => port.off('message', onMessage)
    },
  }
}
