/**
 * What the Electron shell allows, as pure decisions: URLs, senders, permissions, window options. No import of electron's
 * values, so that every rule can be tested without it.
 */
import type { BrowserWindowConstructorOptions } from 'electron'
import { resolveWindowFile, securityHeaders, type WindowFile } from '../host/window-files.ts'

export const APP_SCHEME = 'tern'
const APP_ORIGIN = `${APP_SCHEME}://app`
export const APP_URL = `${APP_ORIGIN}/`

/** Chromium's own network use, which the app never needs: background services, updates, and every host name. */
export const CHROMIUM_SWITCHES: readonly (readonly [string, string?])[] = [
  ['disable-background-networking'],
  ['disable-component-update'],
  ['disable-domain-reliability'],
  ['host-resolver-rules', 'MAP * ~NOTFOUND'],
]

/** Whether a URL is the app's own page. */
export function isAppUrl(url: string): boolean {
  return url.startsWith(APP_URL)
}

/** What the window may load: its own files, and what pages make of their own data. */
export function isRequestAllowed(url: string): boolean {
  const { protocol } = parseUrl(url) ?? { protocol: '' }
  return isAppUrl(url) || protocol === 'data:' || protocol === 'blob:' || protocol === 'devtools:'
}

/**
 * The link to hand to the system after asking the user, or null: http, https and mailto only, and nothing that hides
 * where it leads behind a user name.
 */
export function externalLink(url: string): { url: string; shownAs: string } | null {
  const parsed = parseUrl(url)
  if (parsed === null || url.length > 4096 || parsed.username !== '' || parsed.password !== '') return null
  if (parsed.protocol === 'mailto:') return { url: parsed.href, shownAs: parsed.href }
  if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:') return null
  return { url: parsed.href, shownAs: `${parsed.host}${parsed.pathname === '/' ? '' : parsed.pathname}` }
}

/** Writing to the clipboard after a click is all that the window may ask for. */
export function isPermissionAllowed(permission: string, requestingUrl: string): boolean {
  return permission === 'clipboard-sanitized-write' && isAppUrl(requestingUrl)
}

export interface Sender {
  url: string
  /** It is the top frame of our own window. */
  isMainFrame: boolean
}
/** Who may ask for a connection to the host. */
export function isTrustedSender(sender: Sender | null): boolean {
  return sender?.isMainFrame === true && isAppUrl(sender.url)
}

export type AppResponse =
  | { status: 200; file: WindowFile; headers: Record<string, string> }
  | { status: 404 | 405; headers: Record<string, string> }

/** How tern://app/... is answered from the built window. */
export function answerAppRequest(rendererDirectory: string, request: { method: string; url: string }): AppResponse {
  const headers = securityHeaders()
  if (request.method !== 'GET' && request.method !== 'HEAD') return { status: 405, headers }
  if (!isAppUrl(request.url)) return { status: 404, headers }
  // The raw text, not URL.pathname: that would resolve "..", and the resolver refuses what is not plain.
  const path = request.url.slice(APP_ORIGIN.length).split(/[?#]/, 1)[0]!
  const file = resolveWindowFile(rendererDirectory, path)
  if (file === null) return { status: 404, headers }
  return { status: 200, file, headers: { ...headers, 'Content-Type': file.contentType } }
}

export function windowOptions(preload: string, platform: NodeJS.Platform): BrowserWindowConstructorOptions {
  return {
    width: 1160,
    height: 800,
    minWidth: 420,
    minHeight: 480,
    show: false,
    autoHideMenuBar: true,
    title: 'Tern',
    webPreferences: {
      preload,
      contextIsolation: true,
      sandbox: true,
      nodeIntegration: false,
      nodeIntegrationInWorker: false,
      nodeIntegrationInSubFrames: false,
      webSecurity: true,
      allowRunningInsecureContent: false,
      experimentalFeatures: false,
      webviewTag: false,
      navigateOnDragDrop: false,
      // Chromium downloads dictionaries; macOS has its own.
      spellcheck: platform === 'darwin',
    },
  }
}

/** Deaths of the window's process within this time count together. */
const CRASH_WINDOW_MS = 60_000
const MAX_CRASHES = 3

/** Whether a window whose process died at `nowMs` may be loaded again; `deathsAtMs` is the record that it keeps. */
export function mayReload(deathsAtMs: number[], nowMs: number): boolean {
  deathsAtMs.push(nowMs)
  return deathsAtMs.filter(atMs => nowMs - atMs < CRASH_WINDOW_MS).length <= MAX_CRASHES
}

function parseUrl(url: string): URL | null {
  return URL.canParse(url) ? new URL(url) : null
}
