/** What the commands read and write: never over an input, over another file only with --force, and nothing without end. */
import {
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createFakeEngine } from '../fake-engine.ts'
import { connectFake, ternInProcess } from '../tern-in-process.ts'

const CHECKPOINT = fileURLToPath(new URL('../golden/data/tiny-f16-sharded', import.meta.url))
const root = mkdtempSync(join(tmpdir(), 'tern-cli-files-'))
const cacheBefore = process.env.TERN_CACHE_DIR
let folder: string
const at = (name: string) => join(folder, name)
const content = (name: string) => readFileSync(at(name), 'latin1')

beforeAll(async () => {
  process.env.TERN_CACHE_DIR = join(root, 'cache')
  expect(await ternInProcess(['convert', CHECKPOINT, join(root, 'model.gguf')])).toMatchObject({ code: 0 })
})
beforeEach(() => {
  folder = mkdtempSync(join(root, 'case-'))
  cpSync(CHECKPOINT, at('checkpoint'), { recursive: true })
  cpSync(join(root, 'model.gguf'), at('model.gguf'))
  writeFileSync(at('ids.json'), '[1, 5, 9]')
  writeFileSync(at('text.txt'), 'A text.')
})
afterAll(() => {
  if (cacheBefore === undefined) delete process.env.TERN_CACHE_DIR
  else process.env.TERN_CACHE_DIR = cacheBefore
  rmSync(root, { recursive: true, force: true })
})

const run = (...args: string[]) => ternInProcess(['run', '--backend', 'reference', '--raw', '-n', '1', ...args])
const evaluateIds = (...args: string[]) =>
  ternInProcess(['eval', at('model.gguf'), '--ids', at('ids.json'), '--backend', 'reference', ...args])
/** A fake engine, for what needs a tokenizer and no numbers. */
const fake = (args: string[], stdin?: string) =>
  ternInProcess(args, {
    connectEngine: connectFake(createFakeEngine({ loadMs: 0, tokenMs: 0, replyWords: 2 })),
    ...(stdin === undefined ? {} : { stdin }),
  })
const prompts = { about: 'x', prompts: [{ category: 'a', turns: ['Hi'], must: null, mustNot: null, words: [0, 99] }] }

/** Every command that writes a file, to `path`. */
const WRITERS: [what: string, write: (path: string, ...more: string[]) => ReturnType<typeof ternInProcess>][] = [
  ['convert', (path, ...more) => ternInProcess(['convert', at('checkpoint'), path, ...more])],
  [
    'run --state-out',
    (path, ...more) => fake(['run', '-p', 'x', '-m', at('model.gguf'), '--state-out', path, ...more]),
  ],
  ['eval --save-logits', (path, ...more) => evaluateIds('--save-logits', path, ...more)],
  [
    'eval --prompts --page',
    (path, ...more) => {
      writeFileSync(at('prompts.json'), JSON.stringify(prompts))
      return fake(['eval', '--prompts', at('prompts.json'), '--page', path, '-m', at('model.gguf'), ...more])
    },
  ],
]

it('info refuses a folder whose weights are not all there, as convert does', async () => {
  const index = at('checkpoint/model.safetensors.index.json')
  const { weight_map: weights, ...rest } = JSON.parse(readFileSync(index, 'utf8'))
  const { 'model.norm.weight': _, ...left } = weights
  writeFileSync(index, JSON.stringify({ ...rest, weight_map: left }))
  for (const args of [
    ['info', at('checkpoint')],
    ['convert', at('checkpoint'), at('never.gguf')],
  ]) {
    const { code, stderr } = await ternInProcess(args)
    expect([code, stderr]).toEqual([1, expect.stringContaining('model.norm.weight')])
  }
})

describe.each(WRITERS)('%s', (_what, write) => {
  it('keeps a file that is there, unless --force', async () => {
    writeFileSync(at('precious'), 'precious')
    const refused = await write(at('precious'))
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('exists already') })
    expect(refused.stderr).toContain('--force')
    expect(content('precious')).toBe('precious')
    expect(await write(at('precious'), '--force')).toMatchObject({ code: 0 })
    expect(content('precious')).not.toBe('precious')
  })

  it('tells a place that cannot be written before any work, and leaves nothing', async () => {
    const { code, stdout, stderr } = await write(at('text.txt/below'))
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain('cannot be written')
    expect(readdirSync(folder).filter(name => name.includes('unfinished'))).toEqual([])
  })
})

describe('an output that is an input', () => {
  it('is refused: any file of the folder that is converted', async () => {
    for (const name of readdirSync(at('checkpoint'))) {
      const before = content(`checkpoint/${name}`)
      const { code, stderr } = await ternInProcess(['convert', at('checkpoint'), at(`checkpoint/${name}`), '--force'])
      expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('is read by this command') })
      expect(content(`checkpoint/${name}`)).toBe(before)
    }
  })

  it('is refused by whatever name: a link, a second name, another way to its folder', async () => {
    symlinkSync(at('model.gguf'), at('link'))
    linkSync(at('model.gguf'), at('second'))
    symlinkSync(folder, at('way'))
    const before = content('model.gguf')
    for (const name of ['model.gguf', 'link', 'second', 'way/model.gguf']) {
      for (const write of WRITERS.slice(1).map(([, write]) => write)) {
        const { code, stderr } = await write(at(name), '--force')
        expect({ code, stderr }, name).toEqual({ code: 1, stderr: expect.stringContaining('is read by this command') })
      }
    }
    expect(content('model.gguf')).toBe(before)
  })

  it('is refused when it holds the ids, the prompts, or the model of a chat', async () => {
    expect(await evaluateIds('--save-logits', at('ids.json'), '--force')).toMatchObject({ code: 1 })
    expect(content('ids.json')).toBe('[1, 5, 9]')
    const [, writePage] = WRITERS[3]!
    expect(await writePage(at('prompts.json'), '--force')).toMatchObject({ code: 1 })
    expect(JSON.parse(content('prompts.json'))).toEqual(prompts)
    const before = content('model.gguf')
    const saved = await fake(['chat', '-m', at('model.gguf')], `/save --force ${at('model.gguf')}\n`)
    expect(saved.stderr).toContain('is read by this command')
    expect(content('model.gguf')).toBe(before)
  })

  it('may be the folder itself by a new name, and an earlier conversion in it', async () => {
    for (const more of [[], ['--force']]) {
      const args = ['convert', at('checkpoint'), at('checkpoint/model.gguf'), ...more]
      expect(await ternInProcess(args)).toMatchObject({ code: 0 })
    }
  })

  it('may be the state that is gone on from, which is read whole before', async () => {
    const state = at('a.state')
    const first = await fake(['run', '--raw', '-p', 'x', '--state-out', state])
    expect(first.code).toBe(0)
    const before = content('a.state')
    const args = ['run', '--raw', '-p', 'y', '--state-in', state, '--state-out', state]
    expect(await fake(args)).toMatchObject({ code: 1 })
    expect(await fake([...args, '--force'])).toMatchObject({ code: 0 })
    expect(content('a.state').length).toBeGreaterThan(before.length)
  })
})

describe('/save', () => {
  it('keeps a file that is there, unless --force; names may hold spaces', async () => {
    writeFileSync(at('my  chat.json'), 'precious')
    const kept = await fake(['chat'], `Hi\n/save ${at('my  chat.json')}\n`)
    expect(kept.stderr).toContain('exists already')
    expect(content('my  chat.json')).toBe('precious')
    const saved = await fake(['chat'], `Hi\n/save --force ${at('my  chat.json')}\n`)
    expect(saved).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(content('my  chat.json'))[0]).toEqual({ role: 'user', content: 'Hi' })
  })
})

describe('what is read', () => {
  const BIG = 2 ** 30
  it.each(['--text', '--ids', '--prompts', '--state-in'])('%s of a gigabyte is refused by its size', async option => {
    writeFileSync(at('big'), '')
    truncateSync(at('big'), BIG)
    const args = option === '--state-in' ? ['run', '--raw', '-p', 'x'] : ['eval']
    const { code, stderr } = await fake([...args, option, at('big')])
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/too large.*\n.*at most .* 1\.00 GiB/) })
  })

  it.skipIf(!existsSync('/dev/zero'))('a device without an end is given up at the limit', async () => {
    const { code, stderr } = await fake(['run', '--raw', '-p', 'x', '--state-in', '/dev/zero'])
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('too large') })
  })

  it('an empty text is refused, as empty ids are', async () => {
    writeFileSync(at('empty'), '')
    writeFileSync(at('no-ids'), '[]')
    expect(await fake(['eval', '--text', at('empty')])).toMatchObject({ code: 1 })
    const noIds = await ternInProcess(['eval', at('model.gguf'), '--backend', 'reference', '--ids', at('no-ids')])
    expect(noIds).toMatchObject({ code: 1 })
  })

  it('what is missing or a folder is named', async () => {
    mkdirSync(at('folder'))
    const missing = await fake(['eval', '--text', at('missing')])
    expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining('no such file or folder') })
    const isFolder = await fake(['eval', '--text', at('folder')])
    expect(isFolder).toMatchObject({ code: 1, stderr: expect.stringContaining(at('folder')) })
  })
})

it('a damaged model is refused before a state of it is written', async () => {
  writeFileSync(at('model.gguf'), 'no model')
  expect(await run('-p', 'x', '-m', at('model.gguf'), '--state-out', at('new.state'))).toMatchObject({ code: 1 })
  expect(readdirSync(folder).some(name => name.startsWith('new.state'))).toBe(false)
})
