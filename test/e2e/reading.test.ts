/** Reading and selecting: nothing in the conversation moves or goes against the reader's hands. */
import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { shownChat } from '../messages.ts'
import { launchChromium, noChromiumReason, screenshot } from './browser.ts'
import { focused, openWindow, type WindowPage } from './window-page.ts'

const WORDS = Array.from({ length: 600 }, (_, i) => `word${i}`).join(' ')
const PARAGRAPHS = Array.from({ length: 150 }, (_, i) => `Paragraph ${i + 1} of a long reply.`).join('\n\n')

/** Of about 13 s of streaming, on a busy machine. */
const MAX_BLOCKED_MS = 5_000

describe.skipIf(noChromiumReason !== null)(
  `reading${noChromiumReason === null ? '' : ` (${noChromiumReason})`}`,
  () => {
    let browser: Browser
    let window: WindowPage

    beforeAll(async () => {
      browser = await launchChromium()
    })
    afterAll(() => browser.close())
    beforeEach(async () => {
      window = await openWindow(browser)
    })
    afterEach(async () => {
      expect(window.faults).toEqual([])
      await window.close()
    })

    const selected = () => window.page.evaluate(() => document.getSelection()?.toString() ?? '')
    /** So many tokens a second. */
    const write = async (text: string, pace: number) => {
      window.host.script(text)
      window.host.setPace(pace)
      await window.say('Write')
    }
    const scrollTop = () => window.scroller.evaluate(element => Math.round(element.scrollTop))

    it('what is selected in the paragraph that is being written stays selected', async () => {
      const { page } = window
      await write(WORDS, 60)
      await window.lastReply.getByText('word12').waitFor()
      await page.evaluate(() => {
        const text = document.querySelector('.reply .prose p span')!.firstChild!
        document.getSelection()!.setBaseAndExtent(text, 0, text, 11)
      })
      expect(await selected()).toBe('word0 word1')
      await window.lastReply.getByText('word40').waitFor()
      expect(await selected()).toBe('word0 word1')
    })

    it('nothing scrolls under a pressed mouse, nor while something is selected', async () => {
      const { page } = window
      await write(PARAGRAPHS, 100)
      await window.lastReply.getByText('Paragraph 26 of').waitFor()
      const box = (await window.lastReply.getByText('Paragraph 24 of').boundingBox())!
      await page.mouse.move(box.x + 2, box.y + box.height / 2)
      await page.mouse.down()
      const before = await scrollTop()
      await window.lastReply.getByText('Paragraph 34 of').waitFor()
      await page.mouse.move(box.x + 80, box.y + box.height / 2)
      await page.mouse.up()
      expect(await scrollTop()).toBe(before)
      const taken = await selected()
      expect(taken.length).toBeGreaterThan(2)
      expect(taken.length).toBeLessThan(40)
      await window.lastReply.getByText('Paragraph 40 of').waitFor()
      expect(await scrollTop()).toBe(before)
      expect(await selected()).toBe(taken)
      await page.getByRole('button', { name: 'Jump to latest' }).click()
      expect(await focused(page)).toBe('Message')
      await window.lastReply.getByText('Paragraph 46 of').waitFor()
      expect(await scrollTop()).toBeGreaterThan(before)
    })

    it('the keyboard scrolls: from an empty message box, from the page, and in the conversation itself', async () => {
      const { page } = window
      await window.talk('Write', PARAGRAPHS)
      const end = await scrollTop()
      await window.composer.press('PageUp')
      const up = await scrollTop()
      expect(up).toBeLessThan(end - 200)
      await window.composer.press('PageDown')
      expect(await scrollTop()).toBeGreaterThan(up)
      await window.composer.fill('text')
      await window.composer.press('PageUp')
      const kept = await scrollTop()
      expect(kept).toBeGreaterThan(up)
      await window.composer.fill('')
      await page.evaluate(() => (document.activeElement as HTMLElement).blur())
      await page.keyboard.press('Home')
      expect(await scrollTop()).toBe(0)
      await page.keyboard.press('End')
      expect(await scrollTop()).toBeGreaterThan(up)
      const area = page.getByRole('region', { name: 'Messages' })
      await area.focus()
      await page.keyboard.press('PageUp')
      await page.waitForFunction(
        top => document.querySelector('.conversation-scroller')!.scrollTop < top,
        await area.evaluate(element => element.scrollHeight - element.clientHeight - 100),
      )
    })

    it('select all in the conversation selects the conversation', async () => {
      const { page } = window
      await window.talk('Question', 'Answer.')
      await window.scroller.focus()
      await page.keyboard.press('Control+a')
      const text = await selected()
      expect(text).toContain('Question')
      expect(text).toContain('Answer.')
      for (const other of ['New chat', 'Instruments', 'Skip to', 'Tern replied']) expect(text).not.toContain(other)
    })

    it('a reply that is written again stays as a version, one press away', async () => {
      const { page, host } = window
      await window.talk('Hello', 'First answer.')
      host.script('Second answer, and much more of it.')
      host.setPace(20)
      await window.lastReply.getByRole('button', { name: 'Regenerate' }).click()
      await window.lastReply.getByText('Second').waitFor()
      await page.keyboard.press('Escape')
      await window.replyWith('stopped')
      await window.lastReply.getByText('2/2').waitFor()
      await screenshot(page, 'versions-light')
      await window.lastReply.getByRole('button', { name: 'Version before' }).press('Enter')
      await window.lastReply.getByText('First answer.').waitFor()
      await window.lastReply.getByText('1/2').waitFor()
      expect(await focused(page)).toBe('Version before')
      await window.lastReply.getByRole('button', { name: 'Version after' }).press('Enter')
      await window.lastReply.getByText('Second').waitFor()
      expect(await page.locator('.reply').count()).toBe(1)
    })

    it('mathematics and raw HTML keep what was written, boxes have names, headings have no gaps', async () => {
      const { page } = window
      await window.talk(
        'Show',
        [
          '## Second level first',
          '##### Deep',
          'So \\(a^2 \\, b_1 * c_2\\) holds, and `\\(x\\)` is code.',
          '\\[ \\sum_{i=1}^n x_i \\]',
          '<table>\n<tr><td>one</td></tr>\n</table>',
          '- [ ] todo\n- [x] done',
          'a -> b <- c',
        ].join('\n\n'),
      )
      const text = await window.lastReply.innerText()
      expect(text).toContain('\\(a^2 \\, b_1 * c_2\\)')
      expect(text).toContain('\\[ \\sum_{i=1}^n x_i \\]')
      expect(text).toContain('<table>\n<tr><td>one</td></tr>\n</table>')
      expect(await page.getByRole('checkbox', { name: 'To do' }).count()).toBe(1)
      expect(await page.getByRole('checkbox', { name: 'Done', exact: true }).count()).toBe(1)
      const levels = await window.lastReply.locator('h2, h3, h4, h5, h6').evaluateAll(all => all.map(h => h.tagName))
      expect(levels).toEqual(['H2', 'H3', 'H4'])
      const ligatures = await window.lastReply.evaluate(element => getComputedStyle(element).fontVariantLigatures)
      expect(ligatures).toBe('no-common-ligatures')
    })

    it('links tell where they lead, above all those that deceive', async () => {
      await window.talk(
        'Links',
        '[paper](https://arxiv.org/abs/1) [bank](http://bank.com@evil.test/) [pay](https://pаypal.com/)[^1]\n\n[^1]: A note.',
      )
      const links = window.lastReply.getByRole('link')
      expect(await links.count()).toBe(3)
      const hosts = window.lastReply.locator('.link-host')
      expect(await hosts.evaluateAll(all => all.map(host => getComputedStyle(host).display !== 'none'))).toEqual([
        false,
        true,
        true,
      ])
      expect(await hosts.allTextContents()).toEqual(['arxiv.org', 'evil.test', expect.stringMatching(/^xn--/)])
      await links.first().focus()
      await window.page.keyboard.press('Shift+Tab')
      await window.page.keyboard.press('Tab')
      expect(await hosts.first().isVisible()).toBe(true)
      expect(await window.lastReply.innerText()).not.toContain('↩')
    })

    it('nesting and marks without end stay in their place', async () => {
      const { page } = window
      const marks = '\u0301'.repeat(200)
      await window.talk('Nest', `${'>'.repeat(100)} deep\n\nLine above.\n\na${marks}b`)
      const wider = await window.scroller.evaluate(element => element.scrollWidth - element.clientWidth)
      expect(wider).toBe(0)
      const deep = await window.lastReply.locator('.prose p', { hasText: 'deep' }).boundingBox()
      expect(deep!.width).toBeGreaterThan(300)
      const clip = await window.lastReply
        .locator('.prose p')
        .last()
        .evaluate(p => getComputedStyle(p).overflowY)
      expect(clip).toBe('clip')
      await screenshot(page, 'nesting-light')
    })

    it('one paragraph of 150,000 characters never stops the window', async () => {
      const { page, host } = window
      await page.evaluate(() => {
        const blocked = { ms: 0 }
        Object.assign(globalThis, { blocked })
        let before = performance.now()
        setInterval(() => {
          const now = performance.now()
          blocked.ms += Math.max(0, now - before - 60)
          before = now
        }, 10)
      })
      const text = 'lorem ipsum '.repeat(12_750)
      host.script(text)
      host.setPace(3_000)
      await window.say('Long')
      await window.replyWith('complete')
      expect((await window.lastReply.locator('.prose').textContent())!.length).toBeGreaterThan(152_000)
      const { ms } = await page.evaluate(() => (globalThis as unknown as { blocked: { ms: number } }).blocked)
      expect(ms).toBeLessThan(MAX_BLOCKED_MS)
      // Only the last piece changes, and only those in sight are laid out.
      const pieces = await window.lastReply.locator('.prose p').evaluateAll(all => all.map(p => p.textContent!.length))
      expect(Math.max(...pieces)).toBeLessThanOrEqual(2_000)
    }, 60_000)

    it('the scroll bar tells the truth before anything far is laid out', async () => {
      const { page, host, scroller } = window
      const messages = Array.from({ length: 120 }, (_, i) => ({
        id: `m${i}`,
        role: i % 2 === 0 ? ('user' as const) : ('assistant' as const),
        content: 'Some words of a message that go on for a while. '.repeat(1 + ((i * 7) % 13)),
        status: 'complete' as const,
        createdAtMs: i,
        finishReason: null,
        stats: null,
        energy: null,
        error: null,
        notice: null,
        start: null,
        actions: [],
        versions: [`m${i}`],
      }))
      host.chats.set('many', shownChat({ id: 'many', title: 'Many', messages }))
      await page.reload()
      await page.getByRole('button', { name: 'Many', exact: true }).click()
      // The end of a long chat is drawn first, the rest in idle moments.
      await page.waitForFunction(() => document.querySelectorAll('.reply').length === 60)
      const height = () => scroller.evaluate(element => element.scrollHeight)
      const before = await height()
      await scroller.evaluate(async element => {
        while (element.scrollTop > 0) {
          element.scrollTop -= 500
          await new Promise(requestAnimationFrame)
        }
      })
      expect(before / (await height())).toBeGreaterThan(0.85)
      expect(before / (await height())).toBeLessThan(1.15)
    })

    it('prints the whole conversation and nothing else', async () => {
      const { page } = window
      await window.talk('Write', PARAGRAPHS)
      await page.emulateMedia({ media: 'print' })
      for (const hidden of ['.chats', '.instruments', '.composer', '.reply-actions'])
        expect(await page.locator(hidden).first().isVisible(), hidden).toBe(false)
      const cut = await window.scroller.evaluate(element => element.scrollHeight - element.clientHeight)
      expect(cut).toBe(0)
      const pdf = (await page.pdf()).toString('latin1')
      expect(pdf.match(/\/Type \/Page\b/g)!.length).toBeGreaterThan(3)
    })
  },
)
