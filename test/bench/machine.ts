/** What a figure depends on besides the code: recorded with every run. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'

/** Instruction sets that the kernels' speed hangs on, by their names in /proc/cpuinfo. */
const FLAGS = ['avx2', 'avx_vnni', 'avx512f', 'avx512_vnni', 'asimd', 'asimddp', 'i8mm']

export interface Machine {
  cpu: string
  cores: number
  /** Of FLAGS; null where the system does not tell. */
  flags: string[] | null
  lastLevelCacheBytes: number | null
  memoryBytes: number
  platform: string
  node: string
  v8: string
  /** Of this repository; null outside a clone. */
  commit: string | null
  date: string
  /** Programs that wanted a core in the minute before the run; meaningless on Windows. */
  loadAverage: number
}

export function machineFacts(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    flags: cpuFlags(),
    lastLevelCacheBytes: lastLevelCacheBytes(),
    memoryBytes: totalmem(),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    v8: process.versions.v8,
    commit: commit(),
    date: new Date().toISOString(),
    loadAverage: loadavg()[0],
  }
}

function cpuFlags(): string[] | null {
  const flags = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(textOf('/proc/cpuinfo') ?? '')?.[1].split(' ')
  return flags ? FLAGS.filter(flag => flags.includes(flag)) : null
}

function lastLevelCacheBytes(): number | null {
  const size = /^(\d+)K/.exec(textOf('/sys/devices/system/cpu/cpu0/cache/index3/size') ?? '')
  return size ? Number(size[1]) * 1024 : null
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

function commit(): string | null {
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  try {
    return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain') === '' ? '' : ' with changes'}`
  } catch {
    return null
  }
}
