/**
 * The simulators of the gateware. A simulation is keyed by a hash of everything that it is made of, so that an old one is
 * never taken for a new one.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const GATEWARE = fileURLToPath(new URL('../../gateware', import.meta.url))
const BUILDS = fileURLToPath(new URL('../../out/gateware', import.meta.url))

export const hasCommand = (name: string): boolean =>
  spawnSync(name, ['--version'], { stdio: 'ignore' }).error === undefined

const sourcesOf = (folder: string): string[] =>
  readdirSync(folder)
    .filter(name => name.endsWith('.sv'))
    .sort()
    .map(name => join(folder, name))

/** All modules of the device; `gateware` may be a copy with faults in it. */
export const rtlSources = (gateware = GATEWARE): string[] => sourcesOf(join(gateware, 'rtl'))

/** Standard output of a command that has to succeed. */
export function outputOf(command: string, args: readonly string[], folder?: string): string {
  const run = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 2 ** 28, ...(folder ? { cwd: folder } : {}) })
  if (run.status === 0) return run.stdout
  throw new Error(`${command} ${args.join(' ')} ended with ${run.status ?? run.signal}\n${run.stdout}${run.stderr}`)
}

export interface Simulation {
  readonly top: string
  readonly sources: readonly string[]
  readonly parameters?: Readonly<Record<string, number>>
  /** A C++ main, instead of a bench that makes its own clock. */
  readonly main?: string
}

/** Builds with Verilator unless the same was built before; the program's path. */
export function verilated({ top, sources, parameters = {}, main }: Simulation): string {
  const flags = [
    ...(main ? ['--cc', '--exe', '--build', main] : ['--binary']),
    '--timing',
    '-j',
    '2',
    '-O3',
    '-Wno-fatal',
    '--top-module',
    top,
    ...Object.entries(parameters).map(([name, value]) => `-G${name}=${value}`),
    '-CFLAGS',
    main ? '-O2' : '-O1',
  ]
  const key = createHash('sha256')
  key.update(outputOf('verilator', ['--version']))
  key.update(JSON.stringify(flags))
  for (const path of [...sources, ...(main ? [main] : [])]) key.update(basename(path)).update(readFileSync(path))
  const folder = join(BUILDS, `${top}-${key.digest('hex').slice(0, 16)}`)
  const program = join(folder, `V${top}`)
  if (existsSync(program)) return program
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  outputOf('verilator', [...flags, '--Mdir', folder, ...sources])
  return program
}
