/**
 * One file from a server that may stall, stop, lie or change it: read in parts, gone on with from what is there, and given its
 * name only when length and hash are right. Attempts are bounded, and a stall is told by bytes.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { TernError } from '../../../contract/errors.ts'
import type { Time } from '../../time.ts'

type FileHash =
  | { kind: 'sha256'; hex: string }
  /** As Git names a file: its length is hashed with it. */
  | { kind: 'git-sha1'; hex: string }

export interface RemoteFile {
  url: string
  bytes: number
  hash: FileHash
}

export interface DownloadPlace {
  fetch: typeof fetch
  time: Time
  /** Without a byte for so long an attempt has failed. */
  stallMs: number
  /** Before the first new attempt; twice as long before each that follows without a new byte. */
  backoffMs: number
}

interface DownloadOptions {
  headers: Readonly<Record<string, string>>
  signal: AbortSignal
  /** Bytes of the file that are here. */
  onProgress(bytes: number): void
}

const MAX_ATTEMPTS_WITHOUT_BYTES = 5
/** Also a server that gives a byte at a time comes to an end. */
const MAX_ATTEMPTS = 200
const MAX_WAIT_MS = 60_000
/** Try again: the server is busy, or says that it will be there soon. */
const BUSY = [408, 425, 429, 500, 502, 503, 504]

/** What an attempt ended with, when it did not bring the rest. */
class AttemptFailed extends Error {
  override readonly name = 'AttemptFailed'
  readonly waitMs: number | null
  constructor(message: string, waitMs: number | null = null) {
    super(message)
    this.waitMs = waitMs
  }
}

export const partPath = (path: string): string => `${path}.part`

/** Throws `download-failed`, `cancelled`; what came stays beside `path` as a part, and the next call goes on from it. */
export async function downloadFile(
  file: RemoteFile,
  path: string,
  place: DownloadPlace,
  options: DownloadOptions,
): Promise<void> {
  const part = partPath(path)
  await mkdir(dirname(path), { recursive: true })
  let isSecondCopy = false
  for (;;) {
    await fetchRest(file, part, place, options)
    if ((await hashOf(part, file)) === file.hash.hex) break
    await rm(part, { force: true })
    // A part may be of another version of the file; a whole copy that is wrong is the server's word against its own.
    if (isSecondCopy) throw failed(file.url, `content of ${file.hash.kind} ${file.hash.hex}`, 'other content, twice')
    isSecondCopy = true
  }
  await rename(part, path)
}

async function fetchRest(
  file: RemoteFile,
  part: string,
  place: DownloadPlace,
  options: DownloadOptions,
): Promise<void> {
  let fruitless = 0
  let have = await sizeOf(part)
  if (have > file.bytes) {
    await rm(part, { force: true })
    have = 0
  }
  if (file.bytes === 0) await (await open(part, 'w')).close()
  for (let attempt = 1; have < file.bytes; attempt++) {
    options.onProgress(have)
    try {
      await fetchFrom(file, part, have, place, options)
    } catch (error) {
      if (options.signal.aborted) throw stopped()
      if (!(error instanceof AttemptFailed)) throw error
      const had = have
      have = await sizeOf(part)
      fruitless = have > had ? 0 : fruitless + 1
      if (fruitless >= MAX_ATTEMPTS_WITHOUT_BYTES || attempt >= MAX_ATTEMPTS) {
        throw failed(file.url, `${file.bytes} bytes`, `${have} bytes after ${attempt} attempts: ${error.message}`)
      }
      const waitMs = Math.min(error.waitMs ?? place.backoffMs * 2 ** fruitless, MAX_WAIT_MS)
      await wait(waitMs, place.time, options.signal)
      continue
    }
    have = await sizeOf(part)
  }
  options.onProgress(have)
}

/** Appends to the part until the file is complete. Throws AttemptFailed where another attempt may help. */
async function fetchFrom(
  file: RemoteFile,
  part: string,
  from: number,
  { fetch, time, stallMs }: DownloadPlace,
  { headers, signal, onProgress }: DownloadOptions,
): Promise<void> {
  const stall = new AbortController()
  let cancelTimer = time.after(stallMs, () => stall.abort())
  const alive = () => {
    cancelTimer()
    cancelTimer = time.after(stallMs, () => stall.abort())
  }
  let response: Response | null = null
  try {
    response = await fetch(file.url, {
      // Compressed, ranges and lengths would be those of something else.
      headers: { ...headers, 'accept-encoding': 'identity', ...(from > 0 && { range: `bytes=${from}-` }) },
      signal: AbortSignal.any([signal, stall.signal]),
    })
    checkAnswer(response, file, from)
    const start = response.status === 206 ? from : 0
    const handle = await open(part, start > 0 ? 'r+' : 'w')
    try {
      let at = start
      for await (const bytes of response.body ?? []) {
        alive()
        if (at + bytes.byteLength > file.bytes) throw failed(file.url, `${file.bytes} bytes`, 'more')
        await handle.write(bytes, 0, bytes.byteLength, at)
        at += bytes.byteLength
        onProgress(at)
      }
      if (at < file.bytes) throw new AttemptFailed('the connection ended early')
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (stall.signal.aborted) throw new AttemptFailed(`nothing came for ${Math.round(stallMs / 1000)} s`)
    if (error instanceof TernError || error instanceof AttemptFailed || isOfFileSystem(error)) throw error
    throw new AttemptFailed(reasonOf(error))
  } finally {
    cancelTimer()
    await response?.body?.cancel().catch(() => {})
  }
}

/** Every redirect is followed by `fetch`, which leaves the token out at another host. */
function checkAnswer(response: Response, file: RemoteFile, from: number): void {
  const { status, headers, url } = response
  if (file.url.startsWith('https:') && !url.startsWith('https:')) {
    throw failed(file.url, 'an encrypted connection', 'a redirect to one that is not')
  }
  if (BUSY.includes(status)) throw new AttemptFailed(`the server answered ${status}`, retryAfterMs(headers))
  // An address that a redirect gave may have run out in between: the next attempt gets another.
  if (status === 403 && from > 0) throw new AttemptFailed('the server answered 403')
  if (status !== 200 && status !== 206) throw refused(file.url, status)
  if (status === 206) {
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '')
    const isAsked = range !== null && Number(range[1]) === from && (range[2] === '*' || Number(range[2]) === file.bytes)
    if (!isAsked)
      throw failed(file.url, `bytes from ${from} of ${file.bytes}`, headers.get('content-range') ?? 'no range')
  }
}

/** null: it does not say, or says a date. */
function retryAfterMs(headers: Headers): number | null {
  const seconds = headers.get('retry-after')
  return seconds !== null && /^\d+$/.test(seconds) ? Number(seconds) * 1000 : null
}

async function hashOf(path: string, { hash, bytes }: RemoteFile): Promise<string> {
  const digest = hash.kind === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${bytes}\0`)
  for await (const chunk of createReadStream(path)) digest.update(chunk)
  return digest.digest('hex')
}

async function sizeOf(path: string): Promise<number> {
  const status = await stat(path).catch(() => null)
  return status?.size ?? 0
}

function wait(delayMs: number, time: Time, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      cancel()
      reject(stopped())
    }
    const cancel = time.after(delayMs, () => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    })
    signal.addEventListener('abort', onAbort, { once: true })
  })
}

/** What `fetch` throws says no more than that it failed; its cause says why. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  return cause instanceof Error && cause.message !== '' ? cause.message : error.message
}

const isOfFileSystem = (error: unknown): boolean => error instanceof Error && 'syscall' in error && 'path' in error

const stopped = (): TernError => new TernError({ code: 'cancelled', message: 'The download was stopped.' })

const REFUSALS: Record<number, string> = {
  401: 'Set the variable HF_TOKEN to a token that may read it, or check the name.',
  403: 'Accept its terms on its page, and set the variable HF_TOKEN to a token that may read it.',
  404: 'Check the name: the server has nothing under it.',
}

export const refused = (url: string, status: number): TernError =>
  new TernError({
    code: 'download-failed',
    message: `${url} was refused.`,
    actual: `status ${status}`,
    remedy: REFUSALS[status] ?? 'Try again later, or get the files another way.',
  })

export const failed = (url: string, expected: string, actual: string): TernError =>
  new TernError({
    code: 'download-failed',
    message: `${url} could not be downloaded.`,
    expected,
    actual,
    remedy: 'Run the command again: it goes on from what has come.',
  })
