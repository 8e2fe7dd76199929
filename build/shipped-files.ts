/** What lies in a package's folder of resources, those of the archive (app.asar) among it. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import type { Target } from './targets.ts'

export interface ShippedFile {
  /** Below the folder of resources, as in "app.asar/out/main/index.js". */
  path: string
  bytes: number
}

type ArchiveFolder = { files: Record<string, ArchiveFolder | { size: number }> }
const folderSchema: v.GenericSchema<ArchiveFolder> = v.object({
  files: v.record(
    v.string(),
    v.lazy(() => v.union([folderSchema, v.object({ size: v.number() })])),
  ),
})

/** The folder that electron-builder's `dir` target makes, below its output. */
export function unpackedFolder({ system, processor }: Target): string {
  const suffix = processor === 'x64' ? '' : `-${processor}`
  if (system === 'darwin') return `mac${suffix}`
  return `${system === 'win32' ? 'win' : 'linux'}${suffix}-unpacked`
}

export function resourcesFolder(output: string, target: Target): string {
  const folder = join(output, unpackedFolder(target))
  return target.system === 'darwin' ? join(folder, 'Tern.app/Contents/Resources') : join(folder, 'resources')
}

export function listShippedFiles(resources: string): ShippedFile[] {
  return readdirSync(resources, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .flatMap(entry => {
      const path = join(entry.parentPath, entry.name)
      const name = path.slice(join(resources, '/').length).replaceAll('\\', '/')
      if (name !== 'app.asar') return [{ path: name, bytes: statSync(path).size }]
      return filesOf(archiveHead(path), name)
    })
    .sort((left, right) => (left.path < right.path ? -1 : 1))
}

/** An archive begins with four lengths of four bytes; the last is that of the JSON text that follows. */
function archiveHead(path: string): ArchiveFolder {
  const archive = readFileSync(path)
  return v.parse(folderSchema, JSON.parse(archive.subarray(16, 16 + archive.readUInt32LE(12)).toString('utf8')))
}

function filesOf(folder: ArchiveFolder, path: string): ShippedFile[] {
  return Object.entries(folder.files).flatMap(([name, entry]) =>
    'files' in entry ? filesOf(entry, `${path}/${name}`) : [{ path: `${path}/${name}`, bytes: entry.size }],
  )
}
