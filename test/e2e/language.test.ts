/** The window in German: as the reader's system has it, or as the settings say, without losing what stands in it. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchChromium, noChromiumReason, openPage, screenshot } from './browser.ts'
import { startScriptedHost } from './scripted-host.ts'

describe.skipIf(noChromiumReason !== null)(
  `languages${noChromiumReason === null ? '' : ` (${noChromiumReason})`}`,
  () => {
    let browser: Browser
    beforeAll(async () => {
      browser = await launchChromium()
    })
    afterAll(() => browser.close())

    it('German where the system is German; English by a choice that stays; what was typed stays', async () => {
      const host = await startScriptedHost()
      const { page, faults } = await openPage(browser, host.url, { locale: 'de-DE' })
      await page.getByRole('heading', { name: 'Ein Sprachmodell auf Ihrem eigenen Rechner' }).waitFor()
      expect(await page.evaluate(() => document.documentElement.lang)).toBe('de')
      const composer = page.getByRole('textbox', { name: 'Nachricht' })
      host.script('Eine Antwort, deren Zahlen gezählt sind.')
      host.setPace(20_000)
      await composer.fill('Guten Tag')
      await composer.press('Enter')
      await page.locator('.reply[data-status="complete"]').waitFor()
      await composer.fill('Noch nicht gesendet')
      await screenshot(page, 'german-light')
      await page.setViewportSize({ width: 390, height: 800 })
      await screenshot(page, 'german-narrow-light')
      const isTooWide = () => page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth)
      expect(await isTooWide()).toBe(false)
      await page.setViewportSize({ width: 1280, height: 800 })
      await page.getByRole('button', { name: 'Einstellungen' }).click()
      await screenshot(page, 'german-settings-light')
      await page.getByText('English', { exact: true }).click()
      await page.getByRole('region', { name: 'Settings' }).waitFor()
      expect(await page.evaluate(() => document.documentElement.lang)).toBe('en')
      await page.goBack()
      await page.getByRole('textbox', { name: 'Message' }).waitFor()
      expect(await page.getByRole('textbox', { name: 'Message' }).inputValue()).toBe('Noch nicht gesendet')
      await page.reload()
      await page.getByRole('button', { name: 'Settings' }).waitFor()
      expect(faults).toEqual([])
      await page.context().close()
      await host.close()
    })
  },
)
