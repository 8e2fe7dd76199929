/**
 * Draws icon.svg in every size that the systems ask for, with the Chromium of this machine: `node build/icons.ts`.
 * The results are committed, so that packaging needs no browser.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { chromium, type Page } from 'playwright-core'
import { findChromium } from '../test/chromium.ts'

const LINUX_SIZES = [16, 24, 32, 48, 64, 96, 128, 256, 512, 1024]
const WINDOWS_SIZES = [16, 20, 24, 32, 40, 48, 64, 256]
/** Type codes of the PNG entries of an icns file, by their sides in pixels. */
const MAC_TYPES: [string, number][] = [
  ['icp4', 16],
  ['icp5', 32],
  ['ic11', 32],
  ['ic12', 64],
  ['ic07', 128],
  ['ic13', 256],
  ['ic08', 256],
  ['ic14', 512],
  ['ic09', 512],
  ['ic10', 1024],
]
const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))

async function draw(page: Page, width: number, height: number, side: number): Promise<Buffer> {
  const drawing = Buffer.from(readFileSync(path('icon.svg'))).toString('base64')
  await page.setViewportSize({ width, height })
  await page.setContent(
    `<body style="margin:0;height:100vh;display:grid;place-items:center;background:${width === side ? 'transparent' : '#f6f4ee'}">` +
      `<img width="${side}" height="${side}" src="data:image/svg+xml;base64,${drawing}">`,
  )
  return page.screenshot({ omitBackground: true })
}

/** ICONDIR, its entries, then PNG files, which Windows reads since Vista. */
function toIco(images: readonly { side: number; png: Buffer }[]): Buffer {
  const head = Buffer.alloc(6 + 16 * images.length)
  head.writeUInt16LE(1, 2)
  head.writeUInt16LE(images.length, 4)
  let offset = head.length
  for (const [index, { side, png }] of images.entries()) {
    const at = 6 + 16 * index
    // 0 stands for 256.
    head.writeUInt8(side % 256, at)
    head.writeUInt8(side % 256, at + 1)
    head.writeUInt16LE(1, at + 4)
    head.writeUInt16LE(32, at + 6)
    head.writeUInt32LE(png.length, at + 8)
    head.writeUInt32LE(offset, at + 12)
    offset += png.length
  }
  return Buffer.concat([head, ...images.map(({ png }) => png)])
}

/** Blocks of a type, their length with these eight bytes, and a PNG file. */
function toIcns(images: readonly { type: string; png: Buffer }[]): Buffer {
  const block = (type: string, parts: readonly Buffer[]) => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(8 + parts.reduce((sum, part) => sum + part.length, 0))
    return Buffer.concat([Buffer.from(type, 'latin1'), length, ...parts])
  }
  return block(
    'icns',
    images.map(({ type, png }) => block(type, [png])),
  )
}

const executablePath = findChromium()
if (executablePath === null)
  throw new Error('The icons are drawn by Chromium: install it, or name one in TERN_CHROMIUM.')
const browser = await chromium.launch({ executablePath })
try {
  const page = await browser.newPage()
  const pngs = new Map<number, Buffer>()
  for (const side of new Set([...LINUX_SIZES, ...WINDOWS_SIZES])) pngs.set(side, await draw(page, side, side, side))
  mkdirSync(path('icons'), { recursive: true })
  for (const side of LINUX_SIZES) writeFileSync(path(`icons/${side}x${side}.png`), pngs.get(side)!)
  writeFileSync(path('icon.ico'), toIco(WINDOWS_SIZES.map(side => ({ side, png: pngs.get(side)! }))))
  writeFileSync(path('icon.icns'), toIcns(MAC_TYPES.map(([type, side]) => ({ type, png: pngs.get(side)! }))))
  writeFileSync(path('mac/background.png'), await draw(page, 540, 380, 140))
} finally {
  await browser.close()
}
