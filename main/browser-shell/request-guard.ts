/**
 * Decides whether a request to the local server may pass: the random token in its path, the Host and Origin that only our
 * own page sends (against DNS rebinding and other sites in the same browser), and the method. Pure; answers nothing.
 */
import { createHash, timingSafeEqual } from 'node:crypto'

export interface RequestFacts {
  method: string | undefined
  /** As received: path and query. */
  url: string | undefined
  host: string | undefined
  origin: string | undefined
  isUpgrade: boolean
}

export type Verdict =
  /** `path` is what follows the token: "/", "/rpc", "/assets/..."; "" for an address that lost its last slash. */
  { pass: true; path: string } | { pass: false; status: 403 | 404 | 405 }

/** `token` is what the first segment of every path must be; `port` is the one that the server listens on. */
export function judgeRequest(facts: RequestFacts, token: string, port: number): Verdict {
  const hosts = [`127.0.0.1:${port}`, `localhost:${port}`]
  if (facts.host === undefined || !hosts.includes(facts.host)) return { pass: false, status: 403 }
  // Browsers send Origin with every WebSocket and with module scripts; a page of another origin cannot forge it.
  const origin = facts.origin ?? (facts.isUpgrade ? 'missing' : undefined)
  if (origin !== undefined && origin !== `http://${facts.host}`) return { pass: false, status: 403 }
  if (facts.method !== 'GET' && (facts.method !== 'HEAD' || facts.isUpgrade)) return { pass: false, status: 405 }

  const pathname = facts.url?.split('?', 1)[0] ?? ''
  const [, first = '', ...rest] = pathname.split('/')
  if (!pathname.startsWith('/') || !sameSecret(first, token)) return { pass: false, status: 404 }
  return { pass: true, path: rest.map(segment => `/${segment}`).join('') }
}

/** Compares in a time that does not depend on how much of the secret is right. */
export function sameSecret(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}
