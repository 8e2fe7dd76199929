/** The engine behind its contract, with the model that ships: what hosts and the command line rely on. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GenerationEvent, SessionInput } from '../../contract/engine/session.ts'
import { type EngineApi, engineApi } from '../../contract/engine-api.ts'
import { toErrorData } from '../../contract/errors.ts'
import { type Client, createClient, createTransportPair, serve } from '../../contract/rpc.ts'
import type { BackendChoice } from '../../contract/words/backend.ts'
import type { LoadedModel } from '../../contract/words/model.ts'
import type { Sampling } from '../../contract/words/sampling.ts'
import { createEngineService, type EngineService } from '../../main/engine-process/engine-service.ts'

const path = (relative: string) => fileURLToPath(new URL(`../../${relative}`, import.meta.url))
const MODEL = path('models/tern-98m-v2.gguf')
const GREEDY: Sampling = { temperature: 0, maxTokens: 24 }

let folder: string
let service: EngineService
let client: Client<EngineApi>

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tern-engine-'))
  service = createEngineService({ cacheDirectory: join(folder, 'cache'), hashAfterLoad: true })
  const [near, far] = createTransportPair()
  serve(engineApi, far, service.handlers)
  client = createClient(engineApi, near)
})
afterAll(async () => {
  await service.dispose()
  rmSync(folder, { recursive: true, force: true })
})

async function load(modelPath: string, backend: BackendChoice = 'auto', threads?: number) {
  const stages = new Set<string>()
  let loaded: LoadedModel | undefined
  await client.subscribe(
    'model.load',
    { path: modelPath, backend, ...(threads === undefined ? {} : { threads }) },
    event => {
      if (event.kind === 'progress') stages.add(event.stage)
      else loaded = event.loaded
    },
  ).ended
  return { stages: [...stages], loaded: loaded! }
}

interface Run {
  text: string
  tokens: number[]
  finish: Extract<GenerationEvent, { kind: 'finish' }>
  reusedTokens: number
}
async function generate(
  sessionId: string,
  input: SessionInput,
  sampling: Sampling = GREEDY,
  onEvent: (event: GenerationEvent) => void = () => {},
): Promise<Run> {
  const run: Partial<Run> = { text: '', tokens: [], reusedTokens: 0 }
  await client.subscribe('generate', { sessionId, input, sampling }, event => {
    if (event.kind === 'text') {
      run.text += event.text
      run.tokens!.push(...event.tokens)
    } else if (event.kind === 'prefill') run.reusedTokens = event.reusedTokens
    else if (event.kind === 'finish') run.finish = event
    onEvent(event)
  }).ended
  return run as Run
}
const chat = (...contents: string[]): SessionInput => ({
  kind: 'messages',
  messages: contents.map((content, index) => ({ role: index % 2 === 0 ? 'user' : 'assistant', content })),
  addGenerationPrompt: contents.length % 2 === 1,
})
const NOTHING: SessionInput = { kind: 'tokens', tokens: [] }
const failure = (promise: Promise<unknown>) => promise.then(() => null, toErrorData)
const newSession = () => client.call('session.create', undefined)

describe('without a model', () => {
  it('says so, with a remedy, and still reads headers', async () => {
    expect(await failure(newSession())).toMatchObject({ code: 'model-not-loaded', remedy: expect.any(String) })
    expect(await client.call('model.info', { path: MODEL })).toMatchObject({
      name: 'Tern 98M',
      path: MODEL,
      hiddenSize: 768,
      bytesPerState: 36_864,
      packing: 'TQ2_0',
      hasChatTemplate: true,
    })
    expect(await client.call('memory', undefined)).toMatchObject({ weightBytes: 0, sessionCount: 0 })
    const error = await failure(load('/no/such/model.gguf'))
    expect(error).toMatchObject({ code: 'file-not-found', remedy: expect.any(String) })
  })
})

describe('with the model that ships', () => {
  beforeAll(async () => {
    const { stages, loaded } = await load(MODEL)
    expect(stages).toEqual(['load'])
    expect(loaded).toMatchObject({ model: { name: 'Tern 98M' }, backend: { name: 'wasm' } })
    expect(loaded.backend.threads).toBeGreaterThanOrEqual(1)
  })

  it('reading alone, then writing from there, gives the text of one go; so does a state that was exported between', async () => {
    const whole = await generate(await newSession(), chat('Hello! Who are you?'))
    expect(whole.text).not.toBe('')
    const session = await newSession()
    const read = await generate(session, chat('Hello! Who are you?'), { maxTokens: 0 })
    expect(read).toMatchObject({ text: '', finish: { reason: 'max-tokens', stats: { generatedTokens: 0 } } })
    const state = await client.call('session.export', { sessionId: session })
    const written = await generate(session, NOTHING)
    expect(written.text).toBe(whole.text)
    const restored = await client.call('session.import', { state })
    const again = await generate(restored, NOTHING)
    expect(again.tokens).toEqual(whole.tokens)
    expect(again.finish.stats.promptTokens).toBe(0)
  })

  it('a second message reads only itself; a continued reply reads only its text', async () => {
    const session = await newSession()
    const first = await generate(session, chat('Hello!'))
    const second = await generate(session, chat('Hello!', first.text, 'Tell me a story.'))
    expect(second.reusedTokens).toBeGreaterThan(5)
    const before = await newSession()
    await generate(before, chat('Hello!'), { maxTokens: 0 })
    const partial = await generate(before, NOTHING, { ...GREEDY, maxTokens: 6 })
    const fresh = await newSession()
    await generate(fresh, chat('Hello!'), { maxTokens: 0 })
    const resumed = await generate(
      fresh,
      { ...chat('Hello!', partial.text), addGenerationPrompt: false } as SessionInput,
      {
        maxTokens: 0,
      },
    )
    expect(resumed.reusedTokens).toBeGreaterThan(5)
    expect(resumed.finish.stats.promptTokens).toBeLessThanOrEqual(8)
  })

  it('stop ends a reply within a token, with a last event, and the session goes on', async () => {
    const session = await newSession()
    let afterStop = 0
    let stopped = false
    const run = await generate(session, chat('Tell me a long story.'), { temperature: 0, maxTokens: 400 }, event => {
      if (event.kind !== 'text') return
      if (stopped) afterStop += 1
      else {
        stopped = true
        void client.call('session.stop', { sessionId: session })
      }
    })
    expect(run.finish.reason).toBe('cancelled')
    expect(afterStop).toBeLessThan(50)
    expect((await generate(session, NOTHING)).finish.reason).not.toBe('cancelled')
  })

  it('one request a session at a time; what is closed is gone', async () => {
    const session = await newSession()
    const first = generate(session, chat('Hello!'))
    expect((await failure(generate(session, chat('Hi!'))))?.code).toBe('session-busy')
    expect((await first).text).not.toBe('')
    await client.call('session.dispose', { sessionId: session })
    expect((await failure(generate(session, NOTHING)))?.code).toBe('session-not-found')
    expect((await failure(client.call('session.export', { sessionId: 'x' })))?.code).toBe('session-not-found')
  })

  it('a state that is damaged is refused', async () => {
    const session = await newSession()
    await generate(session, chat('Hello!'), { maxTokens: 0 })
    const state = await client.call('session.export', { sessionId: session })
    state[state.length >> 1]! ^= 1
    expect((await failure(client.call('session.import', { state })))?.code).toBe('state-corrupt')
    expect((await failure(client.call('session.import', { state: new Uint8Array(3) })))?.code).toBe('state-corrupt')
  })

  it('two sessions at once do not disturb each other', async () => {
    const alone = await generate(await newSession(), chat('What is a bird?'))
    const [a, b] = await Promise.all([
      generate(await newSession(), chat('What is a bird?')),
      generate(await newSession(), chat('Tell me a story.')),
    ])
    expect(a.text).toBe(alone.text)
    expect(b.text).not.toBe(a.text)
  })

  it('memory is told: weights, states, the process', async () => {
    const memory = await client.call('memory', undefined)
    expect(memory.bytesPerState).toBe(36_864)
    expect(memory.bytesOfAllStates).toBe(memory.sessionCount * memory.bytesPerState)
    expect(memory.weightBytes).toBeGreaterThan(20e6)
    expect(memory.processRssBytes).toBeGreaterThan(memory.weightBytes)
  })

  it('evaluates a text, and saves logits of every token', async () => {
    const logitsPath = join(folder, 'logits.safetensors')
    let done:
      | { tokens: number; lossNats: number | null; perplexity: number | null; bitsPerByte: number | null }
      | undefined
    const input = { kind: 'text', text: 'The sun rises in the east.' } as const
    await client.subscribe('evaluate', { input, saveLogits: { path: logitsPath } }, event => {
      if (event.kind === 'done') done = event
    }).ended
    expect(done!.tokens).toBeGreaterThan(4)
    expect(done!.lossNats).toBeGreaterThan(0.5)
    expect(done!.lossNats).toBeLessThan(7)
    expect(done!.perplexity).toBeCloseTo(Math.exp(done!.lossNats!), 6)
    expect(done!.bitsPerByte).toBeCloseTo((done!.lossNats! * (done!.tokens - 1)) / Math.log(2) / 26, 9)
    const bytes = readFileSync(logitsPath)
    const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString())
    expect(header.logits).toMatchObject({ dtype: 'F32', shape: [done!.tokens, 8192] })
  })

  it('scores continuations as the whole text has them', async () => {
    const encode = (text: string) => client.call('tokenizer.encode', { text, parseSpecial: false })
    const sumNats = async (tokens: number[]) => {
      let sum = 0
      await client.subscribe('evaluate', { input: { kind: 'tokens', tokens } }, event => {
        if (event.kind === 'done') sum = (event.lossNats ?? 0) * (tokens.length - 1)
      }).ended
      return sum
    }
    const context = 'The sun rises in the'
    const continuations = [' east.', ' middle of the kitchen.']
    const scored: { tokens: number; logProbability: number }[] = []
    await client.subscribe('score', { items: [{ context, continuations }] }, event => scored.push(...event.scores))
      .ended
    const before = await sumNats(await encode(context))
    for (const [i, text] of continuations.entries()) {
      expect(-scored[i].logProbability).toBeCloseTo((await sumNats(await encode(context + text))) - before, 4)
    }
    expect(scored[0].logProbability).toBeGreaterThan(scored[1].logProbability)
  })

  it('encodes', async () => {
    const plain = await client.call('tokenizer.encode', { text: '<s>Hello', parseSpecial: false })
    const special = await client.call('tokenizer.encode', { text: '<s>Hello', parseSpecial: true })
    expect(special.length).toBeLessThan(plain.length)
  })

  it('unloaded, it is gone with its sessions', async () => {
    const session = await newSession()
    await client.call('model.unload', undefined)
    expect((await failure(generate(session, NOTHING)))?.code).toBe('model-not-loaded')
    expect(await client.call('memory', undefined)).toMatchObject({ weightBytes: 0, sessionCount: 0 })
  })
})

describe('a Hugging Face folder', () => {
  it('is described without converting it, converted once on load, and then loaded from the cache', async () => {
    const checkpoint = join(folder, 'tiny')
    cpSync(path('test/golden/data/tiny-f16-sharded'), checkpoint, { recursive: true })
    const info = await client.call('model.info', { path: checkpoint })
    expect(info).toMatchObject({
      name: 'tiny',
      packing: 'not converted yet',
      embeddingType: 'F16',
      hasChatTemplate: false,
    })
    const first = await load(checkpoint, 'reference')
    expect(first.stages).toEqual(['convert', 'load'])
    expect(first.loaded.backend.name).toBe('reference')
    expect(first.loaded.model.parameterCount).toBe(info.parameterCount)
    expect(first.loaded.model.ternaryParameterCount).toBe(info.ternaryParameterCount)
    const second = await load(checkpoint, 'wasm', 1)
    expect(second.stages).toEqual(['load'])
    expect(second.loaded.backend).toMatchObject({ name: 'wasm', threads: 1 })
    expect(readdirSync(join(folder, 'cache/converted')).filter(name => name.endsWith('.gguf'))).toHaveLength(1)
    const run = await generate(await newSession(), { kind: 'tokens', tokens: [1, 2, 3] }, { ...GREEDY, maxTokens: 4 })
    expect(run.tokens).toHaveLength(4)
  })

  it('converts to a file of its own, or leaves nothing', async () => {
    const output = join(folder, 'converted.gguf')
    const input = path('test/golden/data/tiny-f32')
    let outputBytes = 0
    await client.subscribe('convert', { input, output, packing: 'tq1_0' }, event => {
      if (event.kind === 'done') outputBytes = event.outputBytes
    }).ended
    expect(readFileSync(output)).toHaveLength(outputBytes)
    expect((await client.call('model.info', { path: output })).packing).toBe('TQ1_0')
    const empty = mkdtempSync(join(folder, 'empty-'))
    const target = join(folder, 'none.gguf')
    const error = await failure(
      client.subscribe('convert', { input: empty, output: target, packing: 'tq2_0' }, () => {}).ended,
    )
    expect(error?.code).toBe('file-not-found')
    expect(readdirSync(folder).filter(name => name.startsWith('none'))).toEqual([])
  })
})

it('tells its own events to every watcher, beginning with what holds: load, move, unload', async () => {
  const own = createEngineService({ cacheDirectory: join(folder, 'cache') })
  const [near, far] = createTransportPair()
  serve(engineApi, far, own.handlers)
  const watcher = createClient(engineApi, near)
  const seen: string[] = []
  const watching = watcher.subscribe('engine.events', undefined, event => {
    seen.push(event.kind === 'moved' ? `moved: ${event.cause}, ${event.backend.name}, ${event.isExact}` : event.kind)
  })
  await watcher.subscribe('model.load', { path: MODEL, backend: 'wasm', threads: 1 }, () => {}).ended
  // No reply is being written.
  await watcher.call('model.move', { backend: 'reference' })
  let first: unknown
  const late = watcher.subscribe('engine.events', undefined, event => (first ??= event))
  await watcher.call('memory', undefined)
  expect(first).toMatchObject({ kind: 'loaded', loaded: { backend: { name: 'reference' } } })
  await watcher.call('model.unload', undefined)
  expect(seen).toEqual(['unloaded', 'loaded', 'moving', 'moved: asked, reference, true', 'unloaded'])
  watching.cancel()
  late.cancel()
  await own.dispose()
})
