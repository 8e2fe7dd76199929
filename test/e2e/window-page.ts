/** A window behind a scripted host, and the hands that the tests need in it. */
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core'
import { openPage, type WatchedPage } from './browser.ts'
import { type ScriptedHost, startScriptedHost } from './scripted-host.ts'

export interface WindowPage extends WatchedPage {
  host: ScriptedHost
  composer: Locator
  lastReply: Locator
  scroller: Locator
  say(text: string): Promise<void>
  /** Waits until the last reply has this status. */
  replyWith(status: string): Promise<void>
  /** Sends and waits for the whole reply. */
  talk(text: string, reply: string): Promise<void>
  close(): Promise<void>
}

export function handsOn(page: Page, host: ScriptedHost) {
  const composer = page.getByRole('textbox', { name: 'Message' })
  const say = async (text: string) => {
    await composer.fill(text)
    await composer.press('Enter')
  }
  const replyWith = (status: string) => page.locator(`.reply[data-status="${status}"]`).last().waitFor()
  return {
    composer,
    lastReply: page.locator('.reply').last(),
    scroller: page.locator('.conversation-scroller'),
    say,
    replyWith,
    async talk(text: string, reply: string) {
      host.script(reply)
      host.setPace(20_000)
      await say(text)
      await replyWith('complete')
    },
  }
}

export async function openWindow(browser: Browser, options: BrowserContextOptions = {}): Promise<WindowPage> {
  const host = await startScriptedHost()
  const watched = await openPage(browser, host.url, options)
  const { page } = watched
  await page.getByRole('heading', { name: 'A language model on your own computer' }).waitFor()
  return {
    ...watched,
    ...handsOn(page, host),
    host,
    async close() {
      await page.context().close()
      await host.close()
    },
  }
}

/** The window's connection to its host, from the next load on: cut like a cable, until it is restored. */
export async function cuttable(page: Page): Promise<{ cut(): void; restore(): void }> {
  let isUp = true
  let close = () => {}
  await page.routeWebSocket(/\/rpc$/, socket => {
    if (!isUp) return socket.close()
    socket.connectToServer()
    close = () => void socket.close()
  })
  return {
    cut() {
      isUp = false
      close()
    },
    restore() {
      isUp = true
    },
  }
}

/** The name of what has the focus. */
export const focused = (page: Page): Promise<string> =>
  page.evaluate(
    () => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? 'nothing',
  )
