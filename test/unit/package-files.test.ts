/** The files that would ship, as electron-builder itself chooses them, with a stand-in for Electron. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeElectronStandIn, readFuses } from '../../build/electron-stand-in.ts'
import { readLockfile } from '../../build/lockfile.ts'
import { findNodeBinary } from '../../build/node-binary.ts'
import { packageApp } from '../../build/package-app.ts'
import { listShippedFiles, resourcesFolder, type ShippedFile, unpackedFolder } from '../../build/shipped-files.ts'
import type { Target } from '../../build/targets.ts'
import { ensureElectronBundles } from '../../main/browser-shell/window-bundle.ts'
import { checkEngineFiles, readEngineManifest } from '../../main/host/engine-files.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** Of what Tern adds to Electron, before compression. */
const MAX_BYTES = 250_000_000
/** Runtime of Dawn for the target; the others must not ship. */
const TARGETS: [Target, string, string][] = [
  [{ system: 'linux', processor: 'x64' }, 'linux-x64', 'tern'],
  [{ system: 'darwin', processor: 'arm64' }, 'darwin-universal', ''],
  [{ system: 'win32', processor: 'arm64' }, 'win32-x64', 'Tern.exe'],
]

let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tern-package-'))
  await ensureElectronBundles()
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe.each(TARGETS)('%o', (target, dawn, program) => {
  let output: string
  let resources: string
  let files: ShippedFile[]
  const paths = () => files.map(({ path }) => path)
  const inArchive = () => paths().filter(path => path.startsWith('app.asar/'))

  beforeAll(async () => {
    output = join(folder, `${target.system}-${target.processor}`)
    const standIn = join(output, 'electron')
    mkdirSync(standIn, { recursive: true })
    makeElectronStandIn(standIn, target)
    // npm installs Node for this machine alone; in another's place lies a file that says so.
    const nodeStandIn = join(output, 'node')
    writeFileSync(nodeStandIn, 'stand-in for Node')
    const nodePath = findNodeBinary(ROOT, target) ?? nodeStandIn
    await packageApp({ root: ROOT, target, nodePath, output, standIn }, readLockfile(ROOT), 'folder')
    resources = resourcesFolder(output, target)
    files = listShippedFiles(resources)
  })

  it('has what the app runs and reads', () => {
    for (const path of [
      'app.asar/package.json',
      'app.asar/out/main/index.js',
      'app.asar/out/main/store-worker.js',
      'app.asar/out/main/engine-files.json',
      'app.asar/out/preload/preload.cjs',
      'app.asar/out/renderer/index.html',
      'app.asar/node_modules/valibot/package.json',
      'app.asar/node_modules/fflate/package.json',
      'out/engine/entry.js',
      'out/engine/kernels/simd.wasm',
      'out/engine/shaders/embedding.wgsl',
      'models/tern-98m-v2.gguf',
      'node_modules/webgpu/index.js',
      target.system === 'win32' ? 'node/node.exe' : 'node/node',
    ]) {
      expect(paths()).toContain(path)
    }
  })

  it('has every package that the main bundle imports, and no other', () => {
    const imported = ['index.js', 'store-worker.js'].flatMap(name =>
      [...readFileSync(join(ROOT, 'out/main', name), 'utf8').matchAll(/^import .*?from "([^."][^"]*)"/gm)].map(
        ([, specifier]) => specifier!,
      ),
    )
    const modules = new Set(inArchive().flatMap(path => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1] ?? []))
    expect([...modules].sort()).toEqual(['fflate', 'valibot'])
    for (const name of imported) {
      if (name !== 'electron' && !name.startsWith('node:')) expect(modules).toContain(name)
    }
  })

  it('has nothing of tests, training, gateware and tools, and no sources', () => {
    const strange = paths().filter(path =>
      /(^|\/)(test|training|gateware|engine\/backends|renderer\/features|\.github|docs)\/|\.(map|tsx|d\.ts|sv|py)$/.test(
        path.replace('app.asar/node_modules/', ''),
      ),
    )
    expect(strange).toEqual([])
  })

  it('has one Dawn, the one of its engine, and one model', () => {
    expect(paths().filter(path => path.endsWith('dawn.node'))).toEqual([`node_modules/webgpu/dist/${dawn}/dawn.node`])
    expect(paths().filter(path => path.endsWith('.gguf'))).toHaveLength(1)
  })

  it('names no folder of the machine that built it', () => {
    for (const path of inArchive().filter(name => /^app\.asar\/out\/.*\.(js|cjs|html|css|json)$/.test(name))) {
      const text = readFileSync(join(ROOT, path.slice('app.asar/'.length)), 'utf8')
      expect(text.includes(ROOT), path).toBe(false)
      expect(/^\/\/# sourceMappingURL=/m.test(text), path).toBe(false)
    }
  })

  it('adds less than 250 MB to Electron', () => {
    expect(files.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(MAX_BYTES)
  })

  it('passes the check that precedes every start of the engine', () => {
    expect(() =>
      checkEngineFiles(resources, readEngineManifest(join(ROOT, 'out/main/engine-files.json'))),
    ).not.toThrow()
  })

  it('has its fuses set, in their order: of the snapshot and the WASM traps the default stays', () => {
    const app = join(output, unpackedFolder(target))
    const frameworks = 'Tern.app/Contents/Frameworks/Electron Framework.framework/Electron Framework'
    const path = join(app, program === '' ? frameworks : program)
    expect(existsSync(path)).toBe(true)
    expect(readFuses(readFileSync(path))).toBe('010011001')
  })
})
