/** All sources of this machine, and which of them a reply is measured by. */
import type { PowerScope } from '../../../contract/words/energy.ts'
import type { ComputePlace, PowerMachine, PowerReader, PowerSources } from './ports.ts'
import { hwmonGpuSources, linuxBatterySources } from './readers/linux-devices.ts'
import { macosSources } from './readers/macos.ts'
import { nvidiaSources } from './readers/nvidia.ts'
import { raplSources } from './readers/rapl.ts'
import { windowsSources } from './readers/windows.ts'

const OF_PLATFORM: Partial<Record<NodeJS.Platform, readonly ((machine: PowerMachine) => Promise<PowerSources>)[]>> = {
  linux: [raplSources, hwmonGpuSources, nvidiaSources, linuxBatterySources],
  darwin: [macosSources],
  win32: [nvidiaSources, windowsSources],
}

export async function findPowerSources(machine: PowerMachine): Promise<PowerSources> {
  const found = await Promise.all((OF_PLATFORM[machine.platform] ?? []).map(find => find(machine)))
  return { readers: found.flatMap(({ readers }) => readers), closed: found.flatMap(({ closed }) => closed) }
}

/** What each scope contains: such figures are never added to it. A card of its own is in none but the system. */
const CONTAINED: Readonly<Record<PowerScope, readonly PowerScope[]>> = {
  system: ['package', 'dram', 'gpu', 'board'],
  package: [],
  dram: [],
  gpu: [],
  board: [],
}

export const contains = (outer: PowerScope, inner: PowerScope): boolean => CONTAINED[outer].includes(inner)

/** Where a model computes, by what it is measured best. */
const PREFERRED: Readonly<Record<ComputePlace, readonly PowerScope[]>> = {
  system: ['package', 'system'],
  gpu: ['gpu', 'system'],
  board: ['board'],
}

/** The readers that tell of a reply, and the scope that they are of together. Of several processors all count. */
export function readersFor(
  readers: readonly PowerReader[],
  place: ComputePlace,
): { scope: PowerScope; readers: readonly PowerReader[] } | null {
  for (const scope of PREFERRED[place]) {
    const found = readers.filter(reader => reader.scope === scope)
    // A counter and a battery may both tell of the system: one of them.
    if (found.length > 0) return { scope, readers: scope === 'system' ? [found[0]] : found }
  }
  return null
}
