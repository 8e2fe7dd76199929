/** Files that the engine reads: files, folders, and the cache of converted ones. */

import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { convertedFile, defaultCacheDirectory } from '../../main/engine-process/conversion-cache.ts'
import { isFolder, openFile, openFolder } from '../../main/engine-process/node-files.ts'
import { unfinishedPath } from '../../main/engine-process/unfinished-files.ts'
import { codeOf, temporaryFolder } from '../temporary-folder.ts'

const folder = temporaryFolder()
const { at } = folder
const folderFile = async (name: string) => (await openFolder(folder.path)).open(name)

describe('reading', () => {
  it('gives exactly the bytes asked for', async () => {
    writeFileSync(at('a'), 'abcdefgh')
    const file = await openFile(at('a'))
    expect(file).toMatchObject({ name: 'a', size: 8 })
    expect(Buffer.from(await file.read(2, 3)).toString()).toBe('cde')
    expect(await file.read(8, 0)).toHaveLength(0)
    await file.close()
  })

  it('fills memory of the caller, shared memory too, and nothing beside it', async () => {
    writeFileSync(at('a'), 'abcdefgh')
    const file = await openFile(at('a'))
    const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
    const into = new Uint8Array(buffer, 100, 3)
    expect(await file.read(2, 3, into)).toBe(into)
    expect(Buffer.from(new Uint8Array(buffer, 98, 7).slice()).toString()).toBe('\0\0cde\0\0')
    await file.close()
  })

  it('past the end, before the start, or of a file cut meanwhile is file-truncated', async () => {
    writeFileSync(at('a'), 'abcdefgh')
    const file = await openFile(at('a'))
    expect(await codeOf(file.read(6, 3))).toBe('file-truncated')
    expect(await codeOf(file.read(-1, 2))).toBe('file-truncated')
    truncateSync(at('a'), 4)
    const error = await file.read(2, 6).catch(thrown => thrown)
    expect(error).toMatchObject({
      code: 'file-truncated',
      expected: '8 bytes, as when it was opened',
      actual: '4 bytes',
    })
    expect(error.message).toBe('a became shorter while it was read.')
    await file.close()
  })

  it('what is not there, not a file, or would block is refused', async () => {
    expect(await codeOf(openFile(at('missing')))).toBe('file-not-found')
    expect(await codeOf(openFile(join(at('missing'), 'below')))).toBe('file-not-found')
    expect(await codeOf(openFile(folder.path))).toBe('file-unreadable')
    expect(await codeOf(isFolder(at('missing')))).toBe('file-not-found')
    symlinkSync(at('missing'), at('broken'))
    symlinkSync(at('loop'), at('loop'))
    for (const link of ['broken', 'loop']) {
      for (const attempt of [() => openFile(at(link)), () => isFolder(at(link)), () => folderFile(link)]) {
        const error: Error = await (attempt() as Promise<never>).catch(thrown => thrown)
        expect(error).toMatchObject({ code: 'file-not-found', remedy: expect.stringContaining('again') })
        expect(error.message).toBe(`${at(link)} is a link to a file that is not there.`)
      }
    }
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
    const linked = await inner.open('config.json')
    expect(linked.size).toBe(1)
    await linked.close()
    for (const name of ['../secret', '..', '.', 'sub/x', '/etc/passwd', '']) {
      expect(await codeOf(inner.open(name)), name).toMatch(/^file-/)
    }
    expect(await codeOf(openFolder(at('nowhere')))).toBe('file-not-found')
    expect(await openFolder(at('secret')).catch(error => error.message)).toContain('is not a folder')
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
    expect(cached().sort()).toEqual([next, `${next}.stamp`].map(path => basename(path)))
  })

  it('converts again what was cut, emptied or changed since, or was never finished', async () => {
    const { get, conversions } = prepare()
    const path = await get()
    const damages = [
      () => truncateSync(path, 3),
      () => writeFileSync(path, ''),
      // The same length, another time.
      () => writeFileSync(path, 'CONFIG.json'),
      () => rmSync(path),
      () => rmSync(`${path}.stamp`),
      () => writeFileSync(`${path}.stamp`, '[11'),
    ]
    for (const [n, damage] of damages.entries()) {
      utimesSync(path, 1, 1)
      damage()
      expect(await get()).toBe(path)
      expect(readFileSync(path, 'utf8')).toBe('config.json')
      expect(conversions()).toBe(n + 2)
    }
    expect(await get()).toBe(path)
    expect(conversions()).toBe(damages.length + 1)
  })

  it('passes over broken links that are not needed', async () => {
    const { get, conversions } = prepare()
    symlinkSync(at('nowhere'), at('My Model!/README.md'))
    symlinkSync(at('My Model!/loop'), at('My Model!/loop'))
    const path = await get()
    expect(await get()).toBe(path)
    expect(conversions()).toBe(1)
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

  it('removes what a killed measurement left beside it', async () => {
    const { get } = prepare()
    mkdirSync(at('cache'))
    // No process has this number.
    writeFileSync(unfinishedPath(at('cache/bench.gguf')).replace(`-${process.pid}-`, '-99999999-'), 'a model')
    await get()
    expect(readdirSync(at('cache'))).toEqual(['converted'])
  })

  it('keeps two folders of one name apart', async () => {
    for (const parent of ['a', 'b']) mkdirSync(at(`${parent}/model`), { recursive: true })
    const convert = (parent: string) =>
      convertedFile(at(`${parent}/model`), at('cache'), (_source, sink) => sink.finish())
    expect(await convert('a')).not.toBe(await convert('b'))
    expect(cached().filter(name => name.endsWith('.gguf'))).toHaveLength(2)
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
