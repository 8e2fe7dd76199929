/** Files that the engine writes: whole or not at all, over another only when asked, and nothing left of killed writers. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { createSink } from '../../main/engine-process/file-sink.ts'
import { removeLeftovers, unfinishedPath } from '../../main/engine-process/unfinished-files.ts'
import { codeOf, temporaryFolder } from '../temporary-folder.ts'

/** Set: the file system knows no second names, as FAT. */
let linkError: string | null = null
vi.mock('node:fs/promises', async importOriginal => {
  const real = await importOriginal<typeof import('node:fs/promises')>()
  return {
    ...real,
    link: (...args: Parameters<typeof real.link>) =>
      linkError === null ? real.link(...args) : Promise.reject(Object.assign(new Error(), { code: linkError })),
  }
})

beforeEach(() => {
  linkError = null
})
const folder = temporaryFolder()
const { at } = folder
async function writeWhole(path: string, content: string, options?: Parameters<typeof createSink>[1]) {
  const sink = await createSink(path, options)
  await sink.write(Buffer.from(content))
  await sink.finish()
}

describe('a sink', () => {
  it('shows the file only when it is whole, and replaces an older one at once', async () => {
    writeFileSync(at('out'), 'old')
    const sink = await createSink(at('out'), { replace: true })
    await sink.write(Buffer.from('new '))
    expect(readFileSync(at('out'), 'utf8')).toBe('old')
    await sink.write(Buffer.from('file'))
    await sink.finish()
    expect(readFileSync(at('out'), 'utf8')).toBe('new file')
    expect(readdirSync(folder.path)).toEqual(['out'])
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
    expect(await createSink(at('file/below'), { remedy: 'Do this.' }).catch(error => error.remedy)).toBe('Do this.')
  })

  it('replaces neither a folder nor a device', async () => {
    mkdirSync(at('there'))
    expect(await codeOf(createSink(at('there'), { replace: true }))).toBe('file-unreadable')
    if (process.platform !== 'win32') {
      execFileSync('mkfifo', [at('pipe')])
      expect(await codeOf(createSink(at('pipe')))).toBe('file-unreadable')
      expect(readdirSync(folder.path).sort()).toEqual(['pipe', 'there'])
    }
  })

  it.skipIf(!existsSync('/proc/self'))('gives up where no folder can be made, instead of trying for ever', async () => {
    expect(await codeOf(createSink('/proc/nothing/below/out'))).toBe('file-unreadable')
  })

  it('may have any name that the system takes', async () => {
    for (const name of ['n'.repeat(255), 'é'.repeat(127)]) {
      await writeWhole(at(name), 'x')
      expect(readFileSync(at(name), 'utf8')).toBe('x')
    }
    expect(readdirSync(folder.path)).toHaveLength(2)
  })
})

describe('another file of the same name', () => {
  it('is kept unless it may be replaced', async () => {
    writeFileSync(at('out'), 'old')
    expect(await codeOf(createSink(at('out')))).toBe('invalid-argument')
    await writeWhole(at('out'), 'new', { replace: true })
    expect(readFileSync(at('out'), 'utf8')).toBe('new')
  })

  it.each([null, 'EPERM', 'ENOTSUP'])('is kept when it came during the work (links: %s)', async code => {
    linkError = code
    const [first, second] = [await createSink(at('out')), await createSink(at('out'))]
    await first.write(Buffer.from('first'))
    await second.write(Buffer.from('second'))
    await first.finish()
    expect(await codeOf(second.finish())).toBe('invalid-argument')
    expect(readFileSync(at('out'), 'utf8')).toBe('first')
    expect(readdirSync(folder.path)).toEqual(['out'])
  })

  it.skipIf(process.platform === 'win32')('keeps its rights', async () => {
    writeFileSync(at('private'), 'old')
    chmodSync(at('private'), 0o600)
    await writeWhole(at('private'), 'new', { replace: true })
    expect(statSync(at('private')).mode & 0o777).toBe(0o600)
  })

  it('behind a link is written in its own place; a link to nothing is refused', async () => {
    mkdirSync(at('disk'))
    writeFileSync(at('disk/target'), 'old')
    symlinkSync(at('disk/target'), at('link'))
    expect(await codeOf(createSink(at('link')))).toBe('invalid-argument')
    await writeWhole(at('link'), 'new', { replace: true })
    expect(lstatSync(at('link')).isSymbolicLink()).toBe(true)
    expect(readFileSync(at('disk/target'), 'utf8')).toBe('new')
    symlinkSync(at('nowhere'), at('dangling'))
    for (const replace of [false, true]) {
      expect(await codeOf(createSink(at('dangling'), { replace }))).toBe('file-unreadable')
    }
    expect(existsSync(at('nowhere'))).toBe(false)
  })

  it('with a second name: only the one that was given changes', async () => {
    writeFileSync(at('one'), 'old')
    linkSync(at('one'), at('two'))
    await writeWhole(at('one'), 'new', { replace: true })
    expect(readFileSync(at('two'), 'utf8')).toBe('old')
  })
})

describe('what a killed process left', () => {
  /** The name that a process which has ended would have used. */
  async function leftover(name: string): Promise<string> {
    const child = spawn(process.execPath, ['--version'], { stdio: 'ignore' })
    await once(child, 'exit')
    const path = unfinishedPath(at(name)).replace(`-${process.pid}-`, `-${child.pid}-`)
    writeFileSync(path, 'half')
    return path
  }

  it('goes with the next file in its folder; files in work stay', async () => {
    await leftover('out')
    await leftover('another')
    const working = await createSink(at('working'))
    await writeWhole(at('out'), 'whole')
    expect(
      readdirSync(folder.path)
        .map(name => name.split('.')[0])
        .sort(),
    ).toEqual(['out', 'working'])
    await working.abort()
    expect(readdirSync(folder.path)).toEqual(['out'])
  })

  it.skipIf(process.platform !== 'linux')('goes though its process number is in use again', async () => {
    const path = unfinishedPath(at('out'))
    const [, start] = /-(\d+)-[0-9a-f]+$/.exec(path)!
    writeFileSync(path.replace(`-${start}-`, `-${Number(start) - 1}-`), 'half')
    await removeLeftovers(folder.path)
    expect(readdirSync(folder.path)).toEqual([])
  })

  it('of another machine goes when nobody has touched it for a day', async () => {
    const foreign = (name: string) => {
      const path = unfinishedPath(at(name)).replace(/unfinished-[0-9a-f]{8}/, 'unfinished-00000000')
      writeFileSync(path, 'half')
      return path
    }
    const young = foreign('young')
    const old = foreign('old')
    const twoDaysAgo = Date.now() / 1000 - 2 * 24 * 3600
    utimesSync(old, twoDaysAgo, twoDaysAgo)
    await removeLeftovers(folder.path)
    expect(readdirSync(folder.path)).toEqual([basename(young)])
  })

  it("is told from the user's own files by its whole name", async () => {
    const own = ['a.unfinished-draft', 'unfinished-00000000-1-1-000000000000', 'b.unfinished-00000000-1-1-0000.gguf']
    for (const name of own) writeFileSync(at(name), '')
    const longAgo = Date.now() / 1000 - 1e7
    for (const name of own) utimesSync(at(name), longAgo, longAgo)
    await removeLeftovers(folder.path)
    expect(readdirSync(folder.path).sort()).toEqual([...own].sort())
    await removeLeftovers(at('nowhere'))
  })
})
