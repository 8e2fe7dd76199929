/**
 * The files that the engine child runs and reads lie beside the app's archive, where nothing guards them: a plain Node
 * cannot read the archive. So their hashes lie in it (written when the app is built), and the host compares them before
 * every start of the child.
 */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { TernError } from '../../contract/errors.ts'

/** Folders below the app's resources whose files are guarded. */
const ENGINE_FOLDERS = ['out/engine', 'models'] as const
const CHUNK_BYTES = 1024 * 1024

const manifestSchema = v.object({
  files: v.pipe(
    v.array(v.object({ path: v.string(), bytes: v.number(), sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)) })),
    v.minLength(1),
  ),
})
export type EngineManifest = v.InferOutput<typeof manifestSchema>

/** Of all files in ENGINE_FOLDERS below `root`, in the order of their names. */
export function makeEngineManifest(root: string): EngineManifest {
  const paths = ENGINE_FOLDERS.flatMap(folder =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath, entry.name).slice(join(root, '/').length).replaceAll('\\', '/')),
  )
  return { files: paths.sort().map(path => ({ path, ...hashFile(join(root, path)) })) }
}

/** Throws `file-unreadable` when there is none that can be read. */
export function readEngineManifest(path: string): EngineManifest {
  try {
    return v.parse(manifestSchema, JSON.parse(readFileSync(path, 'utf8')))
  } catch {
    throw damaged(path, 'the list of the engine\u2019s files')
  }
}

/** Throws `file-unreadable` naming the first file that is missing or not the one that the app was built with. */
export function checkEngineFiles(root: string, manifest: EngineManifest): void {
  for (const { path, bytes, sha256 } of manifest.files) {
    const found = tryHashFile(join(root, path))
    if (found === null || found.bytes !== bytes || found.sha256 !== sha256) throw damaged(path, found)
  }
}

function damaged(path: string, found: unknown): TernError {
  return new TernError({
    code: 'file-unreadable',
    message:
      found === null
        ? `A file of the app is missing: ${path}. The engine was not started.`
        : `A file of the app is not the one that it was built with: ${path}. The engine was not started.`,
    remedy: 'Install Tern again. Your chats and models are not touched by that.',
  })
}

function tryHashFile(path: string): { bytes: number; sha256: string } | null {
  try {
    return hashFile(path)
  } catch {
    return null
  }
}

function hashFile(path: string): { bytes: number; sha256: string } {
  const hash = createHash('sha256')
  const chunk = new Uint8Array(CHUNK_BYTES)
  const file = openSync(path, 'r')
  try {
    let bytes = 0
    for (;;) {
      const read = readSync(file, chunk)
      if (read === 0) return { bytes, sha256: hash.digest('hex') }
      hash.update(chunk.subarray(0, read))
      bytes += read
    }
  } finally {
    closeSync(file)
  }
}
