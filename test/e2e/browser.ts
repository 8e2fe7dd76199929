/** Debian's Chromium under Playwright, and pages that collect everything that went wrong in them. */
import { mkdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { findChromium } from '../chromium.ts'

const chromiumPath = findChromium()
export const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Why no browser test can run here; null when it can. `npm test` installs Chromium where it may. */
export const noChromiumReason = chromiumPath === null ? 'no Chromium is installed' : null

export const launchChromium = (): Promise<Browser> => chromium.launch({ executablePath: chromiumPath!, args: FLAGS })

export interface WatchedPage {
  page: Page
  /** Console errors and warnings, uncaught errors, violations of the content security policy, requests elsewhere. */
  faults: string[]
}

/** A page in a fresh context (own storage) on `url`. */
export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    permissions: ['clipboard-read', 'clipboard-write'],
    ...options,
  })
  const page = await context.newPage()
  const faults: string[] = []
  page.on('console', message => {
    if (message.type() === 'error' || message.type() === 'warning') faults.push(`${message.type()}: ${message.text()}`)
  })
  page.on('pageerror', error => faults.push(`uncaught: ${error.message}`))
  page.on('request', request => {
    if (new URL(request.url()).host !== new URL(url).host) faults.push(`request to ${request.url()}`)
  })
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', event => {
      console.error(`content security policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`)
    })
  })
  await page.goto(url)
  return { page, faults }
}

const SCREENSHOTS = fileURLToPath(new URL('../../out/screenshots/', import.meta.url))

/** Saves what the page looks like, for people: out/screenshots/NAME.png. */
export async function screenshot(page: Page, name: string): Promise<void> {
  await mkdir(SCREENSHOTS, { recursive: true })
  await page.screenshot({ path: `${SCREENSHOTS}${name}.png`, animations: 'disabled' })
}
