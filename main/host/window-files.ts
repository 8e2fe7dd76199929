/**
 * How the window's files may be asked for and what protects the page that they make: path resolution, content types,
 * security headers. Pure decisions, the same for Electron's own scheme and for the server on 127.0.0.1.
 */
import { extname, join, sep } from 'node:path'

const CONTENT_TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
}

export interface WindowFile {
  path: string
  contentType: string
}

/** Letters, digits, dot, dash, underscore: what a bundler writes. No segment begins with a dot. */
const SEGMENT = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/

/**
 * The file behind a URL path ("/", "/assets/index-abc.js"), or null: what is not a plain path below `directory`, and what
 * the window never needs, does not exist. Percent signs are refused rather than decoded.
 */
export function resolveWindowFile(directory: string, urlPath: string): WindowFile | null {
  if (!urlPath.startsWith('/')) return null
  const segments = urlPath === '/' ? ['index.html'] : urlPath.slice(1).split('/')
  if (!segments.every(segment => SEGMENT.test(segment))) return null
  const path = join(directory, ...segments)
  const contentType = CONTENT_TYPES[extname(path)]
  if (contentType === undefined || !path.startsWith(directory + sep)) return null
  return { path, contentType }
}

/**
 * Headers of every response to the window. `connectSources` are the origins that it may talk to beside its own.
 * No inline script or style runs, nothing is loaded from elsewhere, nobody frames it, it shares no process with others.
 */
export function securityHeaders(connectSources: readonly string[] = []): Record<string, string> {
  return {
    'Content-Security-Policy': [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "img-src 'self'",
      "font-src 'self'",
      `connect-src ${["'self'", ...connectSources].join(' ')}`,
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join('; '),
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Embedder-Policy': 'require-corp',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Permissions-Policy':
      'camera=(), microphone=(), geolocation=(), usb=(), serial=(), hid=(), payment=(), display-capture=()',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    'Cache-Control': 'no-store',
  }
}
