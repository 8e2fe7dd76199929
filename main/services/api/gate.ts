/** Who may use the API: pure decisions over what a request says of itself. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { ApiError } from './api-error.ts'

export interface ApiRequestFacts {
  method: string | undefined
  host: string | undefined
  origin: string | undefined
  authorization: string | undefined
}

export interface GateOptions {
  port: number
  /** null: no token is asked for. */
  token: string | null
  /** Web pages that may ask, as their browsers name them; none by default. */
  origins: readonly string[]
}

/** Throws an ApiError when the request may not pass. */
export function checkRequest({ host, origin, authorization }: ApiRequestFacts, options: GateOptions): void {
  const { port, token, origins } = options
  // Another name would be a web page that has had its own name point here.
  if (host === undefined || ![`127.0.0.1:${port}`, `localhost:${port}`].includes(host.toLowerCase())) {
    throw new ApiError(403, 'host_not_allowed', `Use http://127.0.0.1:${port} or http://localhost:${port}.`)
  }
  if (origin !== undefined && !origins.includes(origin)) {
    throw new ApiError(403, 'origin_not_allowed', 'Web pages may not use this API unless their origin was allowed.')
  }
  if (token === null) return
  const given = /^Bearer (.+)$/.exec(authorization ?? '')?.[1]
  if (given === undefined || !isSame(given, token)) {
    throw new ApiError(401, 'invalid_api_key', 'A wrong or missing token. Send "Authorization: Bearer TOKEN".')
  }
}

/** Headers for a page that was allowed; never for all. */
export const corsHeaders = (origin: string | undefined, { origins }: GateOptions): Record<string, string> =>
  origin === undefined || !origins.includes(origin)
    ? {}
    : {
        'Access-Control-Allow-Origin': origin,
        'Access-Control-Allow-Methods': 'GET, POST, OPTIONS',
        'Access-Control-Allow-Headers': 'authorization, content-type',
        Vary: 'Origin',
      }

/** In a time that does not tell how much is right. */
function isSame(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}
