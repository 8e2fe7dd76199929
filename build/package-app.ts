/** Runs electron-builder for one system and processor. */
import { Arch, build, Platform } from 'electron-builder'
import { builderConfiguration, type PackageRequest } from './configuration.ts'
import type { LockedPackage } from './lockfile.ts'

const PLATFORMS = { linux: Platform.LINUX, darwin: Platform.MAC, win32: Platform.WINDOWS }

/** Makes the folder that the installers are made of, or the installers; returns what electron-builder says it made. */
export async function packageApp(
  request: PackageRequest,
  packages: readonly LockedPackage[],
  what: 'folder' | 'installers',
): Promise<string[]> {
  const { system, processor } = request.target
  return build({
    projectDir: request.root,
    targets: PLATFORMS[system].createTarget(what === 'folder' ? 'dir' : null, Arch[processor]),
    config: builderConfiguration(request, packages),
    publish: 'never',
  })
}
