/** Power and energy on the command line, on machines as they were recorded. */
import { describe, expect, it } from 'vitest'
import { createFakeEngine } from '../fake-engine.ts'
import { machineOf } from '../recorded-machine.ts'
import { connectFake, ternInProcess } from '../tern-in-process.ts'

const BATTERY = '/sys/class/power_supply/BAT0'
const onBattery = machineOf('linux', {
  [`${BATTERY}/type`]: 'Battery\n',
  [`${BATTERY}/status`]: 'Discharging\n',
  [`${BATTERY}/power_now`]: '8750000\n',
})
const RAPL = '/sys/class/powercap/intel-rapl:0'
const rootOnly = machineOf('linux', {
  [`${RAPL}/name`]: 'package-0\n',
  [`${RAPL}/max_energy_range_uj`]: '262143328850\n',
  [`${RAPL}/energy_uj`]: 'EACCES',
})
const withoutMeter = machineOf('linux', {})

describe('tern watch', () => {
  it('writes what is drawn, and ends after as many lines as were asked for', async () => {
    const { code, stdout, stderr } = await ternInProcess(['watch', '--count', '1'], { powerMachine: onBattery })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^whole machine 8\.75 W · memory [\d.,]+ \w+ free of [\d.,]+ \w+\n$/)
    expect(stderr).toBe('')
  })

  it.each([
    { machine: withoutMeter, says: 'no power meter that Tern can read' },
    { machine: rootOnly, says: `opens it: sudo chmod a+r ${RAPL.replace(':0', ':*')}/energy_uj` },
  ])('writes a dash and what would open a source: $says', async ({ machine, says }) => {
    const { code, stdout, stderr } = await ternInProcess(['watch', '--count', '1'], { powerMachine: machine })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^power – W · memory /)
    expect(stderr).toContain(says)
  })

  it('writes an object a line with --json', async () => {
    const { stdout } = await ternInProcess(['watch', '--count', '1', '--json'], { powerMachine: onBattery })
    expect(JSON.parse(stdout)).toMatchObject({
      readings: [{ id: 'battery BAT0', scope: 'system', method: 'samples', watts: 8.75 }],
      closed: [],
      idleWatts: null,
    })
  })
})

describe('tern run --json', () => {
  const run = async (powerMachine: typeof onBattery) => {
    const { code, stdout } = await ternInProcess(['run', '-p', 'Hello', '--json'], {
      connectEngine: connectFake(createFakeEngine()),
      powerMachine,
    })
    expect(code).toBe(0)
    return JSON.parse(stdout)
  }

  it('tells the energy of a reply: watts times its time, bounded where samples see too little', async () => {
    const { energy } = await run(onBattery)
    expect(energy).toMatchObject({
      scope: 'system',
      method: 'samples',
      quality: 'bound',
      aboveIdleJoules: null,
      idle: null,
    })
    expect(energy.joules).toBeGreaterThan(0)
    expect(energy.joules).toBeLessThanOrEqual((8.75 * energy.windowMs) / 1_000)
  })

  it('tells null, not zero, where nothing can be read', async () => {
    expect((await run(withoutMeter)).energy).toBeNull()
  })
})
