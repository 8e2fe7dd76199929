/**
 * Converted Hugging Face folders, kept so that a folder is converted once: one GGUF file each, named after what it was made
 * from (path, and size and time of every file) and the converter's version. What no longer matches is made anew.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, join } from 'node:path'
import type { ByteFolder, ByteSink } from '../../engine/engine-environment.ts'
import { createSink } from './file-sink.ts'
import { openFolder } from './node-files.ts'
import { removeLeftovers } from './unfinished-files.ts'

/** Raise it when the same folder would convert to other bytes. */
const CONVERTER_VERSION = 1

/** Where the operating system wants caches. */
export function defaultCacheDirectory(env: NodeJS.ProcessEnv = process.env, platform = process.platform): string {
  if (env.TERN_CACHE_DIR) return env.TERN_CACHE_DIR
  if (platform === 'win32') return join(env.LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local'), 'Tern', 'Cache')
  if (platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'Tern')
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'tern')
}

/** What to do where the cache cannot be written. */
export const CACHE_REMEDY = 'Set the variable TERN_CACHE_DIR to a folder with room that you may write to.'

export type Convert = (folder: ByteFolder, sink: ByteSink) => Promise<void>

/**
 * Path of the GGUF file of a folder; `convert` is called when there is none. An older conversion of the same folder is
 * removed. Throws what `convert` throws, and `disk-full`.
 */
export async function convertedFile(folderPath: string, cacheDirectory: string, convert: Convert): Promise<string> {
  const folder = await openFolder(folderPath)
  const resolved = await realpath(folderPath)
  const directory = join(cacheDirectory, 'converted')
  const place = `${safeName(basename(resolved))}-${hash(resolved).slice(0, 16)}`
  const path = join(directory, `${place}-${(await contentKey(resolved, folder)).slice(0, 16)}.gguf`)
  if (await isIntact(path)) return path

  // A measurement that was killed leaves its model there.
  await removeLeftovers(cacheDirectory)
  // Two processes may convert the same folder at once, to the same bytes.
  const sink = await createSink(path, { replace: true, remedy: CACHE_REMEDY })
  try {
    await convert(folder, sink)
  } catch (error) {
    await sink.abort()
    throw error
  }
  await writeFile(stampOf(path), await factsOf(path)).catch(() => {})
  for (const name of await readdir(directory)) {
    const isOlder = name.startsWith(`${place}-`) && !name.startsWith(basename(path))
    if (isOlder) await rm(join(directory, name), { force: true })
  }
  return path
}

/** Beside a converted file: its size and time when it was whole. One that was cut or changed since is made anew. */
const stampOf = (path: string) => `${path}.stamp`

async function factsOf(path: string): Promise<string> {
  const { size, mtimeMs } = await stat(path)
  return JSON.stringify([size, mtimeMs])
}

async function isIntact(path: string): Promise<boolean> {
  try {
    return (await readFile(stampOf(path), 'utf8')) === (await factsOf(path))
  } catch {
    return false
  }
}

async function contentKey(path: string, folder: ByteFolder): Promise<string> {
  const facts: unknown[] = [CONVERTER_VERSION]
  for (const name of (await folder.list()).sort()) {
    // A broken link is a fact too: half-fetched caches have them, and not every file is needed.
    const found = await stat(join(path, name)).catch(() => null)
    facts.push([name, found?.size ?? null, found?.mtimeMs ?? null])
  }
  return hash(JSON.stringify(facts))
}

const hash = (text: string) => createHash('sha256').update(text).digest('hex')
const safeName = (name: string) => name.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(0, 64)
