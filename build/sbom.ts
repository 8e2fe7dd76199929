/** What is inside of a package, as a CycloneDX 1.6 document made of the lockfile. The same lockfile gives the same bytes. */
import { licenceOf } from './licences.ts'
import type { LockedPackage } from './lockfile.ts'
import { isNodePackage, nodePackageOf, type Target } from './targets.ts'

const purlOf = ({ name, version }: { name: string; version: string }) =>
  `pkg:npm/${name.replace('@', '%40')}@${version}`

/** Of the packages that ship on `target`, Electron, which is the framework, among them. */
export function makeSbom(app: { name: string; version: string }, packages: readonly LockedPackage[], target: Target) {
  const shipped = packages.filter(
    ({ name, isShipped }) =>
      name === 'electron' || (isShipped && (!isNodePackage(name) || name === nodePackageOf(target))),
  )
  const byPath = new Map(shipped.map(entry => [entry.path, entry]))
  // A package that lies in several places with one version is one component.
  const components = new Map(shipped.map(entry => [purlOf(entry), componentOf(entry)]))
  const root = `pkg:npm/${app.name}@${app.version}`
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      component: {
        type: 'application',
        'bom-ref': root,
        name: app.name,
        version: app.version,
        purl: root,
        licenses: [{ license: { id: 'Apache-2.0' } }],
      },
    },
    components: [...components.values()],
    dependencies: [
      { ref: root, dependsOn: [...new Set(shipped.filter(entry => isAtRoot(entry.path)).map(purlOf))].sort() },
      ...[...components.keys()].map(ref => ({
        ref,
        dependsOn: needsOf(
          shipped.filter(entry => purlOf(entry) === ref && entry.name !== 'electron'),
          byPath,
        ),
      })),
    ],
  }
}

const isAtRoot = (path: string) => path.lastIndexOf('node_modules/') === 0

function needsOf(entries: readonly LockedPackage[], byPath: ReadonlyMap<string, LockedPackage>): string[] {
  const needed = entries.flatMap(({ needs }) => needs).flatMap(path => byPath.get(path) ?? [])
  return [...new Set(needed.map(purlOf))].sort()
}

function componentOf(entry: LockedPackage) {
  const licence = licenceOf(entry)
  const [algorithm, hash] = (entry.integrity ?? '').split('-', 2)
  return {
    type: entry.name === 'electron' ? 'framework' : 'library',
    'bom-ref': purlOf(entry),
    name: entry.name,
    version: entry.version,
    purl: purlOf(entry),
    ...(licence === null
      ? {}
      : { licenses: [/[ ()]/.test(licence) ? { expression: licence } : { license: { id: licence } }] }),
    ...(algorithm === 'sha512' && hash
      ? { hashes: [{ alg: 'SHA-512', content: Buffer.from(hash, 'base64').toString('hex') }] }
      : {}),
  }
}
