/** Runs electron-builder for one system and processor. */
import { Arch, build, Platform } from 'electron-builder'
import { builderConfiguration, type PackageRequest } from './configuration.ts'
import { readLockfile } from './lockfile.ts'

const PLATFORMS = { linux: Platform.LINUX, darwin: Platform.MAC, win32: Platform.WINDOWS }

/** Makes the folder that the installers are made of, or the installers; returns what electron-builder says it made. */
export async function packageApp(request: PackageRequest, what: 'folder' | 'installers'): Promise<string[]> {
  const { system, processor } = request.target
  return build({
    projectDir: request.root,
    targets: PLATFORMS[system].createTarget(what === 'folder' ? 'dir' : null, Arch[processor]),
    config: builderConfiguration(request, readLockfile(request.root)),
    publish: 'never',
  })
}
