/** How many threads this machine has room for: one a physical core, within what the process may use. */
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'

/** Decoding is bound by memory bandwidth, which a few cores use up; more only wait for each other. */
const MAX_THREADS = 8

/** At least 1. Where the cores cannot be told apart, every logical processor counts as one. */
export async function coreThreads(): Promise<number> {
  // Affinity and control groups are in it; two threads of one core count twice.
  const logical = availableParallelism()
  const cores = await physicalCores(process.platform).catch(() => null)
  return Math.max(1, Math.min(MAX_THREADS, logical, cores ?? logical))
}

/** null where it is not known. */
async function physicalCores(platform: NodeJS.Platform): Promise<number | null> {
  if (platform === 'linux') return linuxCores('/sys/devices/system/cpu', await readFile('/proc/self/status', 'utf8'))
  if (platform === 'darwin') {
    // The fast cores: a slow one would hold up all others.
    const { stdout } = await promisify(execFile)('sysctl', ['-n', 'hw.perflevel0.physicalcpu'])
    return positive(Number(stdout))
  }
  return null
}

/** Cores that have a processor in Cpus_allowed_list of /proc/self/status. `folder` is like /sys/devices/system/cpu. */
export async function linuxCores(folder: string, status: string): Promise<number | null> {
  const allowed = parseCpuList(/^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1] ?? '')
  const cores = new Set<string>()
  for (const name of await readdir(folder)) {
    const cpu = /^cpu(\d+)$/.exec(name)?.[1]
    if (cpu === undefined || (allowed.size > 0 && !allowed.has(Number(cpu)))) continue
    // A processor that is switched off has no topology.
    const siblings = await readFile(`${folder}/${name}/topology/thread_siblings_list`, 'utf8').catch(() => null)
    if (siblings !== null) cores.add(siblings.trim())
  }
  return positive(cores.size)
}

const positive = (count: number): number | null => (Number.isInteger(count) && count > 0 ? count : null)

/** "0-2,5" gives 0, 1, 2 and 5. */
function parseCpuList(list: string): Set<number> {
  const cpus = new Set<number>()
  for (const range of list.split(',').filter(Boolean)) {
    const [first, last = first] = range.split('-').map(Number)
    for (let cpu = first; cpu <= last; cpu++) cpus.add(cpu)
  }
  return cpus
}
