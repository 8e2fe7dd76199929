/** What the command line prints, and what it takes for a message: with engines that play a part. */
import { describe, expect, it } from 'vitest'
import { TernError } from '../../contract/errors.ts'
import { printable } from '../../main/cli/terminal.ts'
import { createFakeEngine, type FakeEngine, fakeModel } from '../fake-engine.ts'
import { connectFake, ternInProcess } from '../tern-in-process.ts'

type Generate = FakeEngine['handlers']['streams']['generate']

const STATS = { promptTokens: 1, generatedTokens: 1, ttftMs: 1, prefillTokensPerSecond: 1, decodeTokensPerSecond: 1 }

/** Answers every prompt with `parts`, one event each; `requests` is what it was asked. */
function speaker(parts: string[]) {
  const requests: Parameters<Generate>[0][] = []
  const fake = createFakeEngine({ loadMs: 0 })
  const generate: Generate = async (request, emit) => {
    requests.push(structuredClone(request))
    for (const text of parts) emit({ kind: 'text', text, tokens: [1] })
    emit({ kind: 'finish', reason: 'end-of-text', stats: STATS })
  }
  return { requests, fake, connectEngine: connectFake(fake, { generate }) }
}

describe('what a terminal would obey', () => {
  // An escape over two tokens, a one-byte CSI, a bell, a carriage return, and an override of the direction.
  const EVIL = ['red \x1b', '[31m', '\x9b2J\x07', 'a\rb', '\u202egpj.exe']
  const SHOWN = 'red \\x1b[31m\\x9b2J\\x07a\\x0db\\u202egpj.exe\n'

  it('of a reply is written out on a terminal, and left alone in a pipe', async () => {
    const args = ['run', '-p', 'x']
    const shown = await ternInProcess(args, { isTerminal: true, connectEngine: speaker(EVIL).connectEngine })
    expect(shown.stdout).toBe(SHOWN)
    const piped = await ternInProcess(args, { connectEngine: speaker(EVIL).connectEngine })
    expect(piped.stdout).toBe(`${EVIL.join('')}\n`)
    const chat = await ternInProcess(['chat'], { stdin: 'x\n', isTerminal: true, ...speaker(EVIL) })
    expect(chat.stdout).toBe(SHOWN)
  })

  it('is nowhere in JSON, which still says the same', async () => {
    const { stdout } = await ternInProcess(['run', '-p', 'x', '--json'], speaker(EVIL))
    expect(stdout.trimEnd()).toMatch(/^[ -~]*$/)
    expect(JSON.parse(stdout).text).toBe(EVIL.join(''))
  })

  it("of a model's own words is written out everywhere", async () => {
    const { fake } = speaker([])
    const model = { ...fakeModel, name: 'a\x1b]0;pwned\x07', license: 'free\x1b[2J\nmodel  forged row' }
    const handlers = { ...fake.handlers, calls: { ...fake.handlers.calls, 'model.info': () => model } }
    const { stdout } = await ternInProcess(['info'], { connectEngine: connectFake({ handlers }) })
    expect(stdout).toContain('a\\x1b]0;pwned\\x07')
    expect(stdout).toContain('free\\x1b[2J model forged row')
    expect(printable(stdout)).toBe(stdout)
  })

  it('of an error is written out everywhere', async () => {
    const fail: Generate = async () => {
      throw new TernError({ code: 'template-invalid', message: 'no \x1b[31m', actual: '\x1b[2J', remedy: '\x07' })
    }
    const connectEngine = connectFake(createFakeEngine({ loadMs: 0 }), { generate: fail })
    const { code, stderr } = await ternInProcess(['run', '-p', 'x'], { connectEngine })
    expect(code).toBe(1)
    expect(stderr).toBe('tern: no \\x1b[31m\n  found \\x1b[2J\n  \\x07\n')
  })

  it('leaves words of all languages as they are', () => {
    for (const text of ['tab\tand\nline', 'שלום\u200f!', 'e\u0301 한 𝄞', '👩‍🚀']) expect(printable(text)).toBe(text)
  })
})

describe('the seed', () => {
  it('in use is told, and gives the same request again', async () => {
    const first = speaker(['a'])
    const { seed } = JSON.parse((await ternInProcess(['run', '-p', 'x', '--json'], first)).stdout)
    expect(seed).toEqual(expect.any(Number))
    expect(first.requests[0]!.sampling.seed).toBe(seed)
    const second = speaker(['a'])
    const args = ['run', '-p', 'x', '-v', '--seed', String(seed)]
    expect((await ternInProcess(args, second)).stderr).toContain(`seed ${seed}`)
    expect(second.requests[0]!.sampling).toEqual(first.requests[0]!.sampling)
  })

  it('differs from reply to reply, and greedy replies have none', async () => {
    const { requests, connectEngine } = speaker(['a'])
    const { stdout } = await ternInProcess(['chat'], { connectEngine, stdin: 'x\ny\n/stats\n' })
    const seeds = requests.map(({ sampling }) => sampling.seed)
    expect(new Set(seeds).size).toBe(2)
    expect(stdout).toContain(`seed        ${seeds[1]}\n`)
    const greedy = await ternInProcess(['run', '-p', 'x', '--greedy', '--json'], speaker(['a']))
    expect(JSON.parse(greedy.stdout).seed).toBeNull()
  })
})

describe('lines of a pipe', () => {
  const said = (requests: Parameters<Generate>[0][]) =>
    requests.map(({ input }) => (input.kind === 'messages' ? input.messages.at(-1)!.content : null))

  it('that begin with "/" are messages, unless they are commands; "//" stands for "/"', async () => {
    const { requests, connectEngine } = speaker(['a'])
    const stdin = '/etc/hosts is what?\n//new\n/new\n/constructor\n// a comment\n'
    const { code, stderr } = await ternInProcess(['chat'], { connectEngine, stdin })
    expect(code).toBe(0)
    expect(said(requests)).toEqual(['/etc/hosts is what?', '/new', '/constructor', '/ a comment'])
    expect(stderr).toBe(
      ['/etc/hosts', '/constructor']
        .map(name => `tern: ${name} is no command: the line was taken for a message.\n`)
        .join(''),
    )
  })
})

it('a reply that is to move is refused before anything is loaded, where there is nothing to move to', async () => {
  const fake = createFakeEngine({ loadMs: 0 })
  let loads = 0
  const connectEngine = connectFake(fake, {
    'model.load': async () => {
      loads++
    },
  })
  for (const option of ['--move-at', '--migrate-at']) {
    const { code, stdout, stderr } = await ternInProcess(['run', '-p', 'x', option, '2'], { connectEngine })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain('no graphics processor')
  }
  expect(loads).toBe(0)
})

it('an engine that ends without a result is a fault that is told with a remedy', async () => {
  const connectEngine = connectFake(createFakeEngine({ loadMs: 0 }), { 'model.load': async () => {} })
  const { code, stderr } = await ternInProcess(['run', '-p', 'x'], { connectEngine })
  expect(code).toBe(1)
  expect(stderr).toContain('TERN_DEBUG=1')
})
