/** Files for the engine: reading, folders, and sinks that leave a whole file or nothing. */

import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { convertedFile, defaultCacheDirectory } from '../../main/engine-process/conversion-cache.ts'
import { createSink, isFolder, openFile, openFolder, removeUnfinished } from '../../main/engine-process/node-files.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tern-files-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string) => join(folder, name)
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => null,
    error => error.code,
  )

describe('reading', () => {
  it('gives exactly the bytes asked for', async () => {
    writeFileSync(at('a'), 'abcdefgh')
    const file = await openFile(at('a'))
    expect(file).toMatchObject({ name: 'a', size: 8 })
    expect(Buffer.from(await file.read(2, 3)).toString()).toBe('cde')
    expect(await file.read(8, 0)).toHaveLength(0)
    await file.close()
  })

  it('past the end, before the start, or of a file cut meanwhile is file-truncated', async () => {
    writeFileSync(at('a'), 'abcdefgh')
    const file = await openFile(at('a'))
    expect(await codeOf(file.read(6, 3))).toBe('file-truncated')
    expect(await codeOf(file.read(-1, 2))).toBe('file-truncated')
    truncateSync(at('a'), 4)
    expect(await codeOf(file.read(2, 6))).toBe('file-truncated')
    await file.close()
  })

  it('what is not there, not a file, or would block is refused', async () => {
    expect(await codeOf(openFile(at('missing')))).toBe('file-not-found')
    expect(await codeOf(openFile(join(at('missing'), 'below')))).toBe('file-not-found')
    expect(await codeOf(openFile(folder))).toBe('file-unreadable')
    expect(await codeOf(isFolder(at('missing')))).toBe('file-not-found')
    if (process.platform !== 'win32') {
      execFileSync('mkfifo', [at('pipe')])
      expect(await codeOf(openFile(at('pipe')))).toBe('file-unreadable')
    }
  })
})

describe('a folder', () => {
  it('lists files and links to files by name, and opens nothing outside itself', async () => {
    mkdirSync(at('inner'))
    writeFileSync(at('inner/model.bin'), 'x')
    writeFileSync(at('secret'), 's')
    mkdirSync(at('inner/sub'))
    symlinkSync(at('secret'), at('inner/config.json'))
    const inner = await openFolder(at('inner'))
    expect((await inner.list()).sort()).toEqual(['config.json', 'model.bin'])
    expect((await inner.open('config.json')).size).toBe(1)
    for (const name of ['../secret', '..', '.', 'sub/x', '/etc/passwd', '']) {
      expect(await codeOf(inner.open(name)), name).toMatch(/^file-/)
    }
    expect(await codeOf(openFolder(at('nowhere')))).toBe('file-not-found')
    expect(await openFolder(at('secret')).catch(error => error.message)).toContain('is not a folder')
  })
})

describe('a sink', () => {
  it('shows the file only when it is whole, and replaces an older one at once', async () => {
    writeFileSync(at('out'), 'old')
    const sink = await createSink(at('out'))
    await sink.write(Buffer.from('new '))
    expect(readFileSync(at('out'), 'utf8')).toBe('old')
    await sink.write(Buffer.from('file'))
    await sink.finish()
    expect(readFileSync(at('out'), 'utf8')).toBe('new file')
    expect(readdirSync(folder)).toEqual(['out'])
    await sink.abort()
    expect(readFileSync(at('out'), 'utf8')).toBe('new file')
  })

  it('aborted leaves nothing, and may be aborted twice', async () => {
    const sink = await createSink(at('deep/er/out'))
    await sink.write(Buffer.from('half'))
    await sink.abort()
    await sink.abort()
    expect(readdirSync(at('deep/er'))).toEqual([])
  })

  it.skipIf(!existsSync('/dev/full') || process.getuid?.() !== 0)(
    'on a full disk says disk-full and leaves nothing',
    async context => {
      const disk = at('disk')
      mkdirSync(disk)
      try {
        execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk], { stdio: 'ignore' })
      } catch {
        context.skip('no right to mount here')
      }
      try {
        const sink = await createSink(join(disk, 'out'))
        const error = await sink.write(new Uint8Array(1 << 20)).catch(error => error)
        expect(error).toMatchObject({ code: 'disk-full', remedy: expect.stringContaining('space') })
        expect(readdirSync(disk)).toEqual([])
      } finally {
        execFileSync('umount', [disk])
      }
    },
  )

  it('in a place that cannot be written says so', async () => {
    writeFileSync(at('file'), '')
    expect(await codeOf(createSink(at('file/below')))).toBe('file-unreadable')
    expect(await createSink(at('file/below'), 'Do this.').catch(error => error.remedy)).toBe('Do this.')
  })

  it('replaces neither a folder nor a device', async () => {
    mkdirSync(at('there'))
    expect(await codeOf(createSink(at('there')))).toBe('file-unreadable')
    if (process.platform !== 'win32') {
      execFileSync('mkfifo', [at('pipe')])
      expect(await codeOf(createSink(at('pipe')))).toBe('file-unreadable')
      expect(readdirSync(folder).sort()).toEqual(['pipe', 'there'])
    }
  })

  it('left over by a killed process is removed when it is old', async () => {
    await createSink(at('young'))
    await createSink(at('old'))
    const old = readdirSync(folder).find(name => name.startsWith('old'))!
    const hourAgo = Date.now() / 1000 - 3600
    utimesSync(at(old), hourAgo, hourAgo)
    await removeUnfinished(folder, 60_000)
    expect(readdirSync(folder).map(name => name.split('.')[0])).toEqual(['young'])
    await removeUnfinished(at('nowhere'), 0)
  })
})

describe('the conversion cache', () => {
  const prepare = () => {
    mkdirSync(at('My Model!'))
    writeFileSync(at('My Model!/config.json'), '{}')
    let conversions = 0
    const get = () =>
      convertedFile(at('My Model!'), at('cache'), async (source, sink) => {
        conversions += 1
        await sink.write(Buffer.from((await source.list()).join()))
        await sink.finish()
      })
    return { get, conversions: () => conversions }
  }
  const cached = () => readdirSync(at('cache/converted'))

  it('converts once; again when a file changes, and drops what it had before', async () => {
    const { get, conversions } = prepare()
    const path = await get()
    expect(readFileSync(path, 'utf8')).toBe('config.json')
    expect(await get()).toBe(path)
    expect(conversions()).toBe(1)
    writeFileSync(at('My Model!/config.json'), '{ }')
    const next = await get()
    expect(next).not.toBe(path)
    expect(conversions()).toBe(2)
    expect(cached()).toEqual([next.split(/[\\/]/).at(-1)])
  })

  it('keeps nothing of a conversion that failed', async () => {
    mkdirSync(at('model'))
    const attempt = convertedFile(at('model'), at('cache'), async (_source, sink) => {
      await sink.write(Buffer.from('half'))
      throw new Error('broken')
    })
    await expect(attempt).rejects.toThrow('broken')
    expect(cached()).toEqual([])
  })

  it('keeps two folders of one name apart', async () => {
    for (const parent of ['a', 'b']) mkdirSync(at(`${parent}/model`), { recursive: true })
    const convert = (parent: string) =>
      convertedFile(at(`${parent}/model`), at('cache'), (_source, sink) => sink.finish())
    expect(await convert('a')).not.toBe(await convert('b'))
    expect(cached()).toHaveLength(2)
    expect(statSync(at('cache/converted')).isDirectory()).toBe(true)
  })

  it('lies where the operating system wants caches', () => {
    expect(defaultCacheDirectory({ XDG_CACHE_HOME: '/x' }, 'linux')).toBe(join('/x', 'tern'))
    expect(defaultCacheDirectory({}, 'linux')).toMatch(/\.cache[\\/]tern$/)
    expect(defaultCacheDirectory({}, 'darwin')).toMatch(/Library[\\/]Caches[\\/]Tern$/)
    expect(defaultCacheDirectory({ LOCALAPPDATA: 'L' }, 'win32')).toBe(join('L', 'Tern', 'Cache'))
    expect(defaultCacheDirectory({ TERN_CACHE_DIR: '/t' }, 'darwin')).toBe('/t')
  })
})
