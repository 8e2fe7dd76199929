/**
 * Files that the engine writes: they become whole or leave nothing, and take the place of another file only when that is
 * asked for. What a killed process left unfinished goes when the next one writes into the same folder.
 */
import { type FileHandle, link, lstat, mkdir, open, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { ByteSink } from '../../engine/engine-environment.ts'
import { EngineError } from '../../engine/errors.ts'
import { codeOf } from './node-files.ts'
import { removeLeftovers, unfinishedPath } from './unfinished-files.ts'

export interface SinkOptions {
  /** true: may replace a file; a link is followed, and the file that it leads to is replaced. */
  replace?: boolean
  /** What to do when it cannot be written, for a place that the user did not name. */
  remedy?: string
}

/**
 * Writes beside `path` and gives the file its name at `finish`: whoever reads `path` sees the old file or the whole new one.
 * Folders on the way are made. Throws `disk-full`, `file-unreadable`, and `invalid-argument` when the name is taken, be it
 * only at `finish`; after any error and after `abort` no file is left.
 */
export async function createSink(path: string, { replace = false, remedy }: SinkOptions = {}): Promise<ByteSink> {
  const { target, mode } = await findTarget(path, replace)
  const temporary = unfinishedPath(target)
  let handle: FileHandle
  try {
    await makeFolders(dirname(target))
    await removeLeftovers(dirname(target))
    handle = await open(temporary, 'wx', mode)
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
        await (replace ? rename(temporary, target) : takeName(temporary, target))
        isOpen = false
      }),
    abort,
  }
}

/** The file that `path` leads to, and its rights where it exists: a private file stays private. */
async function findTarget(path: string, replace: boolean): Promise<{ target: string; mode?: number }> {
  const entry = await lstat(path).catch(() => null)
  if (entry === null) return { target: path }
  const there = await stat(path).catch(() => null)
  if (there === null) {
    throw new EngineError('file-unreadable', `${path} is a link to a file that does not exist.`, {
      remedy: 'Remove the link, or choose another name.',
    })
  }
  if (!there.isFile()) {
    // Renaming over a device would replace it.
    throw new EngineError('file-unreadable', `${path} is not a file.`, {
      expected: 'a new file, or one to replace',
      actual: there.isDirectory() ? 'a folder' : 'a device or pipe',
      remedy: 'Choose another name.',
    })
  }
  if (!replace) throw nameTaken(path)
  return { target: entry.isSymbolicLink() ? await realpath(path) : path, mode: there.mode & 0o777 }
}

/** One by one: with `recursive`, Node tries for ever where a parent is there but lets nothing be made in it, as in /proc. */
async function makeFolders(path: string): Promise<void> {
  if ((await stat(path).catch(() => null))?.isDirectory()) return
  try {
    await mkdir(path)
  } catch (error) {
    if (codeOf(error) === 'EEXIST' && (await stat(path)).isDirectory()) return
    const parent = dirname(path)
    const mayMakeParent = codeOf(error) === 'ENOENT' && (await stat(parent).catch(() => null)) === null
    if (!mayMakeParent || parent === path) throw error
    await makeFolders(parent)
    await mkdir(path)
  }
}

/** Errors of file systems that have no second names for a file. */
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])

/** A rename that fails when the name was taken meanwhile. */
async function takeName(temporary: string, target: string): Promise<void> {
  try {
    await link(temporary, target)
  } catch (error) {
    if (codeOf(error) === 'EEXIST') throw nameTaken(target)
    if (!NO_LINKS.has(codeOf(error))) throw error
    // Whoever makes the empty file first has the name.
    const placeholder = await open(target, 'wx').catch(cause => {
      throw codeOf(cause) === 'EEXIST' ? nameTaken(target) : cause
    })
    await placeholder.close()
    try {
      await rename(temporary, target)
    } catch (failure) {
      await rm(target, { force: true })
      throw failure
    }
    return
  }
  await rm(temporary, { force: true })
}

const nameTaken = (path: string): EngineError =>
  new EngineError('invalid-argument', `${path} exists already.`, {
    remedy: 'Choose another name, or replace it with --force.',
  })

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
