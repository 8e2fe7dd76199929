/**
 * Takes the README's two pictures anew: a chat with the embedded model in the light and in the dark theme.
 *
 *     node test/readme-images.mjs
 *
 * The replies are sampled: look at the pictures before they are committed.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { launchChromium, noChromiumReason, openPage } from './e2e/browser.ts'
import { startShell } from './e2e/start-shell.ts'

const QUESTIONS = ['What is your name?', 'Why do cats purr?', 'Tell me a bedtime story about a hedgehog.']
const path = (theme: string) => fileURLToPath(new URL(`../docs/images/chat-${theme}.png`, import.meta.url))

// Never the chats of whoever takes the pictures.
const home = mkdtempSync(join(tmpdir(), 'tern-images-'))
process.env.TERN_HOME = home
if (noChromiumReason !== null) throw new Error(noChromiumReason)
const [shell, browser] = await Promise.all([startShell(), launchChromium()])
try {
  const { page } = await openPage(browser, shell.url, { deviceScaleFactor: 1.5 })
  await page.locator('.model-name[data-phase="ready"]').waitFor()
  const composer = page.getByRole('textbox', { name: 'Message' })
  for (const [index, question] of QUESTIONS.entries()) {
    await composer.fill(question)
    await composer.press('Enter')
    await page.locator('.reply[data-status="complete"]').nth(index).waitFor()
  }
  for (const theme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: theme })
    await page.screenshot({ path: path(theme), animations: 'disabled' })
  }
} finally {
  await browser.close()
  shell.process.kill('SIGTERM')
  process.on('exit', () => rmSync(home, { recursive: true, force: true }))
}
