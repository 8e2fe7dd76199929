/**
 * macOS without the root user: what the battery's controller says of the whole machine (ioreg). In telemetry data of newer
 * machines the system's own draw stands, plugged in or not; else volts and amperes of the battery while it is used.
 */
import type { PowerMachine, PowerSources } from '../ports.ts'

export async function macosSources(machine: PowerMachine): Promise<PowerSources> {
  const read = async () => {
    const output = await machine.run('/usr/sbin/ioreg', ['-rn', 'AppleSmartBattery', '-d', '1'])
    return output === null ? null : parseSmartBattery(output)
  }
  const isThere = (await machine.run('/usr/sbin/ioreg', ['-rn', 'AppleSmartBattery', '-d', '1']))?.includes(
    'AppleSmartBattery',
  )
  if (isThere !== true) return { readers: [], closed: [] }
  return {
    readers: [{ id: 'ioreg battery', scope: 'system', name: 'Whole machine', counterRangeJoules: null, read }],
    closed: [],
  }
}

/** Watts; null: on the wall, and nothing tells. */
export function parseSmartBattery(output: string): number | null {
  const load = /"SystemLoad"=(\d+)/.exec(output)
  if (load !== null && Number(load[1]) > 0) return Number(load[1]) / 1_000
  if (!/"IsCharging" = No/.test(output) || !/"ExternalConnected" = No/.test(output)) return null
  const volts = /"Voltage" = (\d+)/.exec(output)
  const amperes = /"InstantAmperage" = (\d+)/.exec(output)
  if (volts === null || amperes === null) return null
  // A negative current, written without its sign in 64 bits.
  const milliamperes = Number(BigInt.asIntN(64, BigInt(amperes[1])))
  return milliamperes < 0 ? (-milliamperes * Number(volts[1])) / 1e6 : null
}
