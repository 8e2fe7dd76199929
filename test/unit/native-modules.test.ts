/**
 * Electron's own processes refuse array buffers whose memory lies outside of V8's cage. A native module that makes such
 * buffers imports `napi_create_external_*`; it may ship, but run in the engine child alone (ADR 005).
 */
import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Native packages that nothing but the engine process imports. */
const CHILD_ONLY = ['webgpu']

/** Functions that make external buffers, as they stand in the symbol tables of ELF, Mach-O and PE files: ended by a zero. */
function externalBufferImports(binary: Buffer): string[] {
  const names = binary.toString('latin1').match(/(?:napi|node_api)_create_external_[a-z0-9_]+(?=\0)/g) ?? []
  return [...new Set(names)].sort()
}

const lockSchema = v.object({
  packages: v.record(v.string(), v.object({ dev: v.optional(v.boolean()), devOptional: v.optional(v.boolean()) })),
})

/** Folders of the packages that ship, as the lockfile has them. */
function shippedPackages(): string[] {
  const { packages } = v.parse(lockSchema, JSON.parse(readFileSync(`${ROOT}/package-lock.json`, 'utf8')))
  return Object.entries(packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && dev !== true && devOptional !== true)
    .map(([path]) => path)
}

const nativeFilesOf = (folder: string): string[] => globSync(`${folder}/**/*.node`, { cwd: ROOT })

describe('native modules that ship', () => {
  const shipped = shippedPackages()

  it('are found', () => {
    expect(shipped).toContain('node_modules/valibot')
    expect(shipped).not.toContain('node_modules/vitest')
  })

  it('make no external buffers, but for those of the engine child', () => {
    const offenders = shipped
      .filter(folder => !CHILD_ONLY.some(name => folder === `node_modules/${name}`))
      .flatMap(nativeFilesOf)
      .filter(file => externalBufferImports(readFileSync(`${ROOT}/${file}`)).length > 0)
    expect(offenders).toEqual([])
  })

  it('Dawn makes them, on every system: the check sees it', () => {
    const files = nativeFilesOf('node_modules/webgpu')
    if (files.length === 0) return expect(process.env.CI ?? '', 'webgpu is optional, but not in CI').toBe('')
    for (const file of files) {
      expect(externalBufferImports(readFileSync(`${ROOT}/${file}`)), file).toContain('napi_create_external_arraybuffer')
    }
  })

  it('of the engine child are imported by the engine process alone', () => {
    const importers = globSync('{main,engine,renderer,contract}/**/*.{ts,tsx,mjs}', { cwd: ROOT }).filter(file =>
      CHILD_ONLY.some(name =>
        new RegExp(`(?:from|import\\(|require\\()\\s*['"]${name}['"]`).test(readFileSync(`${ROOT}/${file}`, 'utf8')),
      ),
    )
    expect(importers.length).toBeGreaterThan(0)
    expect(importers.filter(file => !file.startsWith('main/engine-process/'))).toEqual([])
  })
})

it('names in other places than a symbol table are not mistaken for imports', () => {
  expect(externalBufferImports(Buffer.from('napi_create_external_arraybuffer failed\0'))).toEqual([])
  expect(externalBufferImports(Buffer.from('\0_napi_create_external_buffer\0'))).toEqual([
    'napi_create_external_buffer',
  ])
})
