/**
 * A folder in the place of Electron's own, for seeing what would ship where Electron cannot be had. It has the names that
 * electron-builder looks for, and the mark before the fuses, so that they are written as into the true program.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Target } from './targets.ts'

const FUSE_MARK = 'dL7pKGdnNz796PbbjQWNKmHXBZaB9tsX'
const FUSES = 9

/** As Electron comes: version 1, and each fuse in a state that Tern does not ask for where it asks for one. */
const unsetFuses = () =>
  Buffer.concat([
    Buffer.from(FUSE_MARK, 'latin1'),
    Buffer.from([1, FUSES]),
    // runAsNode, cookies, NODE_OPTIONS, inspect, integrity, only asar, snapshot, file privileges, wasm traps.
    Buffer.from('101100011', 'latin1'),
  ])

/** The fuses of a program as a text of '0' and '1', or null when it has no mark. */
export function readFuses(program: Buffer): string | null {
  const at = program.indexOf(FUSE_MARK, 0, 'latin1')
  if (at < 0) return null
  const start = at + FUSE_MARK.length + 2
  return program.subarray(start, start + program[start - 1]!).toString('latin1')
}

export function makeElectronStandIn(folder: string, { system }: Target): void {
  const write = (path: string, content: string | Buffer) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), content)
  }
  if (system === 'darwin') {
    const app = 'Electron.app/Contents'
    write(`${app}/Info.plist`, propertyList('Electron'))
    write(`${app}/MacOS/Electron`, 'stand-in')
    write(`${app}/Resources/default_app.asar`, '')
    write(`${app}/Frameworks/Electron Framework.framework/Electron Framework`, unsetFuses())
    for (const suffix of ['', ' (GPU)', ' (Plugin)', ' (Renderer)']) {
      const name = `Electron Helper${suffix}`
      write(`${app}/Frameworks/${name}.app/Contents/Info.plist`, propertyList(name))
      write(`${app}/Frameworks/${name}.app/Contents/MacOS/${name}`, 'stand-in')
    }
    return
  }
  write(system === 'win32' ? 'electron.exe' : 'electron', unsetFuses())
  write('LICENSE', 'stand-in')
  write('locales/en-US.pak', '')
  write('resources/default_app.asar', '')
}

const propertyList = (name: string) => `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict><key>CFBundleExecutable</key><string>${name}</string></dict></plist>
`
