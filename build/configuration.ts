/** What electron-builder is told for one system and processor. docs/packaging.md says why. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Configuration } from 'electron-builder'
import * as v from 'valibot'
import { closureOf, type LockedPackage } from './lockfile.ts'
import { dawnFolderOf, type Target } from './targets.ts'

export interface PackageRequest {
  root: string
  target: Target
  /** The Node that the engine runs in the package. */
  nodePath: string
  /** Where the packages go. */
  output: string
  /** A folder in Electron's place that electron-builder copies; null: it finds or downloads the true one. */
  standIn: string | null
}

const manifestSchema = v.object({ devDependencies: v.object({ electron: v.string() }) })

/** Packages that Electron's main bundle imports, which is not bundled with them. */
const MAIN_IMPORTS = ['valibot', 'fflate']

export function builderConfiguration(request: PackageRequest, packages: readonly LockedPackage[]): Configuration {
  const { root, target, nodePath, output, standIn } = request
  const manifest = v.parse(manifestSchema, JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')))
  return {
    appId: 'app.tern.desktop',
    productName: 'Tern',
    electronVersion: manifest.devDependencies.electron,
    ...(standIn === null ? {} : { electronDist: standIn }),
    // Native parts come ready in their packages.
    npmRebuild: false,
    publish: null,
    directories: { output, buildResources: 'build' },
    asar: true,
    files: [
      'out/main/**',
      'out/preload/**',
      'out/renderer/**',
      'package.json',
      '!**/*.map',
      '!**/*.d.{ts,cts,mts}',
      ...modulesLeftOut(packages),
    ],
    extraResources: [
      { from: 'out/engine', to: 'out/engine' },
      // Whole: the engine's list of hashes names every file of this folder.
      { from: 'models', to: 'models' },
      {
        from: 'node_modules/webgpu',
        to: 'node_modules/webgpu',
        filter: ['package.json', 'index.js', 'LICENSE', `dist/${dawnFolderOf(target)}/**`],
      },
      { from: nodePath, to: target.system === 'win32' ? 'node/node.exe' : 'node/node' },
      { from: 'LICENSE', to: 'LICENSE-tern.txt' },
      ...(target.system === 'linux' ? [{ from: 'build/linux/70-tern-boards.rules', to: '70-tern-boards.rules' }] : []),
    ],
    electronFuses: {
      runAsNode: false,
      enableCookieEncryption: true,
      enableNodeOptionsEnvironmentVariable: false,
      enableNodeCliInspectArguments: false,
      enableEmbeddedAsarIntegrityValidation: true,
      onlyLoadAppFromAsar: true,
      loadBrowserProcessSpecificV8Snapshot: false,
      grantFileProtocolExtraPrivileges: false,
    },
    fileAssociations: [
      {
        ext: 'gguf',
        name: 'GGUF model',
        description: 'Language model',
        mimeType: 'application/x-gguf',
        role: 'Viewer',
      },
      { ext: 'state', name: 'Tern conversation', mimeType: 'application/x-tern-state', role: 'Viewer' },
    ],
    ...systemParts(root, standIn !== null),
  }
}

function systemParts(root: string, isStandIn: boolean): Configuration {
  const rule = `${join(root, 'build/linux/70-tern-boards.rules')}=/usr/lib/udev/rules.d/70-tern-boards.rules`
  return {
    win: {
      target: ['nsis', 'portable'],
      icon: 'build/icon.ico',
      // A stand-in is no program whose version and integrity could be written.
      ...(isStandIn ? { signAndEditExecutable: false } : {}),
    },
    ...(isStandIn ? { disableAsarIntegrity: true } : {}),
    nsis: {
      oneClick: false,
      perMachine: false,
      allowToChangeInstallationDirectory: true,
      deleteAppDataOnUninstall: false,
      include: 'build/windows/installer.nsh',
    },
    mac: {
      target: ['dmg', 'zip'],
      icon: 'build/icon.icns',
      category: 'public.app-category.productivity',
      hardenedRuntime: true,
      entitlements: 'build/mac/entitlements.plist',
      entitlementsInherit: 'build/mac/entitlements-inherit.plist',
      // Electron 44 and newer need macOS 13.
      minimumSystemVersion: '13.0',
    },
    dmg: { background: 'build/mac/background.png' },
    linux: {
      target: ['AppImage', 'deb', 'rpm'],
      icon: 'build/icons',
      category: 'Utility',
      executableName: 'tern',
      maintainer: process.env.TERN_MAINTAINER ?? 'The Tern authors',
      synopsis: 'Chat offline with MatMul-free language models',
      syncDesktopName: true,
    },
    deb: { fpm: [rule] },
    rpm: { fpm: [rule] },
  }
}

/** Patterns against all that npm installed for running Tern and that the main bundle does not import. */
function modulesLeftOut(packages: readonly LockedPackage[]): string[] {
  const needed = closureOf(packages, MAIN_IMPORTS)
  return packages
    .filter(({ path }) => path.lastIndexOf('node_modules/') === 0 && !needed.has(path))
    .map(({ path }) => `!${path}{,/**}`)
}
