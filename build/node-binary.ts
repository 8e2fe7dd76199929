/** The Node that a package's engine runs: npm's where it is installed, else the same package, fetched and compared with the lockfile. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LockedPackage } from './lockfile.ts'
import { nodePackageOf, type Target } from './targets.ts'

const programOf = ({ system }: Target) => (system === 'win32' ? 'bin/node.exe' : 'bin/node')

/** Null when npm installed none for this target. */
export function findNodeBinary(root: string, target: Target): string | null {
  const path = join(root, 'node_modules', nodePackageOf(target), programOf(target))
  return existsSync(path) ? path : null
}

/** Uses the network. Throws when what came is not what the lockfile names. */
export function fetchNodeBinary(root: string, target: Target, packages: readonly LockedPackage[]): string {
  const name = nodePackageOf(target)
  const locked = packages.find(({ path }) => path === `node_modules/${name}`)
  if (locked === undefined) throw new Error(`The lockfile has no ${name}.`)
  const folder = join(root, 'out/node', `${name}-${locked.version}`)
  const program = join(folder, 'package', programOf(target))
  if (existsSync(program)) return program
  mkdirSync(folder, { recursive: true })
  const pack = ['pack', `${name}@${locked.version}`, '--pack-destination', folder]
  execFileSync('npm', pack, { cwd: root, stdio: 'ignore', shell: process.platform === 'win32' })
  const archive = join(folder, readdirSync(folder).find(file => file.endsWith('.tgz')) ?? '')
  const hash = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`
  if (hash !== locked.integrity) throw new Error(`${name} ${locked.version} is not the one that the lockfile names.`)
  execFileSync('tar', ['-xzf', archive, '-C', folder])
  return program
}
