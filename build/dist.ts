/**
 * `npm run dist`: packages of Tern for this system, or for those that are named:
 *
 *     npm run dist -- [--dir] [--linux] [--mac] [--win] [--x64] [--arm64]
 *
 * --dir makes the folders that installers are made of. Where Electron itself is not there it goes on with a stand-in and
 * says what is missing.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import * as v from 'valibot'
import { ensureElectronBundles } from '../main/browser-shell/window-bundle.ts'
import { findElectronBinary } from '../main/launcher/electron-binary.ts'
import { makeElectronStandIn } from './electron-stand-in.ts'
import { readLockfile } from './lockfile.ts'
import { fetchNodeBinary, findNodeBinary } from './node-binary.ts'
import { packageApp } from './package-app.ts'
import { makeSbom } from './sbom.ts'
import { listShippedFiles, resourcesFolder } from './shipped-files.ts'
import { nameOf, type Processor, type System, type Target } from './targets.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const OUTPUT = join(ROOT, 'dist')
const MAX_PACKAGE_BYTES = 250_000_000
const say = (line: string) => process.stdout.write(`${line}\n`)
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`

const { values } = parseArgs({
  options: {
    dir: { type: 'boolean', default: false },
    linux: { type: 'boolean', default: false },
    mac: { type: 'boolean', default: false },
    win: { type: 'boolean', default: false },
    x64: { type: 'boolean', default: false },
    arm64: { type: 'boolean', default: false },
  },
})

function chosenTargets(): Target[] {
  const hostSystem = v.parse(v.picklist(['linux', 'darwin', 'win32']), process.platform)
  const hostProcessor = v.parse(v.picklist(['x64', 'arm64']), process.arch)
  const systems: System[] = []
  if (values.linux) systems.push('linux')
  if (values.mac) systems.push('darwin')
  if (values.win) systems.push('win32')
  const processors: Processor[] = []
  if (values.x64) processors.push('x64')
  if (values.arm64) processors.push('arm64')
  return (systems.length > 0 ? systems : [hostSystem]).flatMap(system =>
    (processors.length > 0 ? processors : [hostProcessor]).map(processor => ({ system, processor })),
  )
}

async function makePackages(target: Target): Promise<void> {
  const app = v.parse(
    v.object({ name: v.string(), version: v.string() }),
    JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')),
  )
  const packages = readLockfile(ROOT)
  const nodePath = findNodeBinary(ROOT, target) ?? fetchNodeBinary(ROOT, target, packages)
  const isHost = target.system === process.platform && target.processor === process.arch
  const hasElectron = isHost && findElectronBinary() !== null
  const standIn = values.dir && !hasElectron ? mkdtempSync(join(tmpdir(), 'tern-electron-')) : null
  try {
    if (standIn !== null) makeElectronStandIn(standIn, target)
    const request = { root: ROOT, target, nodePath, output: OUTPUT, standIn }
    const made = await packageApp(request, packages, values.dir ? 'folder' : 'installers')
    mkdirSync(OUTPUT, { recursive: true })
    const sbomPath = join(OUTPUT, `tern-${app.version}-${nameOf(target)}.cdx.json`)
    writeFileSync(sbomPath, `${JSON.stringify(makeSbom(app, packages, target), null, 2)}\n`)
    report(target, made, standIn !== null)
  } finally {
    if (standIn !== null) rmSync(standIn, { recursive: true, force: true })
  }
}

function report(target: Target, made: readonly string[], isStandIn: boolean): void {
  const files = listShippedFiles(resourcesFolder(OUTPUT, target))
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  say(`\n${nameOf(target)}: ${files.length} files of Tern, ${megabytes(bytes)} before compression`)
  for (const path of values.dir ? [] : made) {
    const size = statSync(path).size
    say(`  ${path}: ${megabytes(size)}`)
    if (size > MAX_PACKAGE_BYTES) {
      say(`  This is above ${megabytes(MAX_PACKAGE_BYTES)}.`)
      process.exitCode = 1
    }
  }
  if (!isStandIn) return
  say('Missing, so this folder cannot be started:')
  say(`  Electron for ${nameOf(target)}: "npm run dist" without --dir downloads it where there is a network.`)
  if (target.system === 'darwin')
    say('  A signature and the notarisation: they need macOS and a developer’s certificate.')
  if (target.system === 'win32')
    say('  The version, icon and archive hash inside of Tern.exe: they need the true program.')
}

await ensureElectronBundles()
for (const target of chosenTargets()) await makePackages(target)
