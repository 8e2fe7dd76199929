/**
 * Files for the engine over node:fs: random access, folders, and sinks that either become whole or leave nothing. Knows no
 * format.
 */
import { randomBytes } from 'node:crypto'
import { constants, type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { EngineError } from '../../engine/errors.ts'
import type { ByteFolder, ByteSink, ByteSource } from '../../engine/host.ts'

/** Throws `file-not-found` or `file-unreadable`. */
export async function openFile(path: string): Promise<ByteSource> {
  let handle: FileHandle | null = null
  try {
    // Opening a pipe or a device could block for ever; O_NONBLOCK has no effect on plain files.
    handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    const status = await handle.stat()
    if (!status.isFile()) {
      throw new EngineError('file-unreadable', `${path} is not a file.`, {
        expected: 'a file',
        actual: status.isDirectory() ? 'a folder' : 'a device or pipe',
      })
    }
    return new NodeFile(handle, path, status.size)
  } catch (error) {
    await handle?.close()
    throw readError(error, path)
  }
}

class NodeFile implements ByteSource {
  readonly name: string
  readonly size: number
  readonly #handle: FileHandle
  readonly #path: string

  constructor(handle: FileHandle, path: string, size: number) {
    this.#handle = handle
    this.#path = path
    this.name = basename(path)
    this.size = size
  }

  async read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    if (offset < 0 || length < 0 || offset + length > this.size) throw this.#truncated(offset, length)
    const bytes = into ?? new Uint8Array(length)
    let done = 0
    while (done < length) {
      let bytesRead: number
      try {
        ;({ bytesRead } = await this.#handle.read(bytes, done, length - done, offset + done))
      } catch (error) {
        throw readError(error, this.#path)
      }
      // Cut by somebody else since it was opened.
      if (bytesRead === 0) throw this.#truncated(offset, length)
      done += bytesRead
    }
    return bytes
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  #truncated(offset: number, length: number): EngineError {
    return new EngineError('file-truncated', `${this.name} ends too early.`, {
      expected: `bytes ${offset} to ${offset + length}`,
      actual: `${this.size} bytes`,
      remedy: 'Download or copy the file again: it is incomplete.',
    })
  }
}

/** Files directly inside a folder; names only, so that nothing outside can be opened. Throws `file-not-found`, `file-unreadable`. */
export async function openFolder(path: string): Promise<ByteFolder> {
  const list = async () => {
    try {
      const entries = await readdir(path, { withFileTypes: true })
      // Hugging Face caches hold links to files.
      return entries.filter(entry => entry.isFile() || entry.isSymbolicLink()).map(entry => entry.name)
    } catch (error) {
      if (codeOf(error) !== 'ENOTDIR') throw readError(error, path)
      throw new EngineError('file-unreadable', `${path} is not a folder.`, {
        expected: 'the folder of a Hugging Face checkpoint',
        actual: 'a file',
        remedy: 'Choose the folder that holds config.json and the weights.',
      })
    }
  }
  await list()
  return {
    name: basename(path),
    list,
    async open(fileName) {
      if (fileName !== basename(fileName) || fileName === '..' || fileName === '.') {
        throw new EngineError('file-not-found', `${fileName} is not a file of ${basename(path)}.`, {
          expected: 'a plain file name',
          actual: fileName,
        })
      }
      return openFile(join(path, fileName))
    },
  }
}

/** Whether `path` is a folder. Throws `file-not-found` or `file-unreadable`. */
export async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    throw readError(error, path)
  }
}

/** Unfinished files carry this in their names. */
const UNFINISHED = '.unfinished-'

/**
 * Writes beside `path` and renames at `finish`; whoever reads `path` sees the old file or the whole new one. Folders on
 * the way are made. `remedy` is for a place that the user did not name. Throws `disk-full` or `file-unreadable`; after any
 * error and after `abort` nothing is left.
 */
export async function createSink(path: string, remedy?: string): Promise<ByteSink> {
  const there = await stat(path).catch(() => null)
  if (there !== null && !there.isFile()) {
    // Renaming over a device would replace it.
    throw new EngineError('file-unreadable', `${path} is not a file.`, {
      expected: 'a new file, or one to replace',
      actual: there.isDirectory() ? 'a folder' : 'a device or pipe',
      remedy: 'Choose another name.',
    })
  }
  const temporary = `${path}${UNFINISHED}${randomBytes(6).toString('hex')}`
  let handle: FileHandle
  try {
    await mkdir(dirname(path), { recursive: true })
    handle = await open(temporary, 'wx')
  } catch (error) {
    throw writeError(error, path, remedy)
  }
  let isOpen = true

  const abort = async () => {
    if (!isOpen) return
    isOpen = false
    await handle.close().catch(() => {})
    await rm(temporary, { force: true })
  }
  const orAbort = async (work: () => Promise<unknown>) => {
    try {
      await work()
    } catch (error) {
      await abort()
      throw writeError(error, path, remedy)
    }
  }
  return {
    write: bytes =>
      orAbort(async () => {
        let done = 0
        while (done < bytes.byteLength) {
          done += (await handle.write(bytes, done, bytes.byteLength - done)).bytesWritten
        }
      }),
    finish: () =>
      orAbort(async () => {
        await handle.sync()
        await handle.close()
        await rename(temporary, path)
        isOpen = false
      }),
    abort,
  }
}

/** Removes what killed processes left unfinished in a folder, when it is older than `olderThanMs`. */
export async function removeUnfinished(folder: string, olderThanMs: number): Promise<void> {
  const names = await readdir(folder).catch(() => [])
  for (const name of names) {
    if (!name.includes(UNFINISHED)) continue
    const path = join(folder, name)
    const status = await stat(path).catch(() => null)
    if (status !== null && Date.now() - status.mtimeMs > olderThanMs) await rm(path, { force: true })
  }
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error)

function readError(error: unknown, path: string): EngineError {
  if (error instanceof EngineError) return error
  const code = codeOf(error)
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new EngineError('file-not-found', `${path} does not exist.`, {
      remedy: 'Check the path: it was moved, renamed or mistyped.',
      cause: error,
    })
  }
  return new EngineError('file-unreadable', `${path} cannot be read.`, {
    actual: code,
    remedy:
      code === 'EACCES' || code === 'EPERM'
        ? 'Give your user the right to read it.'
        : 'Check the disk, or copy the file elsewhere and try again.',
    cause: error,
  })
}

function writeError(error: unknown, path: string, remedy?: string): EngineError {
  if (error instanceof EngineError) return error
  const code = codeOf(error)
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') {
    return new EngineError('disk-full', `There is no room left for ${basename(path)} in ${dirname(path)}.`, {
      actual: code,
      remedy: remedy ?? 'Free some space, or choose a folder on another disk.',
      cause: error,
    })
  }
  const mayNot = code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
  return new EngineError('file-unreadable', `${path} cannot be written.`, {
    actual: code,
    remedy: remedy ?? (mayNot ? 'Choose a folder that you may write to.' : 'Check the path and the disk.'),
    cause: error,
  })
}
