/** Windows: what the battery says while the machine runs on it (WMI). */
import type { PowerMachine, PowerSources } from '../ports.ts'

const QUERY =
  'Get-CimInstance -Namespace root/wmi -ClassName BatteryStatus | Select-Object DischargeRate,Discharging | ConvertTo-Json -Compress'

export async function windowsSources(machine: PowerMachine): Promise<PowerSources> {
  const ask = () => machine.run('powershell.exe', ['-NoProfile', '-NonInteractive', '-Command', QUERY])
  const first = await ask()
  if (first === null || !first.includes('DischargeRate')) return { readers: [], closed: [] }
  const read = async () => parseBatteryStatus((await ask()) ?? '')
  return {
    readers: [{ id: 'wmi battery', scope: 'system', name: 'Battery', counterRangeJoules: null, read }],
    closed: [],
  }
}

/** Watts of all batteries that discharge; null: none does. */
export function parseBatteryStatus(json: string): number | null {
  let parsed: unknown
  try {
    parsed = JSON.parse(json)
  } catch {
    return null
  }
  const batteries: unknown[] = Array.isArray(parsed) ? parsed : [parsed]
  const milliwatts = batteries.flatMap(battery => {
    if (typeof battery !== 'object' || battery === null) return []
    const { DischargeRate: rate, Discharging: discharges } = battery as Record<string, unknown>
    return discharges === true && typeof rate === 'number' && rate > 0 ? [rate] : []
  })
  return milliwatts.length === 0 ? null : milliwatts.reduce((sum, rate) => sum + rate, 0) / 1_000
}
