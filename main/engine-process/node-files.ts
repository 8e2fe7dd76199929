/** Files and folders that the engine reads, over node:fs. Knows no format; writing is in file-sink.ts. */
import { constants, type FileHandle, lstat, open, readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { ByteFolder, ByteSource } from '../../engine/engine-environment.ts'
import { EngineError } from '../../engine/errors.ts'

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
        remedy: 'Choose a file. What comes through a pipe has to be written into one first.',
      })
    }
    return new NodeFile(handle, path, status.size)
  } catch (error) {
    await handle?.close()
    if (await isBrokenLink(path)) throw brokenLink(path, error)
    throw readError(error, path)
  }
}

/** A link whose target is not there, or that leads back to itself. */
const isBrokenLink = async (path: string): Promise<boolean> =>
  (await lstat(path).catch(() => null))?.isSymbolicLink() === true && (await stat(path).catch(() => null)) === null

const brokenLink = (path: string, cause: unknown): EngineError =>
  new EngineError('file-not-found', `${path} is a link to a file that is not there.`, {
    remedy: 'Download this file again: its cache was moved, emptied or filled in part only.',
    cause,
  })

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
    if (offset < 0 || length < 0 || offset + length > this.size) throw this.#truncated(offset, length, this.size)
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
      if (bytesRead === 0) throw this.#truncated(offset, length, (await this.#handle.stat()).size)
      done += bytesRead
    }
    return bytes
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  #truncated(offset: number, length: number, sizeNow: number): EngineError {
    const isShorter = sizeNow < this.size
    const problem = isShorter ? 'became shorter while it was read' : 'ends too early'
    return new EngineError('file-truncated', `${this.name} ${problem}.`, {
      expected: isShorter ? `${this.size} bytes, as when it was opened` : `bytes ${offset} to ${offset + length}`,
      actual: `${sizeNow} bytes`,
      remedy: isShorter
        ? 'Wait until whatever writes this file has finished, or download it again.'
        : 'Download or copy the file again: it is incomplete.',
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
    if (await isBrokenLink(path)) throw brokenLink(path, error)
    throw readError(error, path)
  }
}

/** "ENOENT" of a Node error; of others their text. */
export const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error)

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
