/** axe-core finds nothing to complain about in any state of the window, in both themes, wide and narrow. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { AxeResults } from 'axe-core'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchChromium, noChromiumReason } from './browser.ts'
import { openWindow, type WindowPage } from './window-page.ts'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

const REPLY = `# A heading

Text with **strong words**, \`code\` and [a link](https://example.com/).

\`\`\`ts
const answer = 42
\`\`\`

| a | b |
|--|--:|
| 1 | 2 |

- [x] done
- [ ] to do

> quoted`

/** Rule and element of everything that axe finds. It is run in the page's own frame: the page's policy forbids script tags. */
async function findings(page: Page): Promise<string[]> {
  await page.evaluate(AXE)
  const results = await page.evaluate(() =>
    (window as unknown as { axe: { run(options: object): Promise<AxeResults> } }).axe.run({
      resultTypes: ['violations'],
    }),
  )
  return results.violations.flatMap(({ id, nodes }) => nodes.map(node => `${id}: ${node.html.slice(0, 160)}`))
}

async function writing({ host, say, replyWith }: WindowPage): Promise<void> {
  host.script('word '.repeat(400))
  host.setPace(40)
  await say('Go on')
  await replyWith('streaming')
}

/** What happens, from the window as it opens, until the state is in sight. */
const STATES: readonly [string, (window: WindowPage) => Promise<unknown>][] = [
  ['an empty chat', async () => {}],
  ['a reply in all forms', ({ talk }) => talk('Show me all', REPLY)],
  ['a reply that is being written', writing],
  [
    'a reply that was cut off',
    async window => {
      await writing(window)
      window.host.interrupt()
      await window.replyWith('interrupted')
    },
  ],
  [
    'a question that is edited',
    async ({ talk, page }) => {
      await talk('Hello', 'Hello.')
      await page.locator('.question').hover()
      await page.getByRole('button', { name: 'Edit' }).click()
      await page.getByRole('textbox', { name: 'Your message in other words' }).waitFor()
    },
  ],
  [
    'a menu',
    async ({ talk, page, lastReply }) => {
      await talk('Hello', 'Hello.')
      await lastReply.getByRole('button', { name: 'More' }).click()
      await page.getByRole('menu').waitFor()
    },
  ],
  [
    'a model that loads',
    ({ host, page }) => {
      host.setStatus({ phase: 'loading', modelName: 'Tern 98M', stage: 'load', fraction: 0.4 })
      return page.getByText('40').waitFor()
    },
  ],
  [
    'a model that cannot be used',
    ({ host, page }) => {
      const error = { code: 'file-unreadable', message: 'This is no model file.', remedy: 'Choose another.' } as const
      host.setStatus({ phase: 'failed', error, otherModelPath: '/home/ada/notes.txt' })
      return page.getByRole('alert').waitFor()
    },
  ],
  [
    'the settings',
    async ({ page }) => {
      await page.goto(`${page.url().split('#')[0]}#/settings`)
      await page.reload()
      await page.getByRole('region', { name: 'Settings' }).waitFor()
    },
  ],
  [
    'the overview of keys',
    async ({ page }) => {
      await page.getByRole('button', { name: 'Keyboard shortcuts' }).click()
      await page.getByRole('dialog').waitFor()
    },
  ],
]

describe.skipIf(noChromiumReason !== null)(
  `accessibility${noChromiumReason === null ? '' : ` (${noChromiumReason})`}`,
  () => {
    let browser: Browser
    beforeAll(async () => {
      browser = await launchChromium()
    })
    afterAll(() => browser.close())

    it.each(STATES)('of %s', async (_, reach) => {
      const window = await openWindow(browser)
      try {
        // Nothing fades while colours are measured.
        await window.page.emulateMedia({ reducedMotion: 'reduce' })
        await reach(window)
        const found: Record<string, string[]> = {}
        for (const colorScheme of ['light', 'dark'] as const) {
          for (const width of [1280, 390]) {
            await window.page.emulateMedia({ colorScheme })
            await window.page.setViewportSize({ width, height: 800 })
            found[`${colorScheme} ${width}`] = await findings(window.page)
          }
        }
        expect(found).toEqual({ 'light 1280': [], 'light 390': [], 'dark 1280': [], 'dark 390': [] })
      } finally {
        await window.close()
      }
    })

    it('a fault is found', async () => {
      const window = await openWindow(browser)
      await window.page.evaluate(() => document.body.append(document.createElement('button')))
      expect(await findings(window.page)).toContainEqual(expect.stringContaining('button-name'))
      await window.close()
    })
  },
)
