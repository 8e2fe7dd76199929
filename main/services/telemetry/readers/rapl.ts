/**
 * Energy counters of Linux' powercap (Intel RAPL; AMD under the same name): microjoules that begin again at a range which the
 * kernel tells. Only what stands on its own is read: cores and graphics are part of their package. Since kernel 5.10 the
 * counters are the root user's: then they are told as closed, with what opens them.
 */
import type { ClosedSource, PowerScope } from '../../../../contract/words/energy.ts'
import type { PowerMachine, PowerReader, PowerSources } from '../ports.ts'

const ROOT = '/sys/class/powercap'
const ZONE = /^intel-rapl:\d+(?::\d+)?$/

const REMEDY = `sudo chmod a+r ${ROOT}/intel-rapl:*/energy_uj ${ROOT}/intel-rapl:*/intel-rapl:*/energy_uj`

export async function raplSources(machine: PowerMachine): Promise<PowerSources> {
  const readers: PowerReader[] = []
  const closed: ClosedSource[] = []
  for (const zone of (await machine.list(ROOT)).filter(name => ZONE.test(name)).toSorted()) {
    const path = `${ROOT}/${zone}`
    const name = await textOf(machine, `${path}/name`)
    const range = Number(await textOf(machine, `${path}/max_energy_range_uj`))
    const scope = scopeOf(name)
    if (name === null || scope === null || !(range > 0)) continue
    const id = `rapl ${zone}`
    try {
      await machine.readText(`${path}/energy_uj`)
      readers.push({
        id,
        scope,
        name: `RAPL ${name}`,
        counterRangeJoules: range / 1e6,
        async read() {
          const text = await textOf(machine, `${path}/energy_uj`)
          return text === null || !/^\d+$/.test(text) ? null : Number(text) / 1e6
        },
      })
    } catch (error) {
      if (isForbidden(error)) closed.push({ id, scope, name: `RAPL ${name}`, remedy: REMEDY })
    }
  }
  return { readers, closed }
}

/** null: contained in another zone. */
function scopeOf(name: string | null): PowerScope | null {
  if (name === null) return null
  if (/^package(-\d+)?$/.test(name)) return 'package'
  if (name === 'dram') return 'dram'
  return name === 'psys' ? 'system' : null
}

async function textOf(machine: PowerMachine, path: string): Promise<string | null> {
  try {
    return (await machine.readText(path)).trim()
  } catch {
    return null
  }
}

const isForbidden = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'EACCES' || error.code === 'EPERM')
