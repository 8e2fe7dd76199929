/** Power and energy on recorded machines: what is read, what is never added up, and what is told when nothing can be known. */
import { describe, expect, it } from 'vitest'
import type { PowerSample } from '../../contract/app/power.ts'
import { EnergyCounter } from '../../main/services/telemetry/energy-counter.ts'
import type { PowerMachine, PowerReader } from '../../main/services/telemetry/ports.ts'
import { PowerMeter } from '../../main/services/telemetry/power-meter.ts'
import { contains, findPowerSources, readersFor } from '../../main/services/telemetry/power-sources.ts'
import { parseSmartBattery } from '../../main/services/telemetry/readers/macos.ts'
import { parseNvidiaPower } from '../../main/services/telemetry/readers/nvidia.ts'
import { parseBatteryStatus } from '../../main/services/telemetry/readers/windows.ts'
import { machineOf, type Tree } from '../recorded-machine.ts'
import { createTestTime, settled } from '../test-time.ts'

const RAPL = '/sys/class/powercap'
const zone = (id: string, name: string, energy: string, range = '262143328850'): Tree => ({
  [`${RAPL}/${id}/name`]: `${name}\n`,
  [`${RAPL}/${id}/max_energy_range_uj`]: `${range}\n`,
  [`${RAPL}/${id}/energy_uj`]: energy === 'EACCES' ? 'EACCES' : `${energy}\n`,
})
/** A laptop of two cores' zones, memory beside, and the whole platform. */
const LAPTOP: Tree = {
  [`${RAPL}/intel-rapl/enabled`]: '1',
  ...zone('intel-rapl:0', 'package-0', '1000000'),
  ...zone('intel-rapl:0:0', 'core', '400000'),
  ...zone('intel-rapl:0:1', 'uncore', '100000'),
  ...zone('intel-rapl:0:2', 'dram', '300000'),
  ...zone('intel-rapl:1', 'psys', '9000000'),
  ...zone('intel-rapl-mmio:0', 'package-0', '1000000'),
}

describe('sources', () => {
  const found = async (machine: PowerMachine) => {
    const { readers, closed } = await findPowerSources(machine)
    return { readers: readers.map(({ id, scope }) => `${scope} ${id}`), closed }
  }

  it('RAPL: packages, memory and the platform; what a package contains is left out', async () => {
    expect(await found(machineOf('linux', LAPTOP))).toEqual({
      readers: ['package rapl intel-rapl:0', 'dram rapl intel-rapl:0:2', 'system rapl intel-rapl:1'],
      closed: [],
    })
    const { readers } = await findPowerSources(machineOf('linux', LAPTOP))
    expect(await Promise.all(readers.map(reader => reader.read()))).toEqual([1, 0.3, 9])
    expect(readers[0].counterRangeJoules).toBeCloseTo(262_143.32885)
  })

  it('RAPL that is the root user’s is told, with the line that opens it', async () => {
    const { readers, closed } = await found(machineOf('linux', zone('intel-rapl:0', 'package-0', 'EACCES')))
    expect(readers).toEqual([])
    expect(closed).toMatchObject([{ scope: 'package', remedy: expect.stringContaining('chmod a+r') }])
  })

  it.each(['', 'garbage', '-5', '1e9', '12.5'])('RAPL that says %j is not read', async text => {
    const [reader] = (await findPowerSources(machineOf('linux', zone('intel-rapl:0', 'package-0', text)))).readers
    expect(await reader.read()).toBeNull()
  })

  it('two sockets are two packages', async () => {
    const tree = { ...zone('intel-rapl:0', 'package-0', '1'), ...zone('intel-rapl:1', 'package-1', '2') }
    const { readers } = await findPowerSources(machineOf('linux', tree))
    expect(readersFor(readers, 'system')).toMatchObject({ scope: 'package', readers: [{}, {}] })
  })

  it('AMD graphics by hwmon, the average before the moment', async () => {
    const tree = {
      '/sys/class/hwmon/hwmon0/name': 'k10temp\n',
      '/sys/class/hwmon/hwmon3/name': 'amdgpu\n',
      '/sys/class/hwmon/hwmon3/power1_average': '32500000\n',
      '/sys/class/hwmon/hwmon3/power1_input': '99000000\n',
    }
    const { readers } = await findPowerSources(machineOf('linux', tree))
    expect(readers.map(({ scope }) => scope)).toEqual(['gpu'])
    expect(await readers[0].read()).toBe(32.5)
  })

  const battery = (over: Tree): Tree => ({
    '/sys/class/power_supply/BAT0/type': 'Battery\n',
    '/sys/class/power_supply/BAT0/status': 'Discharging\n',
    '/sys/class/power_supply/AC/type': 'Mains\n',
    '/sys/class/power_supply/hidpp_battery_0/type': 'Battery\n',
    '/sys/class/power_supply/hidpp_battery_0/scope': 'Device\n',
    ...over,
  })
  it.each<[string, Tree, number | null]>([
    ['power', { '/sys/class/power_supply/BAT0/power_now': '8750000\n' }, 8.75],
    ['a power that some drivers write with a sign', { '/sys/class/power_supply/BAT0/power_now': '-8750000\n' }, 8.75],
    [
      'current and voltage',
      {
        '/sys/class/power_supply/BAT0/current_now': '500000\n',
        '/sys/class/power_supply/BAT0/voltage_now': '12000000\n',
      },
      6,
    ],
    [
      'nothing while it charges',
      { '/sys/class/power_supply/BAT0/status': 'Charging\n', '/sys/class/power_supply/BAT0/power_now': '30000000\n' },
      null,
    ],
    ['nothing without files', {}, null],
  ])('a battery tells %s', async (_, over, watts) => {
    const { readers } = await findPowerSources(machineOf('linux', battery(over)))
    expect(readers.map(({ id }) => id)).toEqual(['battery BAT0'])
    expect(await readers[0].read()).toEqual(watts === null ? null : expect.closeTo(watts))
  })

  it('NVIDIA cards, by what the driver knows', async () => {
    expect(parseNvidiaPower('0, NVIDIA H100 80GB HBM3, 71.49\n1, Tesla, K, [N/A]\n\nError, x\n')).toEqual([
      { index: 0, name: 'NVIDIA H100 80GB HBM3', watts: 71.49 },
      { index: 1, name: 'Tesla', watts: null },
    ])
    const machine = machineOf('win32', {}, { 'nvidia-smi': '0, GeForce RTX 4090, 33.10\r\n' })
    const { readers } = await findPowerSources(machine)
    expect(await readers[0].read()).toBe(33.1)
    expect((await findPowerSources(machineOf('linux', {}, { 'nvidia-smi': '0, Quadro, [N/A]\n' }))).readers).toEqual([])
  })

  it('a Mac’s controller tells the load of the whole machine, else what its battery gives', () => {
    expect(parseSmartBattery('"PowerTelemetryData" = {"SystemLoad"=11834,"SystemPowerIn"=12001}')).toBe(11.834)
    const onBattery =
      '"ExternalConnected" = No\n"IsCharging" = No\n"Voltage" = 12000\n"InstantAmperage" = 18446744073709550616'
    expect(parseSmartBattery(onBattery)).toBeCloseTo(12)
    expect(parseSmartBattery(onBattery.replace('ExternalConnected" = No', 'ExternalConnected" = Yes'))).toBeNull()
    expect(parseSmartBattery('')).toBeNull()
  })

  it('Windows tells what its batteries give, one or several', () => {
    expect(parseBatteryStatus('{"DischargeRate":9230,"Discharging":true}')).toBe(9.23)
    expect(
      parseBatteryStatus('[{"DischargeRate":5000,"Discharging":true},{"DischargeRate":0,"Discharging":false}]'),
    ).toBe(5)
    for (const none of ['{"DischargeRate":0,"Discharging":false}', '', 'null', '[1]', '{']) {
      expect(parseBatteryStatus(none)).toBeNull()
    }
  })

  it('a virtual machine has none, and nothing is closed', async () => {
    expect(await found(machineOf('linux', {}))).toEqual({ readers: [], closed: [] })
    expect(await found(machineOf('freebsd', LAPTOP))).toEqual({ readers: [], closed: [] })
  })

  it('what contains what: only the whole machine contains others', () => {
    const scopes = ['system', 'package', 'dram', 'gpu', 'board'] as const
    const pairs = scopes.flatMap(outer =>
      scopes.filter(inner => contains(outer, inner)).map(inner => `${outer} ${inner}`),
    )
    expect(pairs).toEqual(['system package', 'system dram', 'system gpu', 'system board'])
  })
})

const reader = (over: Partial<PowerReader>): PowerReader => ({
  id: 'x',
  scope: 'package',
  name: 'X',
  counterRangeJoules: 100,
  read: async () => null,
  ...over,
})

describe('an energy counter', () => {
  it('adds differences, over its range too', () => {
    const counter = new EnergyCounter(reader({}))
    for (const [value, atMs] of [
      [90, 0],
      [95, 500],
      [2, 1_000],
    ])
      counter.add(value, atMs)
    expect(counter.total).toEqual({ joules: 12, coveredMs: 1_000 })
    expect(counter.watts).toBe(14)
  })

  it('of watts adds their mean over time', () => {
    const counter = new EnergyCounter(reader({ counterRangeJoules: null }))
    for (const [watts, atMs] of [
      [10, 0],
      [20, 1_000],
      [20, 2_000],
    ])
      counter.add(watts, atMs)
    expect(counter.total).toEqual({ joules: 35, coveredMs: 2_000 })
  })

  it('knows nothing of a machine that slept, a reading that failed, or an absurd one', () => {
    const counter = new EnergyCounter(reader({}))
    counter.add(1, 0)
    counter.add(50, 3_600_000)
    expect([counter.total.joules, counter.watts]).toEqual([0, null])
    counter.add(null, 3_600_500)
    counter.add(60, 3_601_000)
    expect(counter.total).toEqual({ joules: 0, coveredMs: 0 })
    const wild = new EnergyCounter(reader({ counterRangeJoules: 1e9 }))
    wild.add(0, 0)
    wild.add(9e8, 500)
    expect([wild.total.joules, wild.watts]).toEqual([0, null])
    const negative = new EnergyCounter(reader({ counterRangeJoules: null }))
    negative.add(-3, 0)
    expect(negative.watts).toBeNull()
  })
})

describe('the meter', () => {
  /** A machine whose draw the test sets, in watts. */
  const powered = (sources: { readers: Partial<PowerReader>[] }) => {
    const clock = createTestTime()
    const drawn = { watts: 10, joules: 0, atMs: 0, reads: 0, sleptMs: 0 }
    const time = { ...clock, nowMs: () => clock.nowMs() + drawn.sleptMs }
    const readers = sources.readers.map(over =>
      reader({
        counterRangeJoules: 1e6,
        async read() {
          drawn.reads++
          drawn.joules += (drawn.watts * (time.nowMs() - drawn.atMs)) / 1_000
          drawn.atMs = time.nowMs()
          return this.counterRangeJoules === null ? drawn.watts : drawn.joules
        },
        ...over,
      }),
    )
    const meter = new PowerMeter(async () => ({ readers, closed: [] }), time)
    return { time, drawn, meter }
  }
  const watching = (meter: PowerMeter) => {
    const samples: PowerSample[] = []
    const stop = new AbortController()
    void meter.watch(sample => samples.push(sample), stop.signal)
    return { samples, stop: () => stop.abort() }
  }

  it('reads while somebody watches, and not after', async () => {
    const { meter, time, drawn } = powered({ readers: [{}] })
    await settled()
    expect(drawn.reads).toBe(0)
    const { samples, stop } = watching(meter)
    for (let n = 0; n < 4; n++) await time.advance(500)
    expect(samples.at(-1)!.readings).toEqual([
      { id: 'x', scope: 'package', name: 'X', method: 'counter', watts: expect.closeTo(10) },
    ])
    stop()
    await settled()
    const { reads } = drawn
    await time.advance(10_000)
    expect(drawn.reads).toBe(reads)
  })

  it('tells the energy of a reply, and what is beyond the idle draw before it', async () => {
    const { meter, time, drawn } = powered({ readers: [{}] })
    const { samples } = watching(meter)
    for (let n = 0; n < 10; n++) await time.advance(500)
    expect(samples.at(-1)!.idleWatts).toBeCloseTo(10)
    const window = meter.begin()
    await settled()
    drawn.watts = 30
    for (let n = 0; n < 4; n++) await time.advance(500)
    const energy = await window.end('system')
    expect(energy).toMatchObject({ scope: 'package', method: 'counter', quality: 'measured', windowMs: 2_000 })
    expect(energy!.joules).toBeCloseTo(60)
    expect(energy!.aboveIdleJoules).toBeCloseTo(40)
    expect(energy!.idle).toMatchObject({ watts: expect.closeTo(10), ageMs: expect.any(Number) })
    expect(await window.end('system')).toBeNull()
  })

  it('measures a reply that nobody watches; without an idle draw it does not tell what is beyond', async () => {
    const { meter, time } = powered({ readers: [{}] })
    const window = meter.begin()
    await settled()
    for (let n = 0; n < 3; n++) await time.advance(500)
    expect(await window.end('system')).toMatchObject({ joules: expect.closeTo(15), aboveIdleJoules: null, idle: null })
  })

  it('calls a short reply on a card that was sampled bound, a long one estimated', async () => {
    for (const [seconds, quality] of [
      [2, 'bound'],
      [21, 'estimated'],
    ] as const) {
      const { meter, time } = powered({ readers: [{ scope: 'gpu', counterRangeJoules: null }] })
      const window = meter.begin()
      await settled()
      for (let n = 0; n < seconds * 2; n++) await time.advance(500)
      expect(await window.end('gpu')).toMatchObject({
        quality,
        method: 'samples',
        joules: expect.closeTo(10 * seconds),
      })
    }
  })

  it('takes the card for a model on the card, the packages for one on the processor, and never both', async () => {
    const { meter, time } = powered({
      readers: [
        { id: 'p', scope: 'package' },
        { id: 'd', scope: 'dram' },
      ],
    })
    const window = meter.begin()
    await settled()
    await time.advance(500)
    await time.advance(500)
    expect(await window.end('gpu')).toBeNull()
    const { readers } = await findPowerSources(machineOf('linux', LAPTOP, { 'nvidia-smi': '0, RTX, 30.0\n' }))
    expect(readersFor(readers, 'system')).toMatchObject({ scope: 'package', readers: [{ id: 'rapl intel-rapl:0' }] })
    expect(readersFor(readers, 'gpu')).toMatchObject({ scope: 'gpu', readers: [{ id: 'nvidia 0' }] })
    expect(readersFor(readers, 'board')).toBeNull()
  })

  it('has no figure for a time in which the machine slept', async () => {
    const { meter, time, drawn } = powered({ readers: [{}] })
    const window = meter.begin()
    await settled()
    await time.advance(500)
    drawn.sleptMs = 3_600_000
    await time.advance(500)
    expect(await window.end('system')).toBeNull()
  })

  it('of a machine without sources says so once, and reads nothing', async () => {
    const { meter, time } = powered({ readers: [] })
    const { samples } = watching(meter)
    await settled()
    await time.advance(60_000)
    expect(samples.length).toBeLessThanOrEqual(2)
    expect(samples[0]).toMatchObject({ readings: [], closed: [], idleWatts: null })
    const window = meter.begin()
    expect(await window.end('system')).toBeNull()
  })
})
