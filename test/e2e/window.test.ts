/** The window in a real browser, behind the real server, with a host that plays a script: its states and manners. */
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { launchChromium, noChromiumReason, openPage, screenshot, type WatchedPage } from './browser.ts'
import { LOADED, READY, type ScriptedHost, startScriptedHost } from './scripted-host.ts'
import { cuttable } from './window-page.ts'

const STORY = `Once upon a time, in a big forest, there was a fox. The fox was very hungry, and the rabbit was quick and careful.

One day the fox said, "I will not chase you today. Let us look for berries instead." The rabbit thought about it for a while, and then they went along the river together.

They ate berries until the sun went down, and they were happy.`

const MARKDOWN = `# Ternary weights

A weight is **−1, 0 or +1**. See [the paper](https://arxiv.org/abs/2406.02528) or \`bitLinear()\`:

\`\`\`ts
export function dot(codes: Int8Array, activations: Int8Array): number {
  let sum = 0
  for (let k = 0; k < codes.length; k++) sum += codes[k] * activations[k] // exact in 32 bits
  return sum
}
\`\`\`

| Model | Layers | State |
|:--|--:|--:|
| 370M | 24 | 96 KiB |
| 1.3B | 24 | 192 KiB |

1. First, *scale* the activations.
2. Then add and subtract:
   - add where the weight is +1
   - subtract where it is −1

> Older details fade.`

const HOSTILE = `![secret](https://example.com/pixel.png?q=1) ![x](data:image/png;base64,AAAA)

<img src="https://example.com/a.png" onerror="alert(1)"><script>alert(2)</script><style>body{display:none}</style>

<iframe src="https://example.com"></iframe>

[run](javascript:alert(3)) [file](file:///etc/passwd) [inside](./assets/x.js) [good](https://example.com/) <b style="color:red">bold</b>

<form action="https://example.com"><input name="q"></form>`

const LONG = Array.from({ length: 120 }, (_, i) => `Paragraph ${i + 1} of a long reply.`).join('\n\n')

describe.skipIf(noChromiumReason !== null)(
  `the window${noChromiumReason === null ? '' : ` (${noChromiumReason})`}`,
  () => {
    let browser: Browser
    let host: ScriptedHost
    let watched: WatchedPage
    let page: Page

    beforeAll(async () => {
      browser = await launchChromium()
    })
    afterAll(() => browser.close())
    beforeEach(async () => {
      host = await startScriptedHost()
      watched = await openPage(browser, host.url)
      page = watched.page
      await page.getByRole('heading', { name: 'A language model on your own computer' }).waitFor()
    })
    afterEach(async () => {
      expect(watched.faults).toEqual([])
      await page.context().close()
      await host.close()
    })

    const composer = () => page.getByRole('textbox', { name: 'Message' })
    const say = async (text: string) => {
      await composer().fill(text)
      await composer().press('Enter')
    }
    const lastReply = () => page.locator('.reply').last()
    const replyWith = (status: string) => page.locator(`.reply[data-status="${status}"]`).last().waitFor()

    it('is calm when empty, and starts a chat from an example', async () => {
      await page.getByText('36 KiB').first().waitFor()
      await screenshot(page, 'empty-light')
      await page.emulateMedia({ colorScheme: 'dark' })
      await screenshot(page, 'empty-dark')
      await page.getByRole('button', { name: 'Why do cats purr?' }).click()
      await replyWith('complete')
      expect(await page.locator('.question-text').innerText()).toBe('Why do cats purr?')
      expect(await lastReply().innerText()).toContain('OK.')
    })

    it('draws markdown: code, tables, lists, links', async () => {
      host.script(MARKDOWN)
      host.setPace(2000)
      await say('How do ternary weights work?')
      await replyWith('complete')
      const reply = lastReply()
      expect(await reply.locator('pre').innerText()).toContain('codes[k] * activations[k]')
      expect(await reply.locator('table tr').count()).toBe(3)
      expect(await reply.locator('td').nth(1).getAttribute('class')).toBe('align-right')
      expect(await reply.locator('ol > li').count()).toBe(2)
      const link = reply.getByRole('link', { name: 'the paper' })
      expect(await link.getAttribute('target')).toBe('_blank')
      expect(await link.getAttribute('rel')).toContain('noreferrer')
      await screenshot(page, 'markdown-light')
      await page.emulateMedia({ colorScheme: 'dark' })
      await screenshot(page, 'markdown-dark')
      await reply.getByRole('button', { name: 'Copy code' }).click()
      const copied = await page.evaluate(() => navigator.clipboard.readText())
      expect(copied.split('\n')[0]).toBe('export function dot(codes: Int8Array, activations: Int8Array): number {')
      expect(copied.endsWith('}')).toBe(true)
    })

    it('writes from right to left where the text does', async () => {
      host.script('> ציטוט קצר\n\n- פריט\n\n  ועוד\n\nAnd English.')
      await say('שלום, מי אתה?')
      await replyWith('complete')
      const directionOf = (selector: string) =>
        page.locator(selector).evaluate(element => getComputedStyle(element).direction)
      for (const selector of ['.question', '.prose blockquote', '.prose ul', '.header-title > h1', '.chats-open'])
        expect(await directionOf(selector), selector).toBe('rtl')
      expect(await directionOf('.prose > p')).toBe('ltr')
    })

    it('shows what a model wrote and never runs or fetches it', async () => {
      host.script(HOSTILE)
      host.setPace(2000)
      await say('Be nasty')
      await replyWith('complete')
      const reply = lastReply()
      expect(await reply.locator('img, script, style, iframe, form, input, [onerror], [style]').count()).toBe(0)
      expect(await reply.innerText()).toContain('<script>alert(2)</script>')
      expect(await reply.innerText()).toContain('[image left out: secret]')
      expect(await reply.getByRole('link').evaluateAll(links => links.map(link => link.getAttribute('href')))).toEqual([
        'https://example.com/',
      ])
    })

    it('streams, says how fast, and stops at Escape; the text stays and can be continued', async () => {
      host.script(STORY, ' And then they went home.')
      host.setPace(40)
      await say('Tell me a story')
      await page.getByText('tokens/s').first().waitFor()
      await lastReply().getByText('first token 38 ms').waitFor()
      expect(await lastReply().getAttribute('data-status')).toBe('streaming')
      await lastReply().getByText('in a big forest').waitFor()
      const early = await lastReply().locator('.prose').innerText()
      await page.waitForFunction(
        length => (document.querySelector('.reply .prose')?.textContent?.length ?? 0) > length,
        early.length,
      )
      await screenshot(page, 'streaming-light')
      await page.keyboard.press('Escape')
      await replyWith('stopped')
      expect(await lastReply().innerText()).toContain('Stopped.')
      const kept = await lastReply().locator('.prose').innerText()
      await lastReply().getByRole('button', { name: 'Continue' }).click()
      await replyWith('complete')
      const whole = await lastReply().locator('.prose').innerText()
      expect(whole.startsWith(kept.slice(0, 40))).toBe(true)
      expect(whole).toContain('And then they went home.')
    })

    it('stops by its button, and leads back to the message box', async () => {
      host.script(STORY)
      host.setPace(40)
      await say('Tell me a story')
      await lastReply().getByText('in a big forest').waitFor()
      await page.keyboard.press('Tab')
      expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toBe('Stop')
      await page.keyboard.press('Enter')
      await replyWith('stopped')
      expect(await composer().evaluate(element => element === document.activeElement)).toBe(true)
    })

    it('regenerates the last reply and copies it', async () => {
      host.script('First answer.', 'Second *answer*.')
      await say('Hello')
      await replyWith('complete')
      await lastReply().getByRole('button', { name: 'Regenerate' }).press('Enter')
      await lastReply().getByText('Second answer.').waitFor()
      await replyWith('complete')
      // The focus is not lost with the button.
      expect(await composer().evaluate(element => element === document.activeElement)).toBe(true)
      expect(await page.locator('.reply').count()).toBe(1)
      await lastReply().getByRole('button', { name: 'Copy' }).click()
      await lastReply().getByRole('button', { name: 'Copied' }).waitFor()
      expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('Second *answer*.')
    })

    it('shows how far a long prompt is read', async () => {
      host.setPrefill(2048, 6000)
      await say('A long document')
      await page.getByText(/Reading \d[\d,]* of 2,048 tokens/).waitFor()
      expect(await page.getByRole('progressbar', { name: 'Reading the prompt' }).getAttribute('max')).toBe('2048')
      await page.keyboard.press('Escape')
      await replyWith('stopped')
    })

    it('leaves a reader who scrolled up where they are, and leads back', async () => {
      // Far more than is waited for: it must not come to its end before it is stopped.
      host.script(`${LONG}\n\n${'And on it goes. '.repeat(2_000)}`)
      host.setPace(400)
      await say('A long reply')
      await lastReply().getByText('Paragraph 30 of').waitFor()
      const scroller = page.locator('.conversation-scroller')
      const distance = () =>
        scroller.evaluate(element => Math.round(element.scrollHeight - element.clientHeight - element.scrollTop))
      expect(await distance()).toBeLessThan(60)
      await scroller.hover()
      await page.mouse.wheel(0, -500)
      const jump = page.getByRole('button', { name: 'Jump to latest' })
      await jump.waitFor({ state: 'visible' })
      const top = await scroller.evaluate(element => element.scrollTop)
      await lastReply().getByText('Paragraph 60 of').waitFor()
      expect(await scroller.evaluate(element => element.scrollTop)).toBe(top)
      await jump.click()
      expect(await distance()).toBeLessThan(60)
      await lastReply().getByText('Paragraph 90 of').waitFor()
      expect(await distance()).toBeLessThan(60)
      await page.keyboard.press('Escape')
      await replyWith('stopped')
    })

    it('keeps a draft for each chat, over a reload too', async () => {
      await say('First chat')
      await replyWith('complete')
      await composer().fill('half a thought')
      await page.keyboard.press('Control+Shift+O')
      expect(await composer().inputValue()).toBe('')
      await composer().fill('something new')
      await page.getByRole('button', { name: 'First chat', exact: true }).click()
      expect(await composer().inputValue()).toBe('half a thought')
      await page.reload()
      await page.locator('.question').waitFor()
      expect(await composer().inputValue()).toBe('half a thought')
    })

    it('finds a reply in flight again after a reload', async () => {
      host.script(STORY)
      host.setPace(40)
      await say('Tell me a story')
      await lastReply().getByText('in a big forest').waitFor()
      await page.reload()
      await replyWith('streaming')
      await replyWith('complete')
      expect((await lastReply().locator('.prose').innerText()).replace(/\s+/g, ' ')).toBe(STORY.replace(/\s+/g, ' '))
    })

    it('talks through the port that Electron’s preload hands over, when there is one', async () => {
      // A preload in miniature: the port's far end is piped into the socket of the server.
      await page.addInitScript(() => {
        const connect = () => {
          const { port1, port2 } = new MessageChannel()
          const socket = new WebSocket(`${location.origin.replace('http', 'ws')}${location.pathname}rpc`)
          socket.onopen = () => {
            port1.onmessage = event => socket.send(JSON.stringify(event.data))
            socket.onmessage = event => port1.postMessage(JSON.parse(event.data))
            window.postMessage('tern-port', location.origin, [port2])
          }
        }
        Object.assign(window, { tern: { connect } })
      })
      await page.reload()
      await say('Hello')
      await replyWith('complete')
      expect(await lastReply().innerText()).toContain('OK.')
    })

    it('deletes a chat only by its button, and takes it back', async () => {
      await say('Keep me')
      await replyWith('complete')
      await page.locator('.chats-open').focus()
      for (const key of ['Backspace', 'Delete', 'Control+Backspace']) await page.keyboard.press(key)
      expect(await page.locator('.chats-open').count()).toBe(1)
      await page.getByRole('button', { name: 'Delete “Keep me”' }).click()
      await page.getByText('Your chats appear here.').waitFor()
      await page.getByRole('button', { name: 'Undo' }).click()
      await page.locator('.question').getByText('Keep me').waitFor()
      expect(host.chats.size).toBe(1)
    })

    it('says that the engine stopped, keeps the text, and goes on when it is back', async () => {
      host.script(STORY, ' The end.')
      host.setPace(30)
      await say('Tell me a story')
      await lastReply().getByText('in a big forest').waitFor()
      host.interrupt()
      host.setStatus({
        phase: 'restarting',
        attempt: 1,
        reason: 'it was killed (SIGKILL), which the system does when memory runs out',
      })
      await replyWith('interrupted')
      await page.getByText('The engine stopped unexpectedly. Restarting; your chat is kept.').waitFor()
      expect(await lastReply().innerText()).toContain('The engine stopped in mid-reply.')
      await screenshot(page, 'restarting-light')
      await page.emulateMedia({ colorScheme: 'dark' })
      await screenshot(page, 'restarting-dark')
      host.setStatus(READY)
      await page.getByText('The engine stopped unexpectedly').waitFor({ state: 'detached' })
      await lastReply().getByRole('button', { name: 'Continue' }).click()
      await lastReply().getByText('The end.').waitFor()
    })

    it('shows how far a model is loaded', async () => {
      host.setStatus({ phase: 'loading', modelName: 'Tern 98M', stage: 'load', fraction: 0.42 })
      await page.reload()
      await page.getByRole('heading', { name: 'Loading Tern 98M' }).waitFor()
      await page.getByText('42').waitFor()
      await screenshot(page, 'loading-light')
      await page.emulateMedia({ colorScheme: 'dark' })
      await screenshot(page, 'loading-dark')
      host.setStatus(READY)
      await page.getByRole('heading', { name: 'A language model on your own computer' }).waitFor()
    })

    it('explains a model that cannot be loaded, and tries again when told to', async () => {
      host.setStatus({
        phase: 'failed',
        error: {
          code: 'file-truncated',
          message: 'The model file ends too early.',
          expected: '38,797,312 bytes',
          actual: '12,582,912 bytes',
          remedy: 'Get the file again, or start Tern with another model.',
        },
        otherModelPath: null,
      })
      const notice = page.getByRole('alert')
      await notice.waitFor()
      const words = await notice.innerText()
      for (const part of ['ends too early', '38,797,312', '12,582,912', 'Get the file again', 'file-truncated'])
        expect(words).toContain(part)
      await composer().fill('Hello')
      expect(await page.getByRole('button', { name: 'Send' }).isDisabled()).toBe(true)
      await page.getByText('No model is loaded.').waitFor()
      await screenshot(page, 'failed-light')
      await page.emulateMedia({ colorScheme: 'dark' })
      await screenshot(page, 'failed-dark')
      await page.getByRole('button', { name: 'Try again' }).click()
      await notice.waitFor({ state: 'detached' })
      await composer().press('Enter')
      await replyWith('complete')
    })

    it('offers the model that comes with Tern in place of another that cannot be loaded', async () => {
      host.setStatus({
        phase: 'failed',
        error: { code: 'file-unreadable', message: 'This is not a model file.', remedy: 'Choose a .gguf model file.' },
        otherModelPath: '/home/ada/notes.txt',
      })
      await page.getByText('/home/ada/notes.txt').waitFor()
      await screenshot(page, 'failed-other-light')
      await page.getByRole('button', { name: 'Use the model that comes with Tern' }).click()
      await page.getByRole('alert').waitFor({ state: 'detached' })
    })

    it('says that the host is gone, and connects again by itself', async () => {
      const connection = await cuttable(page)
      await page.reload()
      await say('Before')
      await replyWith('complete')
      connection.cut()
      const banner = page.getByText('Tern’s background process does not answer.')
      await banner.waitFor()
      await page.locator('.model-name[data-phase="lost"]').waitFor()
      await composer().fill('written meanwhile')
      expect(await page.getByRole('button', { name: 'Send' }).isDisabled()).toBe(true)
      await screenshot(page, 'disconnected-light')
      connection.restore()
      await page.getByRole('button', { name: 'Reconnect now' }).click()
      await banner.waitFor({ state: 'detached' })
      await composer().press('Enter')
      await page.locator('.question').getByText('written meanwhile').waitFor()
      expect(await page.locator('.question').count()).toBe(2)
    })

    it('draws its instruments in the colours of the theme', async () => {
      await page.getByText('121 MiB').waitFor()
      const hasColour = (rgb: number[]) =>
        page.waitForFunction(([r, g, b]) => {
          const canvas = document.querySelector<HTMLCanvasElement>('canvas.trace')!
          const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true })!
          copy.drawImage(canvas, 0, 0)
          const { data } = copy.getImageData(0, 0, canvas.width, canvas.height)
          for (let i = 0; i < data.length; i += 4)
            if (data[i] === r && data[i + 1] === g && data[i + 2] === b && data[i + 3] === 255) return true
          return false
        }, rgb)
      await hasColour([0x0a, 0x64, 0x88])
      await page.emulateMedia({ colorScheme: 'dark' })
      await hasColour([0x63, 0xbf, 0xe0])
    })

    it('writes a figure that is not measured as a dash', async () => {
      await page.getByText('121 MiB').waitFor()
      host.setProcessRss(null)
      await page.locator('.gauge', { hasText: 'Engine process' }).locator('strong', { hasText: /^–$/ }).waitFor()
    })

    it('has every shortcut in the overview, and themes that are remembered', async () => {
      await page.getByRole('button', { name: 'New chat' }).focus()
      await page.keyboard.press('?')
      await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor()
      await screenshot(page, 'shortcuts-light')
      await page.keyboard.press('Escape')
      await page.getByRole('dialog').waitFor({ state: 'hidden' })
      await page.keyboard.press('/')
      expect(await composer().evaluate(element => element === document.activeElement)).toBe(true)
      await page.keyboard.press('Control+b')
      expect(await page.getByRole('complementary', { name: 'Chats' }).count()).toBe(0)
      await page.keyboard.press('Control+b')
      await page.getByRole('button', { name: 'Theme: as the system' }).click()
      await page.getByRole('button', { name: 'Theme: light' }).click()
      await page.getByRole('button', { name: 'Theme: dark' }).waitFor()
      const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)
      const dark = await background()
      await page.reload()
      await page.getByRole('button', { name: 'Theme: dark' }).waitFor()
      expect(await background()).toBe(dark)
      expect(dark).toBe('rgb(17, 24, 29)')
    })

    it('folds on narrow windows and never scrolls sideways', async () => {
      host.script(MARKDOWN)
      host.setPace(2000)
      await say('How do ternary weights work?')
      await replyWith('complete')
      // 320 pixels are what a window of 640 has at 200 % zoom.
      for (const width of [1024, 640, 390, 320]) {
        await page.setViewportSize({ width, height: 700 })
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
        expect(overflow, `${width} pixels`).toBeLessThanOrEqual(0)
      }
      await page.setViewportSize({ width: 390, height: 780 })
      await screenshot(page, 'narrow-light')
      await page.getByRole('button', { name: 'Show chats' }).click()
      await page.getByRole('complementary', { name: 'Chats' }).waitFor()
      await screenshot(page, 'narrow-chats-light')
      await page.keyboard.press('Escape')
      await page.getByRole('button', { name: 'Show instruments' }).click()
      await page.getByRole('complementary', { name: 'Instruments' }).waitFor()
      await screenshot(page, 'narrow-instruments-light')
    })

    it('has a name on every control, landmarks, and readable contrast', async () => {
      await say('Hello')
      await replyWith('complete')
      const nameless = await page.evaluate(() =>
        [...document.querySelectorAll('button, a, textarea, progress, canvas')]
          .filter(element => !element.closest('dialog:not([open])'))
          .filter(element => !(element.getAttribute('aria-label') || element.textContent?.trim()))
          .map(element => element.outerHTML.slice(0, 120)),
      )
      expect(nameless).toEqual([])
      for (const [role, name] of [
        ['main', 'Conversation'],
        ['complementary', 'Chats'],
        ['complementary', 'Instruments'],
        ['log', 'Conversation'],
      ] as const)
        expect(await page.getByRole(role, { name }).count(), `${role} ${name}`).toBe(1)
      expect(await page.getByRole('heading', { level: 1 }).count()).toBe(1)
      expect(await page.getByRole('log').getAttribute('aria-live')).toBe('off')
      await page.getByRole('status').getByText('Reply complete, 1 token.').waitFor({ state: 'attached' })
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
        expect(await page.evaluate(lowContrast), colorScheme).toEqual([])
      }
    })

    it('keeps the model’s name in sight', async () => {
      await page.getByRole('banner').getByText(LOADED.model.name).waitFor()
    })
  },
)

/** Runs in the page: visible text whose contrast with its background is below 4.5 (WCAG AA). */
function lowContrast(): string[] {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true })!
  const rgba = (color: string) => {
    canvas.clearRect(0, 0, 1, 1)
    canvas.fillStyle = color
    canvas.fillRect(0, 0, 1, 1)
    return [...canvas.getImageData(0, 0, 1, 1).data]
  }
  const luminance = (rgb: number[]) => {
    const [r, g, b] = rgb.map(value => {
      const c = value / 255
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const backgroundOf = (element: Element): number[] => {
    const layers: number[][] = []
    for (let at: Element | null = element; at !== null; at = at.parentElement) {
      const layer = rgba(getComputedStyle(at).backgroundColor)
      layers.push(layer)
      if (layer[3] === 255) break
    }
    return layers.reverse().reduce(
      (below, [r, g, b, a]) => {
        const alpha = a / 255
        return [r, g, b].map((value, i) => value * alpha + below[i] * (1 - alpha))
      },
      [255, 255, 255],
    )
  }
  const found: string[] = []
  for (const element of document.querySelectorAll('body *')) {
    const hasText = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent?.trim())
    if (!hasText || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue
    if (element.closest(':disabled, dialog:not([open])')) continue
    const text = luminance(rgba(getComputedStyle(element).color))
    const behind = luminance(backgroundOf(element))
    const contrast = (Math.max(text, behind) + 0.05) / (Math.min(text, behind) + 0.05)
    if (contrast < 4.5) found.push(`${contrast.toFixed(2)} ${element.className}: ${element.textContent?.slice(0, 40)}`)
  }
  return found
}
