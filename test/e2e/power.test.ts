/** Power and energy in the window, on machines as they were recorded: what each can tell, and what it cannot. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { PowerMachine } from '../../main/services/telemetry/ports.ts'
import { PowerMeter } from '../../main/services/telemetry/power-meter.ts'
import { findPowerSources } from '../../main/services/telemetry/power-sources.ts'
import { machineOf } from '../recorded-machine.ts'
import { launchChromium, noChromiumReason, screenshot } from './browser.ts'
import { openWindow, type WindowPage } from './window-page.ts'

const RAPL = '/sys/class/powercap/intel-rapl:0'
/** Microjoules of a draw of 12.5 W since the epoch, within the range. */
const counter = () => `${Math.floor(Date.now() * 12_500) % 262_143_328_850}\n`
const PACKAGE = { [`${RAPL}/name`]: 'package-0\n', [`${RAPL}/max_energy_range_uj`]: '262143328850\n' }
const BATTERY = '/sys/class/power_supply/BAT0'
const IOREG = '+-o AppleSmartBattery\n "PowerTelemetryData" = {"SystemLoad"=11834,"SystemPowerIn"=12001}'

/** What stands in the header, and in the instrument beside it. */
const MACHINES: readonly [name: string, machine: PowerMachine, watts: string, words: string][] = [
  [
    'linux-rapl',
    machineOf('linux', { ...PACKAGE, [`${RAPL}/energy_uj`]: counter }),
    '12.5 W',
    'Processor package, measured',
  ],
  [
    'linux-battery',
    machineOf('linux', {
      [`${BATTERY}/type`]: 'Battery\n',
      [`${BATTERY}/status`]: 'Discharging\n',
      [`${BATTERY}/power_now`]: '8750000\n',
    }),
    '8.75 W',
    'Whole machine, measured',
  ],
  [
    'nvidia',
    machineOf('linux', {}, { 'nvidia-smi': '0, NVIDIA H100 80GB HBM3, 71.49\n' }),
    '71.5 W',
    'Graphics card, measured',
  ],
  ['mac', machineOf('darwin', {}, { '/usr/sbin/ioreg': IOREG }), '11.8 W', 'Whole machine, measured'],
  [
    'windows',
    machineOf('win32', {}, { 'powershell.exe': '{"DischargeRate":9230,"Discharging":true}' }),
    '9.23 W',
    'Whole machine, measured',
  ],
  ['root-only', machineOf('linux', { ...PACKAGE, [`${RAPL}/energy_uj`]: 'EACCES' }), '– W', 'sudo chmod a+r'],
  ['virtual-machine', machineOf('linux', {}), '– W', 'no power meter that Tern can read'],
]

const plain = (text: string) => text.replaceAll('\u00a0', ' ')

describe.skipIf(noChromiumReason !== null)(`power${noChromiumReason === null ? '' : ` (${noChromiumReason})`}`, () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launchChromium()
  })
  afterAll(() => browser.close())

  /** The window beside a recorded machine, until `use` has ended. */
  const beside = async (machine: PowerMachine, use: (window: WindowPage) => Promise<void>) => {
    const window = await openWindow(browser)
    const stop = new AbortController()
    const meter = new PowerMeter(() => findPowerSources(machine))
    const watching = meter.watch(sample => window.host.setPower(sample), stop.signal)
    try {
      await use(window)
    } finally {
      stop.abort()
      await watching
      await window.close()
    }
  }

  it.each(MACHINES)('of %s', async (name, machine, watts, words) => {
    await beside(machine, async ({ page, faults }) => {
      const gauge = page.locator('.power-gauge')
      await page.waitForFunction(
        expected => document.querySelector('.power-gauge-watts')?.textContent?.replaceAll('\u00a0', ' ') === expected,
        watts,
      )
      expect(await gauge.getAttribute('data-missing')).toBe(String(watts === '– W'))
      const instrument = page.locator('.instrument', { has: page.locator('#power-heading') })
      await instrument.getByText(words).first().waitFor()
      // Never a zero for what is not known.
      expect(plain(await instrument.innerText())).not.toMatch(/\b0(\.0+)? ?W/)
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme })
        await screenshot(page, `power-${name}-${colorScheme}`)
      }
      expect(faults).toEqual([])
    })
  })

  it('tells the energy of a reply with what it is of', async () => {
    await beside(machineOf('linux', {}), async ({ page, host, talk }) => {
      await talk('Hello', 'A reply of some words that are counted.')
      const [chat] = host.chats.values()
      host.setMessage(chat.id, chat.messages[1].id, {
        energy: {
          joules: 2.9,
          aboveIdleJoules: 1.2,
          scope: 'package',
          method: 'counter',
          quality: 'measured',
          windowMs: 600,
          idle: { watts: 4.2, ageMs: 2_000 },
        },
      })
      const energy = page.locator('.figures .energy')
      await energy.waitFor()
      expect(plain(await energy.innerText())).toMatch(/^(\d+ mJ|0\.\d+ J)\/token$/)
      expect(await energy.getAttribute('title')).toBe('Processor package: measured, by an energy counter')
      await page.getByText('idle 4.20 W, measured before it').waitFor()
    })
  })
})
