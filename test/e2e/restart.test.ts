/** Chats outlive the app: closed, killed in the middle of a reply, its file damaged. The browser shell, a real browser. */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { allBytesIn } from '../temporary-folder.ts'
import { launchChromium, noChromiumReason, openPage, screenshot } from './browser.ts'
import { startShell } from './start-shell.ts'

describe.skipIf(noChromiumReason !== null)(
  `a restart${noChromiumReason === null ? '' : ` (${noChromiumReason})`}`,
  () => {
    let browser: Browser
    let shell: Awaited<ReturnType<typeof startShell>> | null = null
    let page: Page

    beforeAll(async () => {
      browser = await launchChromium()
    })
    afterAll(() => browser?.close())
    const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
      const ended = once(shell!.process, 'exit')
      shell!.process.kill(signal)
      await ended
      await page.context().close()
      shell = null
    }
    afterEach(async () => {
      if (shell !== null) await end('SIGTERM')
    })

    const start = async () => {
      shell = await startShell()
      page = (await openPage(browser, shell.url)).page
      await page.locator('.model-name[data-phase="ready"]').waitFor()
    }
    const say = async (text: string) => {
      const composer = page.getByRole('textbox', { name: 'Message' })
      await composer.fill(text)
      await composer.press('Enter')
    }
    /** What the browser keeps of this page. */
    const storedText = () => page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]))
    const lastReply = () => page.locator('.reply').last()
    const textOf = () => lastReply().locator('.prose').innerText()

    it('in order: the chat is there, and goes on at once', async () => {
      await start()
      await page.getByText('Chats are saved on this computer.').waitFor()
      await say('What is your name?')
      await page.locator('.reply[data-status="complete"]').waitFor()
      const before = await textOf()
      await end('SIGTERM')
      await start()
      await page.getByRole('button', { name: 'What is your name?', exact: true }).click()
      await page.locator('.reply[data-status="complete"]').waitFor()
      expect(await textOf()).toBe(before)
      await say('Thank you!')
      await page.locator('.reply[data-status="complete"]').nth(1).waitFor()
      expect(await lastReply().locator('.reply-start').innerText()).toMatch(/^Resumed \d+ tokens in [\d.]+\s(ms|s)/)
      await screenshot(page, 'state-resumed')
      // What is not kept is read again, and that is said.
      await page.getByRole('button', { name: 'Settings' }).click()
      const budget = () => page.getByRole('combobox', { name: 'Most that stored states take' })
      await screenshot(page, 'state-budget')
      await budget().selectOption('0')
      await page.getByText('0 states').waitFor()
      await end('SIGTERM')
      await start()
      await page.getByRole('button', { name: 'What is your name?', exact: true }).click()
      await say('And now?')
      await page.locator('.reply[data-status="complete"]').nth(2).waitFor()
      await lastReply()
        .getByText('The chat is read again, once: the stored state of this place is not kept any more.')
        .waitFor()
      await screenshot(page, 'state-reread')
      await page.getByRole('button', { name: 'Settings' }).click()
      await budget().selectOption(String(512 * 2 ** 20))
      await page.keyboard.press('Escape')
    }, 120_000)

    it('after kill -9 in mid-reply: what was written is there, and can be continued', async () => {
      await start()
      await page.keyboard.press('Control+Shift+O')
      await say('Tell me a long story about a fox and a rabbit in the big forest.')
      await page.locator('.reply[data-status="streaming"] .prose').waitFor()
      await page.waitForFunction(() => (document.querySelector('.reply .prose')?.textContent?.length ?? 0) > 60)
      const seen = await textOf()
      await new Promise(resolve => setTimeout(resolve, 300))
      const wasWhole = (await lastReply().getAttribute('data-status')) === 'complete'
      await end('SIGKILL')
      await start()
      await page
        .getByRole('button', { name: /Tell me a long story/ })
        .first()
        .click()
      await page.locator('.reply .prose').waitFor()
      const kept = await textOf()
      expect(kept.replace(/\s+/g, ' ').startsWith(seen.replace(/\s+/g, ' ').trim().slice(0, 60))).toBe(true)
      expect(kept.length).toBeGreaterThanOrEqual(seen.length)
      if (wasWhole) return
      await page.getByRole('button', { name: 'Continue' }).click()
      await page.locator('.reply[data-status="complete"]').waitFor()
      // It may have been at its last word.
      expect((await textOf()).length).toBeGreaterThanOrEqual(kept.length)
    }, 120_000)

    it('with a damaged file: it says what was saved and where the damaged file is', async () => {
      await start()
      await end('SIGTERM')
      writeFileSync(join(process.env.TERN_HOME!, 'chats.db'), 'this is no database '.repeat(500))
      await start()
      const told = page.getByText('The file of your chats was damaged, and nothing in it could be read.')
      await told.waitFor()
      await page.getByText('chats.db.damaged-').waitFor()
      await screenshot(page, 'storage-recovered')
      await page.getByRole('button', { name: 'Understood' }).click()
      await told.waitFor({ state: 'detached' })
    }, 120_000)

    it('a temporary chat is nowhere on the disk, while it is read and after', async () => {
      await start()
      const folder = process.env.TERN_HOME!
      await page.keyboard.press('Control+Shift+O')
      await say('Do zebrafinches sing?')
      await page.locator('.reply[data-status="complete"]').waitFor()
      // The search would find what is there.
      expect(allBytesIn(folder)).toContain('zebrafinches')

      await page.keyboard.press('Control+Shift+O')
      await page.getByRole('checkbox', { name: 'Temporary chat' }).check()
      const composer = page.getByRole('textbox', { name: 'Message' })
      await composer.fill('Tell me a long story about bowerbirds.')
      await screenshot(page, 'temporary-new')
      expect(await storedText()).not.toContain('bowerbirds')
      await composer.press('Enter')
      await page.locator('.reply[data-status="complete"]').waitFor()
      const reply = (await textOf()).trim()
      // No two stories share their middle.
      const middle = reply.slice(reply.length / 2, reply.length / 2 + 30)
      expect(middle).toHaveLength(30)
      await composer.fill('A draft about bowerbirds')
      await page.getByRole('banner').getByText('Temporary').waitFor()
      expect(await page.title()).not.toContain('bowerbirds')
      await screenshot(page, 'temporary-chat')
      const check = async () => {
        const bytes = allBytesIn(folder)
        for (const part of ['bowerbirds', middle]) expect(bytes).not.toContain(part)
      }
      await check()
      expect(await storedText()).not.toContain('bowerbirds')
      await end('SIGTERM')
      await check()
      await start()
      await page.getByRole('button', { name: 'Do zebrafinches sing?', exact: true }).waitFor()
      expect(
        await page.getByRole('button', { name: 'Tell me a long story about bowerbirds.', exact: true }).count(),
      ).toBe(0)
    }, 120_000)

    it('beside another one: it says that chats are not saved, and why', async () => {
      await start()
      const first = { shell, page }
      await start()
      await page.getByRole('alert').getByText('Another Tern is using the same chats.').waitFor()
      await page.getByText('Chats are kept until Tern is closed.').waitFor()
      await screenshot(page, 'storage-busy')
      await end('SIGTERM')
      ;({ shell, page } = first as { shell: typeof shell; page: Page })
    }, 120_000)
  },
)
