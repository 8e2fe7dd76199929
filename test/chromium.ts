/**
 * The browser of the end-to-end tests: a Chromium or Chrome of this machine, never one downloaded by npm.
 */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome', 'chrome']
const PLACES = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
]

/** Path of the browser: the variable TERN_CHROMIUM, else the first found in PATH or in the usual places, else null. */
export function findChromium(): string | null {
  const named = process.env.TERN_CHROMIUM
  if (named) return isExecutable(named) ? named : null
  const folders = (process.env.PATH ?? '').split(delimiter).filter(folder => folder !== '')
  const inPath = folders.flatMap(folder => NAMES.map(name => join(folder, name)))
  return [...inPath, ...PLACES].find(isExecutable) ?? null
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
