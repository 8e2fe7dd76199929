/** The window's manners: focus, keys, touch, other windows, a lost host, addresses, other media. */
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { chatMessage, shownChat } from '../messages.ts'
import { launchChromium, noChromiumReason, screenshot } from './browser.ts'
import { cuttable, focused, handsOn, openWindow, type WindowPage } from './window-page.ts'

const LONG = Array.from({ length: 200 }, (_, i) => `Sentence ${i + 1}.`).join(' ')

describe.skipIf(noChromiumReason !== null)(
  `manners${noChromiumReason === null ? '' : ` (${noChromiumReason})`}`,
  () => {
    let browser: Browser

    beforeAll(async () => {
      browser = await launchChromium()
    })
    afterAll(() => browser.close())

    type Options = Parameters<typeof openWindow>[1]
    /** A test on a window of its own, without faults at its end. */
    const inWindow =
      (test: (window: WindowPage) => Promise<void>, options: Options = {}) =>
      async () => {
        const window = await openWindow(browser, options)
        try {
          await test(window)
          expect(window.faults).toEqual([])
        } finally {
          await window.close()
        }
      }
    const scrollIntoSight = (page: Page) =>
      page.evaluate(() => {
        const list = document.querySelector('.chats-list')!.getBoundingClientRect()
        const row = document.querySelector('.chats-open[aria-current]')!.getBoundingClientRect()
        return row.top >= list.top - 1 && row.bottom <= list.bottom + 1
      })
    const addChats = async ({ host, page }: WindowPage, count: number) => {
      for (let i = 0; i < count; i++) host.chats.set(`chat-${i}`, shownChat({ id: `chat-${i}`, title: `Chat ${i}` }))
      await page.reload()
      await page.getByRole('button', { name: 'Chat 0', exact: true }).waitFor()
    }

    it(
      'a drawer closed by Escape gives the focus back to what opened it, and holds it while it is open',
      inWindow(
        async window => {
          const { page } = window
          await page.getByRole('button', { name: 'Show instruments' }).press('Enter')
          await page.getByRole('button', { name: 'Close' }).waitFor()
          for (let i = 0; i < 12; i++) {
            await page.keyboard.press('Tab')
            const covered = await page.evaluate(
              () => document.activeElement?.closest('.chats, .centre, .skip-link') !== null,
            )
            expect(covered, `${i + 1} times Tab`).toBe(false)
          }
          await page.keyboard.press('Escape')
          await page.getByRole('button', { name: 'Show instruments' }).waitFor()
          expect(await focused(page)).toBe('Show instruments')
        },
        { viewport: { width: 1024, height: 768 } },
      ),
    )

    it(
      'a deleted row hands the focus to the next, and Undo to the message box',
      inWindow(async window => {
        const { page } = window
        await addChats(window, 3)
        await page.getByRole('button', { name: 'Delete “Chat 1”' }).press('Enter')
        await page.getByText('Deleted “Chat 1”.').waitFor()
        expect(await focused(page)).toMatch(/^Chat [02]$/)
        await page.getByRole('button', { name: 'Undo' }).press('Enter')
        await page.getByRole('button', { name: 'Chat 1', exact: true }).waitFor()
        expect(await focused(page)).toBe('Message')
      }),
    )

    it(
      'Alt and the arrows keep the open chat in sight',
      inWindow(async window => {
        await addChats(window, 60)
        for (let i = 0; i < 30; i++) await window.page.keyboard.press('Alt+ArrowDown')
        expect(await scrollIntoSight(window.page)).toBe(true)
      }),
    )

    it(
      'of ten thousand chats those in sight are drawn, more when they are scrolled to or asked for, and the open one always',
      inWindow(async window => {
        const { page } = window
        await addChats(window, 10_000)
        const rows = page.locator('.chats-open')
        const first = await rows.count()
        expect(first).toBeLessThan(500)
        await page.getByRole('button', { name: /^Show more/ }).focus()
        await expect.poll(() => rows.count()).toBeGreaterThan(first)
        const before = await rows.count()
        await page.locator('.chats-list').evaluate(list => list.scrollTo(0, list.scrollHeight))
        await expect.poll(() => rows.count()).toBeGreaterThan(before)
        await rows.nth(before).click()
        const last = await page.locator('.chats-open[aria-current]').innerText()
        await page.reload()
        await page.getByRole('button', { name: last, exact: true }).waitFor()
        await expect.poll(() => scrollIntoSight(page)).toBe(true)
      }),
    )

    it(
      'a long chat is there at its end at once, and whole soon after, with the end in sight; a find has all of it',
      inWindow(async window => {
        const { page, host } = window
        const messages = Array.from({ length: 1_000 }, (_, n) => {
          const role = n % 2 === 0 ? ('user' as const) : ('assistant' as const)
          return chatMessage({ id: `m${n}`, versions: [`m${n}`], role, content: `Message number ${n}.` })
        })
        host.chats.set('long', shownChat({ id: 'long', title: 'Long chat', messages }))
        await page.reload()
        await page.getByRole('button', { name: 'Long chat', exact: true }).waitFor()
        // Of all times that anything is drawn: how many messages there are, and how far the end is out of sight.
        await page.evaluate(() => {
          const seen: [number, number][] = []
          const scroller = document.querySelector('.conversation-scroller')!
          const look = () => {
            const count = document.querySelectorAll('[data-message]').length
            const left = scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop
            if (count > 0 && seen.at(-1)?.[0] !== count) seen.push([count, left])
            requestAnimationFrame(look)
          }
          look()
          Object.assign(window, { seen })
        })
        await page.getByRole('button', { name: 'Long chat', exact: true }).click()
        await expect.poll(() => page.locator('[data-message]').count(), { timeout: 30_000 }).toBe(1_000)
        const seen = await page.evaluate(() => (window as unknown as { seen: [number, number][] }).seen)
        expect(seen[0][0]).toBeLessThan(200)
        expect(Math.max(...seen.slice(1).map(([, left]) => left))).toBeLessThan(45)
        await page.getByText('Message number 999.').waitFor()

        await page.reload()
        await page.getByText('Message number 999.').waitFor()
        await page.keyboard.press('Control+f')
        await page.getByRole('textbox', { name: 'Find in this chat' }).fill('number')
        await page.getByText('1 of 1,000').waitFor()
      }),
    )

    it(
      'Enter that confirms a word of an input method sends nothing, by its code too',
      inWindow(async ({ page, composer }) => {
        await composer.fill('日本')
        const confirm = (keyCode: number) =>
          composer.evaluate((box, code) => {
            const event = new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true, keyCode: code })
            box.dispatchEvent(event)
          }, keyCode)
        await confirm(229)
        expect(await composer.inputValue()).toBe('日本')
        await confirm(13)
        await page.locator('.question').getByText('日本').waitFor()
      }),
    )

    it(
      'Enter during a reply says why it waits, and the text stays',
      inWindow(async ({ page, host, composer, say, lastReply, replyWith }) => {
        host.script(LONG)
        host.setPace(60)
        await say('Write')
        await lastReply.getByText('Sentence 3').waitFor()
        await say('and then')
        await page.locator('.composer-note').getByText('A reply is being written').waitFor()
        await page.getByRole('status').getByText('A reply is being written').waitFor({ state: 'attached' })
        expect(await composer.inputValue()).toBe('and then')
        await page.keyboard.press('Escape')
        await replyWith('stopped')
        await page.locator('.composer-note').getByText('A reply is being written').waitFor({ state: 'detached' })
      }),
    )

    it(
      'an example sends itself and leaves the draft',
      inWindow(async ({ page, composer, replyWith }) => {
        await composer.fill('my long careful draft')
        await page.getByRole('button', { name: 'Why do cats purr?' }).click()
        await replyWith('complete')
        expect(await page.locator('.question-text').innerText()).toBe('Why do cats purr?')
        expect(await composer.inputValue()).toBe('my long careful draft')
      }),
    )

    it(
      'copying by the keyboard answers as its button does',
      inWindow(async ({ page, talk }) => {
        await talk('Hello', 'An answer.')
        await page.keyboard.press('Control+Shift+C')
        await page.locator('.reply').getByRole('button', { name: 'Copied' }).waitFor()
        expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('An answer.')
      }),
    )

    it(
      'a costly message says what it costs before it is sent',
      inWindow(async ({ page, composer, talk }) => {
        await talk('Hello', 'An answer.')
        await composer.fill('word '.repeat(2_000))
        await page
          .getByText(/About 2,900 tokens, about .* to read\. The model was trained on texts of 1,024 tokens/)
          .waitFor()
        await composer.fill('short')
        await page.getByText('About 2,900 tokens').waitFor({ state: 'detached' })
      }),
    )

    it(
      'two windows show one truth, and a delete in one is told and undone in the other',
      inWindow(async window => {
        const { page, host } = window
        const other = await page.context().newPage()
        await other.goto(host.url)
        const there = handsOn(other, host)
        await window.talk('Together', 'Yes.')
        await other.getByRole('button', { name: 'Together', exact: true }).click()
        await other.locator('.question').getByText('Together').waitFor()
        await page.getByRole('button', { name: 'Delete “Together”' }).click()
        await other.getByText('“Together” was deleted in another window.').waitFor()
        expect(await other.locator('.question').count()).toBe(1)
        await screenshot(other, 'deleted-elsewhere-light')
        await other.getByRole('button', { name: 'Undo' }).click()
        await page.getByRole('button', { name: 'Together', exact: true }).waitFor()
        await there.talk('again', 'Still here.')
      }),
    )

    it(
      'a lost host: what was fetched stays readable and can be copied, nothing can be deleted',
      inWindow(async window => {
        const { page, host } = window
        const connection = await cuttable(page)
        await page.reload()
        await window.talk('First', 'The only copy.')
        await page.keyboard.press('Control+Shift+O')
        await window.talk('Second', 'Another.')
        connection.cut()
        await page.getByText('what this window has fetched stays readable').waitFor()
        await page.getByRole('button', { name: 'First', exact: true }).click()
        await window.lastReply.getByText('The only copy.').waitFor()
        expect(await page.locator('.chats-item button[aria-label^="Delete"]').first().isDisabled()).toBe(true)
        await page.getByRole('button', { name: 'Copy this chat' }).click()
        expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(
          '## You\n\nFirst\n\n## Tern\n\nThe only copy.\n',
        )
        await screenshot(page, 'lost-host-light')
        // A host that was started anew knows nothing of it.
        host.chats.clear()
        connection.restore()
        await page.getByRole('button', { name: 'Reconnect now' }).press('Enter')
        // The button goes with the banner, the focus goes on.
        await page.waitForFunction(() => document.activeElement?.id === 'composer')
        await page.getByText('Tern does not have this chat any more.').waitFor()
        await window.lastReply.getByText('The only copy.').waitFor()
        expect(await page.getByRole('button', { name: 'Copy this chat' }).count()).toBe(1)
      }),
    )

    it(
      'every chat has an address and a title; Back leads to the one before, a reload to the same',
      inWindow(async window => {
        const { page, host } = window
        await window.talk('First', 'One.')
        const first = page.url()
        expect(first).toContain('#/chat/')
        expect(await page.title()).toBe('First · Tern')
        await page.keyboard.press('Control+Shift+O')
        expect(await page.title()).toBe('Tern')
        await window.talk('Second', 'Two.')
        await page.goBack()
        await page.locator('.question').getByText('First').waitFor()
        expect(page.url()).toBe(first)
        await page.goForward()
        await page.locator('.question').getByText('Second').waitFor()
        await page.goto(first)
        await page.reload()
        await page.locator('.question').getByText('First').waitFor()
        host.script(LONG)
        host.setPace(40)
        await window.say('More')
        await page.waitForFunction(() => document.title === '… First · Tern')
        await page.keyboard.press('Escape')
        await window.replyWith('stopped')
        await page.waitForFunction(() => document.title === 'First · Tern')
      }),
    )

    it(
      'titles show nothing that turns or hides the row',
      inWindow(async window => {
        const { page, host } = window
        const titles = ['\u202eeltit live', '\u200b']
        for (const [i, title] of titles.entries()) host.chats.set(`t${i}`, shownChat({ id: `t${i}`, title }))
        await page.reload()
        await page.locator('.chats-open').nth(1).waitFor()
        expect((await page.locator('.chats-open').allInnerTexts()).sort()).toEqual(['Untitled chat', 'eltit live'])
      }),
    )

    it(
      'on a touch screen Enter makes a line, and targets are large',
      inWindow(
        async ({ page, composer, host, replyWith }) => {
          expect(await composer.getAttribute('enterkeyhint')).toBe('enter')
          await composer.fill('one')
          await composer.press('Enter')
          await page.keyboard.type('two')
          expect(await composer.inputValue()).toBe('one\ntwo')
          host.script('Answer.')
          await page.getByRole('button', { name: 'Send' }).tap()
          await replyWith('complete')
          const small = () =>
            page.evaluate(() =>
              [...document.querySelectorAll<HTMLElement>('button')]
                .filter(button => button.checkVisibility({ visibilityProperty: true }))
                .map(button => ({ name: button.ariaLabel ?? button.textContent, box: button.getBoundingClientRect() }))
                .filter(({ box }) => box.height < 44 || box.width < 44)
                .map(({ name, box }) => `${name} ${box.width}x${box.height}`),
            )
          expect(await small()).toEqual([])
          for (const region of ['chats', 'instruments']) {
            await page.getByRole('button', { name: `Show ${region}` }).tap()
            await page.locator(`.${region}`).waitFor()
            if (region === 'chats') await screenshot(page, 'touch-chats-light')
            expect(await small(), region).toEqual([])
            await page.keyboard.press('Escape')
          }
          host.script('Answer.')
          await composer.fill('line\n'.repeat(30))
          await page.getByRole('button', { name: 'Send' }).tap()
          await page.getByRole('button', { name: 'Show all' }).waitFor()
          await replyWith('complete')
          expect(await small(), 'a long question').toEqual([])
          await screenshot(page, 'touch-light')
        },
        { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
      ),
    )

    it(
      'at 400 % zoom the conversation keeps most of the room',
      inWindow(
        async ({ page, scroller, talk }) => {
          await talk('Hello', 'An answer.')
          const height = await scroller.evaluate(element => element.clientHeight)
          expect(height).toBeGreaterThan(120)
          await screenshot(page, 'zoom-400-light')
        },
        { viewport: { width: 360, height: 225 } },
      ),
    )

    it(
      'forced colours keep what colour alone told',
      inWindow(
        async ({ page, talk }) => {
          await talk('Hello', 'An answer.')
          const outline = (selector: string) =>
            page.locator(selector).evaluate(element => getComputedStyle(element).outlineStyle)
          expect(await outline('.chats-item[data-current="true"]')).toBe('solid')
          const dot = await page.locator('.model-dot').evaluate(element => {
            const { backgroundColor, forcedColorAdjust } = getComputedStyle(element)
            return `${backgroundColor} ${forcedColorAdjust}`
          })
          const highlight = await page.evaluate(() => {
            const probe = document.createElement('i')
            Object.assign(probe.style, { forcedColorAdjust: 'none', color: 'Highlight' })
            document.body.append(probe)
            return getComputedStyle(probe).color
          })
          expect(dot).toBe(`${highlight} none`)
          await screenshot(page, 'forced-colors')
        },
        { forcedColors: 'active' },
      ),
    )

    it(
      'the edge of the message box stands out 3 to 1',
      inWindow(async ({ page }) => {
        for (const colorScheme of ['light', 'dark'] as const) {
          await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
          const contrast = await page.evaluate(() => {
            ;(document.activeElement as HTMLElement).blur()
            const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true })!
            const luminance = (color: string) => {
              canvas.fillStyle = color
              canvas.fillRect(0, 0, 1, 1)
              const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(value => {
                const c = value / 255
                return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
              })
              return 0.2126 * r + 0.7152 * g + 0.0722 * b
            }
            const edge = luminance(getComputedStyle(document.querySelector('.composer-box')!).borderTopColor)
            const paper = luminance(getComputedStyle(document.documentElement).backgroundColor)
            return (Math.max(edge, paper) + 0.05) / (Math.min(edge, paper) + 0.05)
          })
          expect(contrast, colorScheme).toBeGreaterThanOrEqual(3)
        }
      }),
    )
  },
)
