/** The packages of package-lock.json, as it stands: what they are, under which licence, and what needs what. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'

const versions = v.optional(v.record(v.string(), v.string()), {})
const lockSchema = v.object({
  packages: v.record(
    v.string(),
    v.object({
      version: v.optional(v.string(), ''),
      license: v.optional(v.string()),
      integrity: v.optional(v.string()),
      dev: v.optional(v.boolean(), false),
      devOptional: v.optional(v.boolean(), false),
      dependencies: versions,
      optionalDependencies: versions,
    }),
  ),
})

export interface LockedPackage {
  name: string
  version: string
  /** An SPDX expression, or null where the package names none. */
  licence: string | null
  /** As npm writes it: "sha512-" and the hash in base 64. */
  integrity: string | null
  /** Where it lies below the root; unique. */
  path: string
  /** The app needs it at run time; others are for development. */
  isShipped: boolean
  /** Paths of the packages that it needs and that the lockfile has. */
  needs: string[]
}

/** Every package but the app itself, in the order of the paths. */
export function readLockfile(root: string): LockedPackage[] {
  const { packages } = v.parse(lockSchema, JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')))
  return Object.entries(packages)
    .filter(([path]) => path !== '')
    .map(([path, entry]) => ({
      name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
      version: entry.version,
      licence: entry.license ?? null,
      integrity: entry.integrity ?? null,
      path,
      isShipped: !entry.dev && !entry.devOptional,
      needs: Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })
        .map(name => resolveFrom(path, name, candidate => candidate in packages))
        .filter(found => found !== null),
    }))
    .sort((left, right) => (left.path < right.path ? -1 : 1))
}

/** Node's rule: the nearest node_modules on the way up. */
function resolveFrom(path: string, name: string, exists: (path: string) => boolean): string | null {
  for (let folder = path; folder !== ''; ) {
    if (exists(`${folder}/node_modules/${name}`)) return `${folder}/node_modules/${name}`
    folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))
  }
  return exists(`node_modules/${name}`) ? `node_modules/${name}` : null
}

/** Those of `names` at the root, and all that they need. */
export function closureOf(packages: readonly LockedPackage[], names: Iterable<string>): Set<string> {
  const byPath = new Map(packages.map(entry => [entry.path, entry]))
  const reached = new Set<string>()
  const open = [...names].map(name => `node_modules/${name}`)
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    const entry = byPath.get(path)
    if (entry === undefined || reached.has(path)) continue
    reached.add(path)
    open.push(...entry.needs)
  }
  return reached
}
