/** The committed icons: one drawing, in every size, in files that the systems can read. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)))

/** The sides that a PNG file states. */
function sidesOf(png: Buffer): [number, number] {
  expect(png.subarray(0, 8).toString('latin1')).toBe('\x89PNG\r\n\x1a\n')
  return [png.readUInt32BE(16), png.readUInt32BE(20)]
}

it('the drawing has the path of the window’s own picture', () => {
  const pathOf = (file: string) =>
    read(file)
      .toString()
      .match(/<path [^>]*>/)?.[0]
  expect(pathOf('build/icon.svg')).toBeDefined()
  expect(pathOf('build/icon.svg')).toBe(pathOf('renderer/public/tern.svg'))
})

it.each([16, 24, 32, 48, 64, 96, 128, 256, 512, 1024])('Linux has %d pixels', side => {
  expect(sidesOf(read(`build/icons/${side}x${side}.png`))).toEqual([side, side])
})

it('Windows’ icon has its sizes, each where it says', () => {
  const ico = read('build/icon.ico')
  expect([ico.readUInt16LE(0), ico.readUInt16LE(2), ico.readUInt16LE(4)]).toEqual([0, 1, 8])
  const sides = Array.from({ length: 8 }, (_, index) => {
    const at = 6 + 16 * index
    const offset = ico.readUInt32LE(at + 12)
    const [side] = sidesOf(ico.subarray(offset, offset + ico.readUInt32LE(at + 8)))
    expect(ico.readUInt8(at)).toBe(side % 256)
    return side
  })
  expect(sides).toEqual([16, 20, 24, 32, 40, 48, 64, 256])
})

it('macOS’ icon has its sizes, and ends where it says', () => {
  const icns = read('build/icon.icns')
  expect(icns.subarray(0, 4).toString('latin1')).toBe('icns')
  expect(icns.readUInt32BE(4)).toBe(icns.length)
  const sides: Record<string, number> = {}
  for (let at = 8; at < icns.length; at += icns.readUInt32BE(at + 4)) {
    const png = icns.subarray(at + 8, at + icns.readUInt32BE(at + 4))
    sides[icns.subarray(at, at + 4).toString('latin1')] = sidesOf(png)[0]
  }
  expect(sides).toEqual({
    icp4: 16,
    icp5: 32,
    ic11: 32,
    ic12: 64,
    ic07: 128,
    ic13: 256,
    ic08: 256,
    ic14: 512,
    ic09: 512,
    ic10: 1024,
  })
})
