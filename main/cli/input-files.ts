/** What the user gives to be read: files and stdin, of bounded size, given up as soon as the command is to stop. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { TernError } from '../../contract/errors.ts'
import type { CommandContext } from './command-context.ts'
import { formatBytes } from './terminal.ts'

/** Millions of tokens, hours of reading. A text becomes tokens in one go, during which no signal is seen: seconds, at most. */
export const MAX_TEXT_BYTES = 16 * 2 ** 20
/** The largest published model's state takes less than one. */
export const MAX_STATE_BYTES = 64 * 2 ** 20

type Context = Pick<CommandContext, 'terminal' | 'interrupts'>

/** The absolute form of a path. Throws `file-not-found` where a relative one means nothing. */
export function absolutePath(path: string): string {
  try {
    return resolve(path)
  } catch {
    throw new TernError({
      code: 'file-not-found',
      message: 'The current folder does not exist any more.',
      remedy: 'Change into a folder that exists, or give absolute paths.',
    })
  }
}

/** All of a file, pipe or device. Throws `file-not-found`, `file-unreadable`, `limit-exceeded`, `cancelled`. */
export async function readInputFile(path: string, maxBytes: number, context: Context): Promise<Buffer> {
  return context.interrupts.untilStopped(readBounded(absolutePath(path), path, maxBytes, context))
}

async function readBounded(absolute: string, shown: string, maxBytes: number, context: Context): Promise<Buffer> {
  try {
    const handle = await open(absolute, constants.O_RDONLY)
    try {
      const status = await handle.stat()
      if (status.isFile() && status.size > maxBytes) throw tooLarge(shown, maxBytes, formatBytes(status.size))
      return await collect(handle.createReadStream({ autoClose: false }), shown, maxBytes, context)
    } finally {
      await handle.close()
    }
  } catch (cause) {
    throw fileError(cause, `Cannot read ${shown}.`)
  }
}

/** All of stdin as text; null when it is a terminal. Throws `file-unreadable`, `limit-exceeded`, `cancelled`. */
export async function readPipedStdin(context: Context): Promise<string | null> {
  const { terminal, interrupts } = context
  if (terminal.stdin.isTTY) return null
  try {
    const text = await interrupts.untilStopped(collect(terminal.stdin, 'stdin', MAX_TEXT_BYTES, context))
    return text.toString('utf8')
  } catch (cause) {
    throw fileError(cause, 'Cannot read stdin.')
  } finally {
    // What nobody reads any more must not keep the process alive.
    terminal.stdin.destroy()
  }
}

async function collect(
  stream: NodeJS.ReadableStream,
  shown: string,
  maxBytes: number,
  { interrupts }: Context,
): Promise<Buffer> {
  const chunks: Buffer[] = []
  let byteCount = 0
  for await (const chunk of stream) {
    interrupts.throwIfStopped()
    const bytes = Buffer.from(chunk)
    byteCount += bytes.byteLength
    if (byteCount > maxBytes) throw tooLarge(shown, maxBytes, 'more')
    chunks.push(bytes)
  }
  return Buffer.concat(chunks)
}

const tooLarge = (shown: string, maxBytes: number, actual: string): TernError =>
  new TernError({
    code: 'limit-exceeded',
    message: `${shown} is too large.`,
    expected: `at most ${formatBytes(maxBytes)}`,
    actual,
    remedy: 'Check that it is the file you mean, or give a part of it.',
  })

const FILE_ERRORS: Record<string, { code: 'file-not-found' | 'disk-full'; actual: string }> = {
  ENOENT: { code: 'file-not-found', actual: 'no such file or folder' },
  ENOTDIR: { code: 'file-not-found', actual: 'no such file or folder' },
  ENOSPC: { code: 'disk-full', actual: 'no room left' },
}

/** A file of the user's that could not be read, as error data; errors that are data already stay as they are. */
export function fileError(cause: unknown, message: string): TernError {
  if (cause instanceof TernError) return cause
  const { code = '', message: actual } = cause as NodeJS.ErrnoException
  const known = FILE_ERRORS[code] ?? { code: 'file-unreadable' as const, actual }
  return new TernError({ ...known, message, remedy: 'Check the path and its permissions.' })
}
