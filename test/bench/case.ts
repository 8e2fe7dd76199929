/**
 * One benchmark case in a process of its own, so that its memory is its own: run-case.ts forks it, and it sends one result.
 * Nothing but `createCaseBackend` and the kernels' case knows which backend it measures.
 */
import { parseArgs } from 'node:util'
import type { Backend } from '../../engine/backends/backend.ts'
import type { KernelVariant } from '../../engine/backends/wasm/kernels.ts'
import { benchModel, rateOf } from '../../engine/bench.ts'
import { type LoadedModel, loadModel } from '../../engine/engine.ts'
import { type GgufModel, openGguf } from '../../engine/formats/gguf.ts'
import { bytesPerState } from '../../engine/model/config.ts'
import { chunksOf, readTokens } from '../../engine/reading.ts'
import type { GenerationEvent, SessionInput } from '../../engine/session.ts'
import { benchEnvironment } from '../../main/engine-process/bench-service.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { createBackend } from '../../main/engine-process/node-backends.ts'
import { openFile } from '../../main/engine-process/node-files.ts'
import { createNodeWebGpuBackend } from '../../main/engine-process/webgpu-device.ts'
import { createTestWasmBackend } from '../wasm-backend.ts'
import type { Flatness, Kernels, Ops, Resume, Speed } from './results.ts'
import { measureWasmKernels } from './wasm-kernels.ts'

const { values } = parseArgs({
  options: {
    measure: { type: 'string', default: 'speed' },
    file: { type: 'string' },
    backend: { type: 'string', default: 'wasm' },
    kernel: { type: 'string', default: 'auto' },
    threads: { type: 'string', default: '1' },
    adapter: { type: 'string', default: 'auto' },
    rounds: { type: 'string', default: '3' },
    'decode-tokens': { type: 'string', default: '64' },
    'prefill-tokens': { type: 'string', default: '512' },
    batches: { type: 'string', default: '' },
    /** Tokens of the flatness run; lengths of the chats to resume. */
    tokens: { type: 'string', default: '' },
  },
})
const threads = Number(values.threads)
const numbers = (list: string): number[] => list.split(',').filter(Boolean).map(Number)

async function createCaseBackend(): Promise<Backend> {
  const kernel = values.kernel as 'auto' | KernelVariant
  switch (values.backend) {
    case 'wasm':
      return createTestWasmBackend({ threads, kernel })
    case 'reference':
      return createBackend('reference')
    case 'webgpu':
      return (await createNodeWebGpuBackend({ adapter: values.adapter })).backend
    default:
      throw new Error(`No backend "${values.backend}" to measure.`)
  }
}

function measure(): Promise<Speed | Flatness | Resume | Kernels | Ops> {
  switch (values.measure) {
    case 'speed':
      return speed(file)
    case 'flatness':
      return flatness(file, Number(values.tokens))
    case 'resume':
      return resume(file, numbers(values.tokens))
    case 'kernels':
      return measureWasmKernels(file, backend.info.kernel as KernelVariant, Number(values.rounds))
    case 'ops':
      return ops(file)
    default:
      throw new Error(`Nothing called "${values.measure}" to measure.`)
  }
}

async function speed(file: GgufModel): Promise<Speed> {
  const emptyRssBytes = benchEnvironment.rssBytes()
  const figures = await benchModel(file, backend, benchEnvironment, {
    rounds: Number(values.rounds),
    decodeTokens: Number(values['decode-tokens']),
    prefillTokens: Number(values['prefill-tokens']),
    batchSizes: numbers(values.batches),
  })
  const { name, kernel, description } = backend.info
  return {
    ...figures,
    backend: name,
    kernel,
    description,
    threads: backend.info.threads,
    fileBytes: file.byteLength,
    bytesPerState: bytesPerState(file.config),
    emptyRssBytes,
  }
}

/** Only the WebGPU backend has a clock of its own. */
async function ops(file: GgufModel): Promise<Ops> {
  const prefillTokens = Number(values['prefill-tokens'])
  const runner = await backend.load(file)
  const { timeOps } = runner
  if (timeOps === undefined) throw new Error(`${backend.info.name} does not time its ops.`)
  // A device slows down while nothing is asked of it, as during a load.
  const state = await runner.createState()
  for (let run = 0; run < 4; run++) {
    await readTokens(chunksOf(runner, state), new Uint32Array(prefillTokens), { want: 'last' })
    for (let t = 0; t < 32; t++) await runner.decodeBatch([{ state, token: t }])
  }
  const decode = await timeOps(null, 4)
  const prefill = await timeOps(Math.min(prefillTokens, runner.capabilities.chunkTokens('last')), 2)
  await runner.dispose()
  return { kernel: backend.info.kernel, decode, prefillTokens, prefill }
}

/** Memory along one sequence: it must not grow with its length. */
async function flatness(file: GgufModel, tokens: number): Promise<Flatness> {
  const runner = await backend.load(file)
  const state = await runner.createState()
  const samples: Flatness['samples'] = []
  let token = 1
  let startMs = performance.now()
  let since = 0
  for (let done = 1; done <= tokens; done++) {
    const [logits] = await runner.decodeBatch([{ state, token }])
    let best = 0
    for (let v = 1; v < logits.length; v++) if (logits[v] > logits[best]) best = v
    // Greedy text ends in a loop; a wandering token keeps the sequence alive.
    token = (best + done) % file.config.vocabularySize
    if (done !== tokens && ![100, 1000, 10_000, 100_000].includes(done)) continue
    const memory = runner.memory()
    samples.push({
      tokens: done,
      rssBytes: process.memoryUsage.rss(),
      engineBytes: memory.weightBytes + memory.bytesOfAllStates + memory.scratchBytes,
      tokensPerSecond: ((done - since) / (performance.now() - startMs)) * 1000,
    })
    startMs = performance.now()
    since = done
  }
  await runner.dispose()
  return { threads: backend.info.threads, samples }
}

/** Every chat is made and saved by one loaded model, and resumed by another, as after a restart. */
async function resume(file: GgufModel, lengths: number[]): Promise<Resume> {
  const chats: Resume['chats'] = []
  for (const length of lengths) {
    const { messages, bytes, tokens } = await makeChat(file, length)
    const model = await loadModel(file, backend, nodeEngineEnvironment)
    const afterLoadMs = await firstLogitsMs(model, bytes)
    const laterMs: number[] = []
    for (let run = 0; run < 9; run++) laterMs.push(await firstLogitsMs(model, bytes))
    const next = { role: 'user' as const, content: 'And then?' }
    const nextReplyMs = await firstLogitsMs(model, bytes, conversation([...messages, next]))
    await model.dispose()
    const { median } = rateOf(laterMs)
    const bestMs = Math.min(...laterMs)
    chats.push({ tokens, stateFileBytes: bytes.length, afterLoadMs, medianMs: median, bestMs, nextReplyMs })
  }
  return { threads: backend.info.threads, chats }
}

type Message = { role: 'user' | 'assistant'; content: string }
const conversation = (messages: Message[]): SessionInput => ({ kind: 'messages', messages, addGenerationPrompt: true })
const MESSAGE_TEXT =
  'The tern flew over the sea, and the wind was cold. A seal looked up and asked where it was going. '

/** A chat of about `length` tokens and the state file after its last reply. */
async function makeChat(file: GgufModel, length: number) {
  const model = await loadModel(file, backend, nodeEngineEnvironment)
  const textTokens = model.tokenizer!.encode(MESSAGE_TEXT, { parseSpecial: false, continuation: true }).length
  const repeats = Math.max(1, Math.min(8, Math.floor(length / 3 / textTokens)))
  const content = MESSAGE_TEXT.repeat(repeats)
  // An odd number: the user has the last word.
  const messageCount = Math.max(1, Math.floor(length / (repeats * textTokens + 4) / 2) * 2 + 1)
  const messages: Message[] = Array.from({ length: messageCount }, (_, m) => ({
    role: m % 2 === 0 ? 'user' : 'assistant',
    content,
  }))
  const session = model.createSession()
  let reply = ''
  const onEvent = (event: GenerationEvent) => {
    if (event.kind === 'text') reply += event.text
  }
  await session.generate(conversation(messages), { maxTokens: 8 }, { onEvent })
  messages.push({ role: 'assistant', content: reply })
  const bytes = await session.serialize()
  const tokens = session.tokenCount
  await model.dispose()
  return { messages, bytes, tokens }
}

/** From a state file to the first token chosen. */
async function firstLogitsMs(
  model: LoadedModel,
  bytes: Uint8Array,
  input: SessionInput = { kind: 'tokens', tokens: [] },
): Promise<number> {
  const startMs = performance.now()
  const session = await model.importSession(bytes)
  const onEvent = (event: GenerationEvent) => {
    if (event.kind === 'prefill' && event.reusedTokens === 0) throw new Error('The chat was read from its beginning.')
  }
  await session.generate(input, { maxTokens: 1 }, { onEvent })
  const elapsedMs = performance.now() - startMs
  session.dispose()
  return elapsedMs
}

const file = await openGguf(await openFile(values.file!))
const backend = await createCaseBackend()
const result = await measure()
await backend.dispose()
await file.close()
process.send!(result, () => process.disconnect())
