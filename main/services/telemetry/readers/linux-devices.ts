/** Power of Linux' other devices: AMD graphics by hwmon, and the battery while the machine runs on it. */
import type { PowerMachine, PowerReader, PowerSources } from '../ports.ts'

const HWMON = '/sys/class/hwmon'
const SUPPLIES = '/sys/class/power_supply'

export async function hwmonGpuSources(machine: PowerMachine): Promise<PowerSources> {
  const readers: PowerReader[] = []
  for (const device of (await machine.list(HWMON)).toSorted()) {
    const path = `${HWMON}/${device}`
    if ((await numberOrText(machine, `${path}/name`)) !== 'amdgpu') continue
    const names = await machine.list(path)
    // The average is steadier; newer cards tell the power of the moment alone.
    const file = ['power1_average', 'power1_input'].find(name => names.includes(name))
    if (file === undefined) continue
    readers.push({
      id: `hwmon ${device}`,
      scope: 'gpu',
      name: 'AMD graphics',
      counterRangeJoules: null,
      read: async () => scaled(await numberOrText(machine, `${path}/${file}`), 1e-6),
    })
  }
  return { readers, closed: [] }
}

export async function linuxBatterySources(machine: PowerMachine): Promise<PowerSources> {
  const readers: PowerReader[] = []
  for (const supply of (await machine.list(SUPPLIES)).toSorted()) {
    const path = `${SUPPLIES}/${supply}`
    const value = (name: string) => numberOrText(machine, `${path}/${name}`)
    // A mouse has a battery too.
    if ((await value('type')) !== 'Battery' || (await value('scope')) === 'Device') continue
    readers.push({
      id: `battery ${supply}`,
      scope: 'system',
      name: 'Battery',
      counterRangeJoules: null,
      async read() {
        // While it charges, the machine draws from the wall, and nothing tells how much.
        if ((await value('status')) !== 'Discharging') return null
        const microwatts = scaled(await value('power_now'), 1e-6)
        if (microwatts !== null) return Math.abs(microwatts)
        const [amperes, volts] = [scaled(await value('current_now'), 1e-6), scaled(await value('voltage_now'), 1e-6)]
        return amperes === null || volts === null ? null : Math.abs(amperes * volts)
      },
    })
  }
  return { readers, closed: [] }
}

async function numberOrText(machine: PowerMachine, path: string): Promise<string | null> {
  try {
    return (await machine.readText(path)).trim()
  } catch {
    return null
  }
}

const scaled = (text: string | null, factor: number): number | null =>
  text !== null && /^-?\d+$/.test(text) ? Number(text) * factor : null
