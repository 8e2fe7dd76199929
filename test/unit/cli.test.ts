/** The command `tern` with real models: within this process where that is enough, else as users start it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }
import goldens from '../golden/data/tern-98m-v2/golden.json' with { type: 'json' }
import { ternInProcess as tern } from '../tern-in-process.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const launcher = join(root, 'main/launcher/tern.mjs')
const checkpoints = join(root, 'test/golden/data')
const folder = mkdtempSync(join(tmpdir(), 'tern-cli-'))
const cacheBefore = process.env.TERN_CACHE_DIR
process.env.TERN_CACHE_DIR = folder
afterAll(() => {
  if (cacheBefore === undefined) delete process.env.TERN_CACHE_DIR
  else process.env.TERN_CACHE_DIR = cacheBefore
  rmSync(folder, { recursive: true, force: true })
})

interface Ended {
  code: number | null
  stdout: string
  stderr: string
}
interface StartOptions {
  stdin?: string
  env?: NodeJS.ProcessEnv
  cwd?: string
}

function start(args: string[], { stdin = '', env = {}, cwd = folder }: StartOptions = {}) {
  const child = spawn(process.execPath, [launcher, ...args], {
    cwd,
    env: { ...process.env, TERN_CACHE_DIR: folder, ...env },
  })
  child.stdin.on('error', () => {})
  child.stdin.end(stdin)
  return child
}

function ended(child: ChildProcess): Promise<Ended> {
  let stdout = ''
  let stderr = ''
  child.stdout?.setEncoding('utf8').on('data', text => {
    stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', text => {
    stderr += text
  })
  return new Promise(resolve => child.once('close', code => resolve({ code, stdout, stderr })))
}

const ternProcess = (args: string[], options?: StartOptions): Promise<Ended> => ended(start(args, options))

async function json(args: string[]) {
  const { code, stdout, stderr } = await tern([...args, '--json'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return JSON.parse(stdout)
}

/** Every byte is a token; the rest of the vocabulary is there to fill it. */
function byteTokenizer(vocabularySize: number) {
  const special = ['<unk>', '<s>', '</s>']
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
  const fillers = Array.from({ length: vocabularySize - special.length - bytes.length }, (_, i) => `filler${i}`)
  const vocab = Object.fromEntries([...special, ...bytes, ...fillers].map((token, id) => [token, id]))
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
  return {
    version: '1.0',
    added_tokens: special.map((content, id) => ({ id, content, ...flags })),
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: 'Sequence', decoders: [{ type: 'ByteFallback' }, { type: 'Fuse' }] },
    model: { type: 'BPE', unk_token: '<unk>', byte_fallback: true, fuse_unk: true, vocab, merges: [] },
  }
}

describe('run', () => {
  const greeting = goldens[0]!
  const beginning = goldens[2]!

  it('answers with the chat template, greedy text equal to the published implementation', async () => {
    const reply = await json(['run', '-p', 'Hello! How are you today?', '--greedy', '--max-tokens', '64'])
    expect(reply.text).toBe(greeting.greedy)
    expect(reply).toMatchObject({
      promptTokens: greeting.prompt_tokens,
      finishReason: 'end-of-text',
      model: 'Tern 98M',
      backend: 'wasm',
    })
    expect(reply.tokenIds.every(Number.isInteger)).toBe(true)
    for (const figure of ['tokensPerSecond', 'ttftMs', 'loadMs']) expect(reply[figure]).toBeGreaterThan(0)
    for (const bytes of ['weightBytes', 'bytesOfAllStates', 'scratchBytes', 'processRssBytes']) {
      expect(reply.memory[bytes]).toBeGreaterThan(0)
    }
  })

  it('--raw continues the text, and reads special tokens in it', async () => {
    const max = ['--raw', '--greedy', '--max-tokens', '24']
    const continued = await json(['run', '-p', beginning.prompt, ...max])
    expect(beginning.greedy.startsWith(continued.text)).toBe(true)
    expect(continued).toMatchObject({ finishReason: 'max-tokens', promptTokens: beginning.prompt_tokens })
    const chat = await json(['run', '-p', greeting.prompt, ...max])
    expect(chat.text).toBe(greeting.greedy)
  })

  it('reads the prompt from a pipe, without its last line end, and streams plain text', async () => {
    const { code, stdout, stderr } = await ternProcess(['run', '--greedy'], { stdin: 'Hello! How are you today?\n' })
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: `${greeting.greedy}\n`, stderr: '' })
  })

  it('gives the same text for the same seed', async () => {
    const args = ['run', '-p', 'Tell me a story.', '--temperature', '1', '--max-tokens', '12', '--seed']
    const [first, again, other] = await Promise.all([json([...args, '7']), json([...args, '7']), json([...args, '8'])])
    expect(again.tokenIds).toEqual(first.tokenIds)
    expect(other.tokenIds).not.toEqual(first.tokenIds)
  })

  it('ends before a stop string, and obeys a logit bias', async () => {
    const args = ['run', '-p', 'Hello! How are you today?', '--greedy']
    const stopped = await json([...args, '--stop', ' thank', '--stop', 'never'])
    expect(stopped).toMatchObject({ text: "Hi! I'm doing well,", finishReason: 'stop-string' })
    const banned = await json([...args, '--max-tokens', '1', '--logit-bias', `${stopped.tokenIds[0]}=-100`])
    expect(banned.tokenIds[0]).not.toBe(stopped.tokenIds[0])
  })

  it('goes on from a saved state exactly where it stood', async () => {
    const max = ['--raw', '--greedy', '--max-tokens']
    const whole = await json(['run', '-p', beginning.prompt, ...max, '16'])
    const state = join(folder, 'half.state')
    const half = await json(['run', '-p', beginning.prompt, ...max, '8', '--state-out', state])
    const rest = await json(['run', '-p', '', ...max, '8', '--state-in', state])
    expect([...half.tokenIds, ...rest.tokenIds]).toEqual(whole.tokenIds)
  })

  it('stops cleanly when the reader of its output goes away', async () => {
    const child = start(['run', '--raw', '-p', 'Once upon a time', '--max-tokens', '100000', '--seed', '1'])
    const end = ended(child)
    child.stdout.once('data', () => child.stdout.destroy())
    expect(await end).toMatchObject({ code: 0, stderr: '' })
  })

  it('Ctrl-C ends the reply with 130 and leaves the text so far', async () => {
    const child = start(['run', '--raw', '-p', 'Once upon a time', '--max-tokens', '100000', '--seed', '1'])
    const end = ended(child)
    child.stdout.once('data', () => child.kill('SIGINT'))
    const { code, stdout, stderr } = await end
    expect({ code, stderr }).toEqual({ code: 130, stderr: '' })
    expect(stdout.endsWith('\n')).toBe(true)
  })
})

describe('errors', () => {
  it('say what was wrong and what to do, without a stack', async () => {
    const { code, stdout, stderr } = await ternProcess(['run', '-p', 'x', '-m', 'missing.gguf'])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^tern: .*missing\.gguf/)
    expect(stderr).not.toMatch(/\n\s+at /)
  })

  it('are an object on stdout with --json', async () => {
    const { code, stdout, stderr } = await tern(['info', 'missing.gguf', '--json'])
    expect(code).toBe(1)
    expect(stderr).toMatch(/^tern: /)
    expect(JSON.parse(stdout).error).toMatchObject({ code: 'file-not-found', message: expect.any(String) })
  })

  it('refuse a file that is no model', async () => {
    const path = join(folder, 'no-model.gguf')
    writeFileSync(path, 'This is a shopping list, not a model. Eggs, rice.'.repeat(100))
    const { code, stderr } = await tern(['info', path])
    expect(code).toBe(1)
    expect(stderr).toMatch(/expected .* \/ found /)
  })
})

describe('convert and eval', () => {
  const checkpoint = join(checkpoints, 'tiny-f16-sharded')
  const ids = join(folder, 'ids.json')
  writeFileSync(ids, JSON.stringify({ input_ids: [[1, 5, 9, 200, 17, 3, 8, 250, 40, 41]] }))

  it.each(['tq1_0', 'tq2_0'])('a converted %s file computes what its folder does', async packing => {
    const output = join(folder, `${packing}.gguf`)
    const done = await tern(['convert', checkpoint, output, '--packing', packing])
    expect(done).toMatchObject({ code: 0, stdout: expect.stringContaining(output) })
    expect(done.stderr).toContain('100 %')
    const fromFolder = await json(['eval', checkpoint, '--ids', ids])
    const fromFile = await json(['eval', output, '--ids', ids])
    expect(fromFile.lossNats).toBe(fromFolder.lossNats)
    expect(fromFile).toMatchObject({ tokens: 10, backend: 'wasm' })
    expect(fromFile.perplexity).toBeCloseTo(Math.exp(fromFile.lossNats), 6)
  })

  it('a checkpoint with a tokenizer becomes a model that reads and writes text', async () => {
    const source = mkdtempSync(join(folder, 'with-tokenizer-'))
    for (const name of readdirSync(checkpoint)) copyFileSync(join(checkpoint, name), join(source, name))
    // As large as real ones are.
    writeFileSync(join(source, 'tokenizer.json'), JSON.stringify(byteTokenizer(512)) + ' '.repeat(200_000))
    const output = join(folder, 'with-tokenizer.gguf')
    expect(await tern(['convert', source, output])).toMatchObject({ code: 0 })
    const args = ['run', '--raw', '-p', 'Hi', '--greedy', '--max-tokens', '8', '-m']
    const [fromFile, fromFolder] = [await json([...args, output]), await json([...args, source])]
    expect(fromFile).toMatchObject({ promptTokens: 3, tokenIds: fromFolder.tokenIds, text: fromFolder.text })
    expect(fromFile.tokenIds).toHaveLength(8)
  })

  it('leaves nothing behind when the conversion fails', async () => {
    const target = mkdtempSync(join(folder, 'target-'))
    const broken = mkdtempSync(join(folder, 'broken-'))
    writeFileSync(join(broken, 'config.json'), readFileSync(join(checkpoint, 'config.json')))
    writeFileSync(join(broken, 'model.safetensors'), 'not safetensors at all')
    expect(await tern(['convert', broken, join(target, 'out.gguf')])).toMatchObject({ code: 1 })
    expect(readdirSync(target)).toEqual([])
  })

  it('says the same of a folder without config.json, whether it is asked about or to be converted', async () => {
    const empty = mkdtempSync(join(folder, 'empty-'))
    const [asked, converted] = [await tern(['info', empty]), await tern(['convert', empty, join(folder, 'never.gguf')])]
    expect(asked).toMatchObject({ code: 1, stderr: expect.stringContaining('has no config.json') })
    expect(converted).toEqual(asked)
  })

  it('saves all logits as one float32 tensor [T, V]', async () => {
    const output = join(folder, 'logits.safetensors')
    const { logitsPath } = await json(['eval', checkpoint, '--ids', ids, '--save-logits', output])
    expect(logitsPath).toBe(output)
    const file = readFileSync(output)
    const headerLength = Number(file.readBigUInt64LE(0))
    const { logits } = JSON.parse(file.subarray(8, 8 + headerLength).toString())
    expect(logits).toMatchObject({ dtype: 'F32', shape: [10, 512] })
    expect(file.byteLength).toBe(8 + headerLength + 10 * 512 * 4)
  })

  it.each([
    { content: '{"tokens": [1]}', says: 'no array' },
    { content: '[1, -2]', says: '-2 at index 1' },
    { content: 'one, two', says: 'holds no token ids' },
    { content: '[1, 512]', says: '512' },
  ])('refuses ids like $content', async ({ content, says }) => {
    const path = join(folder, 'wrong.json')
    writeFileSync(path, content)
    const { code, stderr } = await tern(['eval', checkpoint, '--ids', path])
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(says) })
  })

  it('measures a text that begins with <s>', async () => {
    const path = join(folder, 'text.txt')
    writeFileSync(path, 'Once upon a time there was a little girl.')
    const result = await json(['eval', '--text', path])
    expect(result.lossNats).toBeGreaterThan(0.5)
    expect(result.lossNats).toBeLessThan(4)
  })
})

describe('info', () => {
  it('describes the embedded model', async () => {
    const { model, backend, adapters } = await json(['info'])
    expect(model).toMatchObject({ parameterCount: 97_626_624, bytesPerState: 12 * 768 * 4, license: 'cc-by-sa-4.0' })
    // Without a graphics processor, or with a software one only, it says so.
    const isReal = ({ isSoftware }: { isSoftware: boolean }) => !isSoftware
    if (!adapters.some(isReal)) expect(backend).toMatchObject({ name: 'wasm' })
    if (backend.name === 'wasm') expect(backend.description).toMatch(/graphics processor/)
    const { stdout } = await tern(['info'])
    expect(stdout).toContain('97,626,624')
    expect(stdout).toMatch(/^graphics +\S/m)
  })
})

describe('chat', () => {
  it('answers the lines of a pipe, with history and commands', async () => {
    const transcript = join(folder, 'chat.json')
    const lines = ['Hello! How are you today?', '/stats', '"""Who', 'are you?"""', `/save ${transcript}`, '']
    const { code, stdout, stderr } = await tern(['chat', '--greedy'], { stdin: lines.join('\n') })
    expect(code).toBe(0)
    expect(stdout.startsWith(`${goldens[0]!.greedy}\n`)).toBe(true)
    expect(stdout).toMatch(/state +36\.0 KiB/)
    expect(stderr).toBe('')
    const messages = JSON.parse(readFileSync(transcript, 'utf8'))
    expect(messages.map((message: { role: string }) => message.role)).toEqual([
      'user',
      'assistant',
      'user',
      'assistant',
    ])
    expect(messages[2].content).toBe('Who\nare you?')
    expect(messages[1].content).toBe(goldens[0]!.greedy)
  })

  it('/regenerate replaces the last reply from the state before it, /new forgets', async () => {
    const lines = ['Hello! How are you today?', '/regenerate', '/new', '/regenerate', 'Hello! How are you today?']
    const { stdout, stderr } = await tern(['chat', '--greedy'], { stdin: lines.join('\n') })
    expect(stdout.split(goldens[0]!.greedy)).toHaveLength(4)
    expect(stderr).toContain('no reply to replace')
  })
})

describe('chat on a terminal', () => {
  /** `script` of util-linux gives a program a terminal of its own. */
  const hasScript = process.platform === 'linux' && existsSync('/usr/bin/script')

  it.skipIf(!hasScript)('takes pasted lines for one message; Ctrl-C clears the line, then leaves', async () => {
    const transcript = join(folder, 'pasted.json')
    const command = `'${process.execPath}' '${launcher}' chat --greedy --max-tokens 2`
    const child = spawn('/usr/bin/script', ['-qefc', command, '/dev/null'], { cwd: folder })
    let shown = ''
    child.stdout.setEncoding('utf8').on('data', text => {
      shown += text
    })
    const closed = new Promise(resolve => child.once('close', resolve))
    /** Types once the terminal shows `after`, looking only at what is new. */
    const type = async (after: string, text: string) => {
      await expect.poll(() => shown, { timeout: 20_000 }).toContain(after)
      shown = ''
      child.stdin.write(text)
    }
    await type('› ', '\x1b[200~first\r/second\rthird\x1b[201~\r')
    await type('tokens/s', `/save ${transcript}\r`)
    await type('Saved', 'unfinished\x03')
    await type('› ', '\x03')
    await type('leaves', '\x03')
    expect(await closed).toBe(130)
    const [message, ...others] = JSON.parse(readFileSync(transcript, 'utf8'))
    expect(message).toEqual({ role: 'user', content: 'first\n/second\nthird' })
    expect(others).toHaveLength(1)
  })
})

describe.skipIf(process.platform === 'win32')('a signal', () => {
  it('ends the wait for stdin at once', async () => {
    const ending = tern(['run'], { stdin: null })
    process.emit('SIGTERM')
    expect(await ending).toEqual({ code: 143, stdout: '', stderr: 'tern: Cancelled.\n' })
  })

  it.each([
    { what: '--state-in', args: ['run', '--raw', '-p', 'x', '--state-in'] },
    { what: '--text', args: ['eval', '--text'] },
  ])('ends the wait for $what at once, though the system does not', async ({ what, args }) => {
    const path = join(folder, `pipe${what}`)
    execFileSync('mkfifo', [path])
    const child = spawn(process.execPath, [launcher, ...args, path], { stdio: ['ignore', 'pipe', 'pipe'] })
    const end = ended(child)
    // Opening it to write fails until somebody reads.
    let writer = -1
    const open = () => {
      writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
    }
    await expect.poll(open, { timeout: 20_000 }).toBeUndefined()
    child.kill('SIGTERM')
    const { stderr } = await end
    closeSync(writer)
    // An exit code, or the signal itself where a read could not be called off: 143 in a shell.
    expect(child.signalCode ?? child.exitCode).toSatisfy(end => end === 'SIGTERM' || end === 143)
    expect(stderr).toBe('tern: Cancelled.\n')
  })
})

describe('an output that takes nothing', () => {
  it.skipIf(!existsSync('/dev/full'))('is told in one line, with exit code 1', async () => {
    for (const args of [['--help'], ['info'], ['run', '-p', 'x', '-n', '1', '--json']]) {
      const full = openSync('/dev/full', 'w')
      const child = spawn(process.execPath, [launcher, ...args], { stdio: ['ignore', full, 'pipe'] })
      const { code, stderr } = await ended(child)
      closeSync(full)
      expect({ code, stderr }).toEqual({
        code: 1,
        stderr: 'tern: The output cannot be written: there is no room left.\n',
      })
    }
  })
})

describe('launcher', () => {
  const olderNode = ['/usr/bin/node', '/usr/local/bin/node'].find(existsSync)

  it.skipIf(olderNode === undefined)('works under the Node of this machine, whatever its version', async () => {
    const ok = spawn(olderNode!, [launcher, '--version'], { cwd: folder })
    expect(await ended(ok)).toEqual({ code: 0, stdout: `${packageJson.version}\n`, stderr: '' })
    const wrong = spawn(olderNode!, [launcher, 'fly'], { cwd: folder })
    expect(await ended(wrong)).toMatchObject({ code: 2 })
  })
})
