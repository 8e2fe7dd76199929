/** `tern eval --prompts` around an engine that plays a part; cli-prompts.test.ts asks the embedded model. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, describe, expect, it } from 'vitest'
import { type EngineApi, engineApi } from '../../contract/engine-api.ts'
import { createClient, createTransportPair, type Handlers, serve } from '../../contract/rpc.ts'
import type { CommandContext } from '../../main/cli/command-context.ts'
import { evaluatePrompts, type PromptOptions } from '../../main/cli/eval-prompts.ts'
import type { Terminal } from '../../main/cli/terminal.ts'
import { createFakeEngine } from '../fake-engine.ts'
import { machineOf } from '../recorded-machine.ts'

const folder = mkdtempSync(join(tmpdir(), 'tern-prompts-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

type Generate = Handlers<EngineApi>['streams']['generate']
type Request = Parameters<Generate>[0]

interface Rule {
  category?: string
  turns: string[]
  must?: string
  words?: [number, number]
}

let files = 0
function promptFile(...prompts: Rule[]): string {
  const path = join(folder, `prompts-${files++}.json`)
  const whole = prompts.map(prompt => ({ category: 'talk', must: null, mustNot: null, words: [0, 100], ...prompt }))
  writeFileSync(path, JSON.stringify({ about: 'A test.', prompts: whole }))
  return path
}

/** The command with an engine whose replies are `reply`'s, and what it printed. */
function start(
  path: string,
  reply: (request: Request) => string | Promise<string>,
  given: Partial<PromptOptions> = {},
) {
  const fake = createFakeEngine({ loadMs: 0 })
  const requests: Request[] = []
  const stopped: string[] = []
  const generate: Generate = async (request, emit) => {
    requests.push(structuredClone(request))
    const text = await reply(request)
    emit({ kind: 'text', text, tokens: [1, 2] })
    const stats = {
      promptTokens: 3,
      generatedTokens: 2,
      ttftMs: 1,
      prefillTokensPerSecond: 1,
      decodeTokensPerSecond: 1,
    }
    emit({ kind: 'finish', reason: 'end-of-text', stats })
  }
  const [here, there] = createTransportPair()
  const server = serve(engineApi, there, {
    calls: { ...fake.handlers.calls, 'session.stop': ({ sessionId }) => void stopped.push(sessionId) },
    streams: { ...fake.handlers.streams, generate },
  })
  const client = createClient(engineApi, here)
  const controller = new AbortController()
  const printed = { stdout: '', stderr: '' }
  const stream = (name: keyof typeof printed) =>
    new PassThrough({ encoding: 'utf8' }).on('data', text => {
      printed[name] += text
    })
  const context: CommandContext = {
    terminal: { stdin: new PassThrough(), stdout: stream('stdout'), stderr: stream('stderr') } as unknown as Terminal,
    interrupts: {
      signal: controller.signal,
      exitCode: 130,
      hasOutputFailed: false,
      throwIfStopped: () => controller.signal.throwIfAborted(),
      untilStopped: work => work,
      stop: () => controller.abort(),
      dispose: () => {},
    },
    powerMachine: machineOf('linux', {}),
    wantsJson: false,
    prepareBackend: async () => {},
    connectEngine: async () => ({
      client,
      async close() {
        client.close()
        server.close()
      },
    }),
  }
  const ended = evaluatePrompts({ prompts: path, backend: 'auto', ...given }, context)
  return { ended, requests, stopped, printed, interrupt: () => controller.abort(), fake }
}

const lastUserText = ({ input }: Request): string => (input.kind === 'messages' ? input.messages.at(-1)!.content : '')

describe('a conversation', () => {
  it('has the replies of the model itself in it, in one session', async () => {
    const path = promptFile({ turns: ['My name is Ada.', 'I like tea.', 'Who am I?'], must: 'ada' })
    const { ended, requests, fake } = start(path, request => `(${lastUserText(request)})`)
    expect(await ended).toBe(0)
    expect(requests.map(({ input }) => input)).toEqual([
      { kind: 'messages', messages: [{ role: 'user', content: 'My name is Ada.' }], addGenerationPrompt: true },
      expect.objectContaining({ messages: expect.objectContaining({ length: 3 }) }),
      {
        kind: 'messages',
        messages: [
          { role: 'user', content: 'My name is Ada.' },
          { role: 'assistant', content: '(My name is Ada.)' },
          { role: 'user', content: 'I like tea.' },
          { role: 'assistant', content: '(I like tea.)' },
          { role: 'user', content: 'Who am I?' },
        ],
        addGenerationPrompt: true,
      },
    ])
    expect(new Set(requests.map(({ sessionId }) => sessionId)).size).toBe(1)
    expect(fake.sessionCount).toBe(0)
  })

  it('is judged by its last reply', async () => {
    const path = promptFile({ turns: ['tea', 'milk'], must: 'tea' }, { turns: ['milk', 'tea'], must: 'tea' })
    const { ended, printed } = start(path, lastUserText, { json: true })
    await ended
    const { passed, total, answers } = JSON.parse(printed.stdout)
    expect({ passed, total }).toEqual({ passed: 1, total: 2 })
    expect(answers).toEqual([
      { category: 'talk', turns: ['tea', 'milk'], replies: ['tea', 'milk'], brokenRule: 'must' },
      { category: 'talk', turns: ['milk', 'tea'], replies: ['milk', 'tea'], brokenRule: null },
    ])
  })
})

describe('the prompts of a file', () => {
  it('are asked sixteen at a time and told in their order', async () => {
    const turns = Array.from({ length: 40 }, (_, index) => [`question ${index}`])
    const waiting: (() => void)[] = []
    const { ended, requests, printed } = start(
      promptFile(...turns.map(turns => ({ turns }))),
      request => new Promise(resolve => waiting.push(() => resolve(lastUserText(request)))),
      { json: true },
    )
    await expect.poll(() => requests.length).toBe(16)
    // The last that came is answered first.
    while (waiting.length > 0) {
      waiting.pop()!()
      await new Promise(resolve => setImmediate(resolve))
      expect(waiting.length).toBeLessThanOrEqual(16)
      if (waiting.length === 0) await expect.poll(() => waiting.length > 0 || requests.length === 40).toBe(true)
    }
    await ended
    expect(JSON.parse(printed.stdout).answers.map(({ replies }: { replies: string[] }) => replies)).toEqual(turns)
  })

  it('are greedy without an option, and sampled with seeds of their own with one', async () => {
    const path = promptFile({ turns: ['a'] }, { turns: ['b'] })
    const samplings = async (given: Partial<PromptOptions>) => {
      const { ended, requests } = start(path, () => 'x', given)
      await ended
      return requests.map(({ sampling }) => sampling)
    }
    for (const given of [{}, { maxTokens: 320 }, { greedy: true, seed: 7 }] as const) {
      expect(await samplings(given)).toEqual(
        Array(2).fill(
          expect.objectContaining({ temperature: 0, repetitionPenalty: 1, frequencyPenalty: 0, maxTokens: 320 }),
        ),
      )
    }
    const [first, second] = await samplings({ seed: 7, minP: 0.2, maxTokens: 9 })
    expect(first).toMatchObject({ seed: 7, minP: 0.2, maxTokens: 9 })
    expect(first!.temperature).toBeGreaterThan(0)
    expect(second).toEqual({ ...first, seed: 100_007 })
    const [drawn, next] = await samplings({ temperature: 1 })
    expect(next!.seed).toBe(drawn!.seed! + 100_000)
  })

  it('end with Ctrl-C: what writes is stopped, the rest is not asked', async () => {
    const path = promptFile(...Array.from({ length: 40 }, (_, index) => ({ turns: [`${index}`] })))
    let release = () => {}
    const released = new Promise<void>(resolve => {
      release = resolve
    })
    const { ended, requests, stopped, printed, interrupt } = start(path, () => released.then(() => 'half'))
    await expect.poll(() => requests.length).toBe(16)
    interrupt()
    await expect.poll(() => stopped.length).toBe(16)
    release()
    await expect(ended).rejects.toThrow()
    expect(requests).toHaveLength(16)
    expect(printed.stdout).toBe('')
  })

  it('fail as one when the engine does', async () => {
    const path = promptFile(...Array.from({ length: 20 }, (_, index) => ({ turns: [`${index}`] })))
    const { ended } = start(path, request => {
      if (lastUserText(request) === '3') throw new Error('The device burns.')
      return 'x'
    })
    await expect(ended).rejects.toThrow('The device burns.')
  })

  it.each([
    { path: join(folder, 'missing.json'), code: 'file-not-found' },
    { path: folder, code: 'file-unreadable' },
  ])('are refused before the model is loaded: $code', async ({ path, code }) => {
    const { ended } = start(path, () => 'x')
    await expect(ended).rejects.toMatchObject({ code })
  })

  it('are refused when their file is too large', async () => {
    const path = join(folder, 'large.json')
    writeFileSync(path, ' '.repeat(8 * 2 ** 20 + 1))
    await expect(start(path, () => 'x').ended).rejects.toMatchObject({ code: 'limit-exceeded' })
  })
})

describe('what is printed', () => {
  const path = promptFile(
    { category: 'talk', turns: ['Hi'] },
    { category: 'sum', turns: ['1 + 1', 'And \u001b[2J now?'], must: 'two' },
    { category: 'sum', turns: ['2 + 2'], must: 'four' },
  )
  const reply = (request: Request) => (lastUserText(request) === '2 + 2' ? 'Four.' : 'Hm.\n```')

  it('counts the passes of every category', async () => {
    const { ended, printed } = start(path, reply)
    await ended
    expect(printed.stdout).toMatch(/passed +2 of 3\n +talk +1 of 1\n +sum +1 of 2\n/)
    expect(printed.stdout).not.toContain('Hm.')
  })

  it('shows the failures with --show, and none of what would steer the terminal', async () => {
    const { ended, printed } = start(path, reply, { show: true })
    await ended
    expect(printed.stdout).toContain(
      'does not match two\n  user   1 + 1\n  model  Hm.\n         ```\n  user   And \ufffd[2J now?\n  model  Hm.\n',
    )
    expect(printed.stdout).not.toContain('user   Hi')
  })

  it('writes a page with every reply, fenced by more than is in them', async () => {
    const page = join(folder, 'page.md')
    await start(path, reply, { page }).ended
    const text = readFileSync(page, 'utf8')
    expect(text).toMatch(/^# What Fake 1B answers: 2 of 3\n/)
    expect(text).toContain('## talk: 1 of 1\n\n````text\npasses\n  user   Hi\n  model  Hm.\n         ```\n````\n')
    expect(text).toContain('  model  Four.')
  })
})
