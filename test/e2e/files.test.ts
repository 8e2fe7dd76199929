/** Files that the window saves and opens: states. The browser shell, a real browser, the embedded model. */
import { readFileSync } from 'node:fs'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchChromium, noChromiumReason, openPage, screenshot } from './browser.ts'
import { startShell } from './start-shell.ts'

describe.skipIf(noChromiumReason !== null)(`files${noChromiumReason === null ? '' : ` (${noChromiumReason})`}`, () => {
  let browser: Browser
  let shell: Awaited<ReturnType<typeof startShell>>
  let page: Page
  let faults: string[]

  beforeAll(async () => {
    ;[browser, shell] = await Promise.all([launchChromium(), startShell()])
    ;({ page, faults } = await openPage(browser, shell.url))
    await page.locator('.model-name[data-phase="ready"]').waitFor()
  }, 120_000)
  afterAll(async () => {
    await browser?.close()
    shell?.process.kill('SIGTERM')
  })

  const say = async (text: string) => {
    const composer = page.getByRole('textbox', { name: 'Message' })
    await composer.fill(text)
    await composer.press('Enter')
  }
  const replies = (n: number) =>
    page
      .locator('.reply[data-status="complete"]')
      .nth(n - 1)
      .waitFor()
  const pick = (name: string, buffer: Buffer) =>
    page.locator('.composer input[type="file"]').setInputFiles({ name, mimeType: 'application/octet-stream', buffer })

  it('a state is saved, and a chat begun from it goes on without reading', async () => {
    await say('My name is Anna. What is your name?')
    await replies(1)
    await page.getByRole('button', { name: 'More' }).last().click()
    await screenshot(page, 'state-save-menu')
    const download = page.waitForEvent('download')
    await page.getByRole('menuitem', { name: 'Save state as a file' }).click()
    const saved = await download
    expect(saved.suggestedFilename()).toMatch(/^My name is Anna.*\.state$/)
    const file = readFileSync(await saved.path())
    await page.keyboard.press('Control+Shift+O')
    await pick('anna.state', file)
    await replies(1)
    expect(await page.locator('.question').first().innerText()).toContain('My name is Anna.')
    await say('Thank you!')
    await replies(2)
    expect(await page.locator('.reply-start').innerText()).toMatch(/^Resumed \d+ tokens in/)

    // Damaged in one place: nothing is begun, and the window says why.
    const damaged = Buffer.from(file)
    damaged[damaged.length >> 1]! ^= 1
    await pick('damaged.state', damaged)
    await page.getByRole('alert').getByText('The state file is damaged. Its checksum is wrong.').waitFor()
    await screenshot(page, 'state-damaged')
    await page.getByRole('button', { name: 'Dismiss' }).click()
    await pick('no.state', Buffer.from('hello'))
    await page.getByRole('alert').getByText('The state file is damaged.').waitFor()
    await page.getByRole('button', { name: 'Dismiss' }).click()
    expect(faults).toEqual([])
  }, 120_000)
})
