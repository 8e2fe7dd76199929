/** A person's first minutes with Tern: the browser shell as `npm start` runs it, the embedded model, a real browser. */
import type { ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchChromium, noChromiumReason, openPage, screenshot, type WatchedPage } from './browser.ts'
import { startShell } from './start-shell.ts'
import { focused } from './window-page.ts'

/** Process ids of the engine processes below `ancestor` (Linux). */
function enginePids(ancestor: number): number[] {
  const parents = new Map<number, number>()
  const engines: number[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      // The command's name may hold spaces and brackets: fields count from the last bracket.
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]))
      if (readFileSync(`/proc/${name}/cmdline`, 'utf8').includes('engine-process')) engines.push(Number(name))
    } catch {
      // It ended meanwhile.
    }
  }
  const isBelow = (pid: number | undefined): boolean =>
    pid !== undefined && pid > 1 && (pid === ancestor || isBelow(parents.get(pid)))
  return engines.filter(isBelow)
}

describe.skipIf(noChromiumReason !== null)(`a chat${noChromiumReason === null ? '' : ` (${noChromiumReason})`}`, () => {
  let shell: { process: ChildProcess; url: string }
  let browser: Browser
  let watched: WatchedPage
  let page: Page

  beforeAll(async () => {
    ;[shell, browser] = await Promise.all([startShell(), launchChromium()])
    watched = await openPage(browser, shell.url)
    page = watched.page
    await page.getByRole('banner').getByText('Tern 98M').waitFor()
    await page.locator('.model-name[data-phase="ready"]').waitFor()
  }, 120_000)

  afterAll(async () => {
    await browser?.close()
    shell?.process.kill('SIGTERM')
  })

  const composer = () => page.getByRole('textbox', { name: 'Message' })
  const newChat = () => page.keyboard.press('Control+Shift+O')
  const say = async (text: string) => {
    await composer().fill(text)
    await composer().press('Enter')
  }
  const replyWith = (status: string) => page.locator(`.reply[data-status="${status}"]`).last().waitFor()
  const prose = () => page.locator('.reply').last().locator('.prose')
  /** The model is asked for a text that is long enough to be caught in the middle. */
  const askForLongReply = () => say('Tell me a long story about a fox and a rabbit in the big forest.')
  /** Catches a reply in mid-stream; a small model sometimes ends at once, then it is asked again. */
  const catchStreaming = async (act: () => Promise<void>, status: string) => {
    for (let attempt = 0; attempt < 8; attempt++) {
      await newChat()
      await askForLongReply()
      await page.locator('.reply[data-status="streaming"], .reply[data-status="complete"]').waitFor()
      await page.locator('.reply .prose').waitFor()
      await act()
      await page.locator('.reply:not([data-status="pending"], [data-status="streaming"])').waitFor()
      if ((await page.locator('.reply').getAttribute('data-status')) === status) return
    }
    throw new Error(`no reply ended as ${status}`)
  }

  it('streams a reply with its figures', async () => {
    // How long the text was at every moment of streaming.
    await page.evaluate(() => {
      const lengths = new Set<number>()
      Object.assign(window, { lengths })
      new MutationObserver(() => {
        const text = document.querySelector('.reply[data-status="streaming"] .prose')?.textContent
        if (text) lengths.add(text.length)
      }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true })
    })
    await say('Tell me a short story about a fox and a rabbit.')
    await replyWith('complete')
    const seen = await page.evaluate(() => [...(window as unknown as { lengths: Set<number> }).lengths])
    // A busy machine draws few frames of half a second; without streaming there would be one length.
    expect(seen.length).toBeGreaterThan(2)
    expect((await prose().innerText()).length).toBeGreaterThan(20)
    const figures = await page.locator('.figures').innerText()
    expect(figures).toMatch(/tokens\/s/)
    expect(figures).toMatch(/first token \d/)
    expect(figures).toMatch(/\d+ tokens?/)
  })

  it('knows what it is', async () => {
    // Of forty sampled replies to this question all said it; to "Who are you?" four did not.
    await say('What is your name?')
    await page.locator('.reply').nth(1).waitFor()
    await replyWith('complete')
    await newChat()
    await say('What is your name?')
    await replyWith('complete')
    expect(await prose().innerText()).toContain('Tern')
    await screenshot(page, 'real-light')
  })

  it('shows the engine’s memory in real figures, and a state of constant size', async () => {
    const reading = (name: string) => page.locator('.gauge', { hasText: name }).locator('strong')
    expect((await reading('Conversation state').innerText()).replace(/\s/g, ' ')).toBe('36 KiB')
    expect(await reading('Engine process').innerText()).toMatch(/^\d+.*MiB$/)
  })

  it('stops in the middle, and goes on from there', async () => {
    await catchStreaming(() => page.keyboard.press('Escape'), 'stopped')
    const kept = await prose().innerText()
    await page.getByRole('button', { name: 'Continue' }).click()
    await replyWith('complete')
    const whole = await prose().innerText()
    expect(whole.startsWith(kept.trimEnd().slice(0, -1))).toBe(true)
  })

  it('writes another reply to the same question', async () => {
    await newChat()
    // A reply that takes long enough to be seen while it is written.
    const question = 'Tell me a bedtime story about a hedgehog.'
    await say(question)
    await replyWith('complete')
    const writing = page.locator('.reply[data-status="pending"], .reply[data-status="streaming"]')
    await Promise.all([writing.waitFor(), page.getByRole('button', { name: 'Regenerate' }).click()])
    await replyWith('complete')
    expect(await page.locator('.reply').count()).toBe(1)
    expect((await prose().innerText()).trim()).not.toBe('')
    expect(await page.locator('.question-text').innerText()).toBe(question)
  })

  it('copies a reply', async () => {
    await page.locator('.reply').getByRole('button', { name: 'Copy', exact: true }).click()
    const copied = await page.evaluate(() => navigator.clipboard.readText())
    expect(copied.trim()).not.toBe('')
    expect((await prose().innerText()).replace(/\s+/g, ' ')).toContain(copied.trim().split('\n')[0].slice(0, 20))
  })

  it('takes other words for a question as a version of it, with a reply of its own', async () => {
    await page.locator('.question').getByRole('button', { name: 'Edit' }).click()
    const box = page.getByRole('textbox', { name: 'Your message in other words' })
    expect(await box.inputValue()).toBe('Tell me a bedtime story about a hedgehog.')
    await box.press('Escape')
    await page.locator('.question-text').waitFor()
    await page.locator('.question').getByRole('button', { name: 'Edit' }).click()
    await box.fill('Say good night.')
    await box.press('Enter')
    await page.locator('.question-text', { hasText: 'Say good night.' }).waitFor()
    await replyWith('complete')
    await page.locator('.question').getByRole('button', { name: 'Version before' }).click()
    await page.locator('.question-text', { hasText: 'hedgehog' }).waitFor()
    await page.locator('.reply[data-status="complete"]').waitFor()
  })

  it('is renamed where its title stands, and branches into a chat of its own that goes on at once', async () => {
    const title = page.locator('.header-title > h1')
    await page.getByRole('button', { name: 'Rename this chat' }).click()
    const box = page.getByRole('textbox', { name: 'Title of this chat' })
    await box.press('Escape')
    await title.waitFor()
    await page.getByRole('button', { name: 'Rename this chat' }).click()
    await box.fill('Bedtime stories')
    await box.press('Enter')
    await title.getByText('Bedtime stories').waitFor()
    expect(await composer().inputValue()).toBe('')
    await page.locator('.chats-open', { hasText: 'Bedtime stories' }).waitFor()
    await page.locator('.reply').last().getByRole('button', { name: 'Branch' }).click()
    await page.locator('.chats-open', { hasText: 'Bedtime stories' }).nth(1).waitFor()
    const before = await page.locator('.reply').count()
    await say('Thank you!')
    await page.locator('.reply[data-status="complete"]').nth(before).waitFor()
    expect(await page.locator('.reply').count()).toBe(before + 1)
  })

  it('keeps chats apart, and all of them over a reload', async () => {
    const before = await prose().innerText()
    await page.reload()
    await replyWith('complete')
    expect(await prose().innerText()).toBe(before)
    expect(await page.locator('.chats-open').count()).toBeGreaterThanOrEqual(3)
    await page.getByRole('button', { name: 'Tell me a short story about a fox and a rabbit.', exact: true }).click()
    await page.locator('.question', { hasText: 'Tell me a short story' }).waitFor()
    expect(await page.locator('.question').count()).toBe(2)
  })

  it('writes three replies side by side, keeps the one whose key is pressed, and maps the branches', async () => {
    await page.locator('.reply').last().getByRole('button', { name: 'More' }).click()
    await screenshot(page, 'real-menu-light')
    await page.getByRole('menuitem', { name: 'Compare three replies' }).click()
    const columns = page.locator('.comparison-column')
    await columns.nth(2).waitFor()
    await screenshot(page, 'real-compare-writing-light')
    await page.locator('.comparison-column[data-status="complete"]').nth(2).waitFor()
    expect(await columns.locator('.prose').count()).toBe(3)
    await screenshot(page, 'real-compare-light')
    await page.emulateMedia({ colorScheme: 'dark' })
    await screenshot(page, 'real-compare-dark')
    await page.emulateMedia({ colorScheme: 'light' })
    const second = (await columns.nth(1).locator('.prose').innerText()).trim()
    await page.keyboard.press('2')
    await composer().waitFor()
    expect((await prose().innerText()).trim()).toBe(second)
    const places = page.locator('.branches-rows button')
    await places.first().waitFor()
    expect(await page.locator('.branches-rows button[aria-current]').count()).toBe(1)
    await screenshot(page, 'real-map-light')
    // Two of them may be alike to the letter: which version is shown tells.
    const shown = () => page.locator('.reply').last().locator('.versions > span').innerText()
    expect(await shown()).toBe('3/4')
    await places.and(page.locator('[data-shown="false"]')).last().click()
    await page.locator('.reply').last().locator('.versions > span', { hasNotText: '3/4' }).waitFor()
  })

  it('deletes from a message on, and brings it back', async () => {
    const before = await page.locator('.question').count()
    const more = page.locator('.question').last().getByRole('button', { name: 'More' })
    await more.press('Enter')
    await page.keyboard.press('Escape')
    expect(await focused(page)).toBe('More')
    await more.press('Enter')
    await page.keyboard.press('Enter')
    await page.getByText('messages deleted.').waitFor()
    expect(await page.locator('.question').count()).toBe(before - 1)
    await screenshot(page, 'real-deleted-light')
    await page.getByRole('button', { name: 'Undo' }).click()
    await page
      .locator('.question')
      .nth(before - 1)
      .waitFor()
  })

  it('searches all chats as one types, and leads to the message, on whatever branch', async () => {
    await page.getByRole('button', { name: 'Search all chats' }).click()
    const search = page.getByRole('textbox', { name: 'Search all chats' })
    // A message that is on a branch that is not shown.
    await search.fill('GÖOD nig')
    await page.locator('.found-open', { hasText: 'Say good night.' }).first().waitFor()
    expect(await page.locator('.found-open mark').first().innerText()).toMatch(/good|nig/i)
    await screenshot(page, 'real-search-light')
    await page.locator('.found-open', { hasText: 'Say good night.' }).first().click()
    await page.locator('.question-text', { hasText: 'Say good night.' }).waitFor()
    await search.fill('nothing like this anywhere')
    await page.getByText('Nothing found.').waitFor()
    await search.press('Escape')
    await page.locator('.chats-open').first().waitFor()
    await page.keyboard.press('Control+f')
    const inChat = page.getByRole('textbox', { name: 'Find in this chat' })
    await inChat.fill('GOOD NIGHT')
    await page
      .locator('.find-bar')
      .getByText(/^1 of /)
      .waitFor()
    expect(await page.evaluate(() => CSS.highlights.get('found-now')?.size)).toBe(1)
    await screenshot(page, 'real-find-light')
    await inChat.press('Escape')
    expect(await page.evaluate(() => CSS.highlights.size)).toBe(0)
  })

  it('pins a chat, puts it into a folder, and into the archive', async () => {
    const row = page.locator('.chats-item', { hasText: 'What is your name?' })
    const pick = async (name: string) => {
      await row.hover()
      await row.getByRole('button', { name: 'More' }).click()
      await page.getByRole('menuitem', { name }).click()
    }
    await pick('Pin')
    await page.getByRole('heading', { name: 'Pinned' }).waitFor()
    await pick('Unpin')
    // The row moves to another part of the list, and a menu that is open there closes.
    await page.getByRole('heading', { name: 'Pinned' }).waitFor({ state: 'detached' })
    await pick('Folder and tags')
    await page
      .getByRole('textbox', { name: 'Folder' })
      .or(page.getByRole('combobox', { name: 'Folder' }))
      .fill('About Tern')
    await page.getByRole('textbox', { name: 'Tags' }).fill('names, first, names')
    await screenshot(page, 'real-order-light')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.locator('.chats-fold', { hasText: 'About Tern' }).waitFor()
    await page.getByText('#names #first').waitFor()
    await screenshot(page, 'real-folders-light')
    await page.reload()
    await page.locator('.chats-fold', { hasText: 'About Tern' }).waitFor()
    await pick('Archive')
    await page.locator('.chats-fold', { hasText: 'Archived' }).waitFor()
    await page.locator('.chats-fold > summary', { hasText: 'Archived' }).click()
    await pick('Out of the archive')
    await page.locator('.chats-fold', { hasText: 'About Tern' }).waitFor()
  })

  it('gives all chats as an archive, and takes it in again without a double', async () => {
    await page.getByRole('button', { name: 'Settings' }).click()
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Export all' }).click(),
    ])
    expect(download.suggestedFilename()).toMatch(/^tern-chats-\d{4}-\d\d-\d\d\.zip$/)
    const path = await download.path()
    const rows = page.locator('.chats-open')
    const before = await rows.count()
    await page.locator('.settings input[type="file"]').setInputFiles(path)
    await page.getByText('From Tern: 0 new chats').waitFor()
    await page.getByRole('button', { name: 'Cancel' }).click()
    // One that is gone for this library comes back; here a chat from elsewhere is new.
    const foreign = {
      conversation_id: 'e2e',
      title: 'From elsewhere',
      create_time: 1_700_000_000,
      current_node: 'b',
      mapping: {
        a: { parent: null, message: { author: { role: 'user' }, content: { parts: ['Where were you?'] } } },
        b: { parent: 'a', message: { author: { role: 'assistant' }, content: { parts: ['Elsewhere.'] } } },
      },
    }
    const file = {
      name: 'conversations.json',
      mimeType: 'application/json',
      buffer: Buffer.from(JSON.stringify([foreign])),
    }
    await page.locator('.settings input[type="file"]').setInputFiles(file)
    await page.getByText('From ChatGPT: 1 new chat with 2 messages.').waitFor()
    await screenshot(page, 'real-import-light')
    await page.getByRole('button', { name: 'Take in 1 chat' }).click()
    await page.getByText('1 chat with 2 messages taken in.').waitFor()
    expect(await rows.count()).toBe(before + 1)
    await rows.filter({ hasText: 'From elsewhere' }).click()
    await page.locator('.prose', { hasText: 'Elsewhere.' }).waitFor()
    await page.locator('.chats-item', { hasText: 'From elsewhere' }).getByRole('button', { name: 'More' }).click()
    const [markdown] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('menuitem', { name: 'Save as Markdown' }).click(),
    ])
    expect(markdown.suggestedFilename()).toBe('From elsewhere.md')
    expect(readFileSync(await markdown.path(), 'utf8')).toContain('## You\n\nWhere were you?')
    // As before, for what comes next.
    await page.getByRole('button', { name: 'Delete “From elsewhere”' }).click()
    await rows.filter({ hasText: 'Tell me a short story' }).click()
    await page.locator('.question-text', { hasText: 'Tell me a short story' }).waitFor()
  })

  it('has a page of settings, which hold over a reload', async () => {
    const words = (await prose().innerText()).trim()
    await page.getByRole('navigation', { name: 'Places' }).getByRole('button', { name: 'Settings' }).click()
    await page.getByRole('region', { name: 'Settings' }).waitFor()
    await page.getByText('Dark', { exact: true }).click()
    await page.getByRole('slider', { name: 'Text size' }).fill('120')
    await page.getByRole('switch', { name: 'Always reduce motion' }).click()
    await screenshot(page, 'real-settings-dark')
    await page.reload()
    await page.getByRole('region', { name: 'Settings' }).waitFor()
    const look = () =>
      page.evaluate(() => {
        const { dataset, style } = document.documentElement
        return [dataset.theme, dataset.motion, style.fontSize]
      })
    expect(await look()).toEqual(['dark', 'reduced', '120%'])
    await page.getByText('System', { exact: true }).click()
    await page.getByRole('slider', { name: 'Text size' }).fill('100')
    await page.getByRole('switch', { name: 'Always reduce motion' }).click()
    expect(await look()).toEqual([undefined, 'full', ''])
    await screenshot(page, 'real-settings-light')
    await page.goBack()
    await page.locator('.reply').last().waitFor()
    expect((await prose().innerText()).trim()).toBe(words)
  })

  it('looks the same in the dark', async () => {
    await page.emulateMedia({ colorScheme: 'dark' })
    await screenshot(page, 'real-dark')
    await page.emulateMedia({ colorScheme: 'light' })
  })

  it.skipIf(process.platform !== 'linux')('survives the death of its engine in mid-reply', async () => {
    const [doomed] = enginePids(shell.process.pid!)
    expect(doomed).toBeGreaterThan(1)
    await catchStreaming(async () => {
      const [pid] = enginePids(shell.process.pid!)
      if (pid !== undefined) process.kill(pid, 'SIGKILL')
    }, 'interrupted')
    const kept = await prose().innerText()
    expect(kept).not.toBe('')
    await page.getByText('The engine stopped in mid-reply. The text so far is kept.').first().waitFor()
    await screenshot(page, 'real-killed-light')
    await page.locator('.model-name[data-phase="ready"]').waitFor()
    const [successor] = enginePids(shell.process.pid!)
    expect(successor).not.toBe(doomed)
    await page.getByRole('button', { name: 'Continue' }).click()
    await replyWith('complete')
    expect((await prose().innerText()).startsWith(kept.trimEnd().slice(0, -1))).toBe(true)
    await say('Thank you!')
    await page.locator('.reply').nth(1).waitFor()
    await replyWith('complete')
    expect(await page.locator('.reply').count()).toBe(2)
  })

  it('left nothing to complain about on the console', () => {
    expect(watched.faults).toEqual([])
  })
})
