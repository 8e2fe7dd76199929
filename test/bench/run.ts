/**
 * `npm run bench`: speed and memory of the engine on models of the published shapes with random weights, and on the
 * embedded model. Tables on stdout; everything as JSON with --json FILE. docs/performance.md says how to read them.
 */
import { writeFile } from 'node:fs/promises'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ensureKernels } from '../../engine/backends/wasm/build-kernels.mjs'
import { rateOf } from '../../engine/bench.ts'
import { type ColdStart, measureColdStart } from './cold-start.ts'
import { type Machine, machineFacts } from './machine.ts'
import { type PeerSpeed, peerCommand, runPeer } from './peer.ts'
import { isPublishedShape, openRandomModels, type Packing, type RandomModels } from './random-models.ts'
import {
  type Flatness,
  flatnessSchema,
  type Kernels,
  kernelsSchema,
  type Ops,
  opsSchema,
  type Resume,
  resumeSchema,
  type Speed,
  speedSchema,
} from './results.ts'
import { runCase } from './run-case.ts'
import {
  coldStartText,
  flatnessTable,
  kernelsTable,
  machineText,
  opsTables,
  type PeerLine,
  peerTable,
  resumeTable,
  type SpeedLine,
  speedTables,
} from './tables.ts'

const HELP = `Usage: npm run bench -- [options]

What:
  --parts LIST           speed, kernels, cold-start, resume, flatness (default: all; with --peer: none)
  --shapes LIST          370M, 1.3B, 2.7B, tern (the embedded model) or GGUF files (default: 370M,1.3B,2.7B,tern)
  --threads LIST         threads to compute with (default: 1 and as many as the machine has cores)
  --packing LIST         tq2_0 and tq1_0, of the random models (default: tq2_0)
  --backend NAME         wasm, webgpu or reference (default: wasm)
  --adapter NAME         for webgpu: auto, integrated, discrete or part of a name (default: auto)
  --kernel NAME          auto, relaxed-simd-int16, relaxed-simd, simd or scalar (default: auto)
  --quick                about a minute: 370M and tern, one short round of each

How long:
  --rounds N             decode, memory read, products and prefill take turns so often (default: 3)
  --decode-tokens N      of one round (default: 64)
  --prefill-tokens N     of one round (default: 512)
  --batches LIST         sequences to decode together, where the backend can (default: 1,2,4,8)
  --flat-tokens N        tokens of the one long sequence (default: 100000)
  --resume-tokens LIST   lengths of the chats to resume (default: 100,1000,10000)

Peers and output:
  --peer CMD             runs CMD in alternation with ours and prints the ratio; {shape} and {threads} are filled in
  --folder DIR           where the random models go for the time of the run (default: the system's temporary folder)
  --json FILE            all figures as JSON
`

const ALL_PARTS = ['speed', 'kernels', 'cold-start', 'resume', 'flatness'] as const
type Part = (typeof ALL_PARTS)[number]
const EMBEDDED_MODEL = fileURLToPath(new URL('../../models/tern-98m-v2.gguf', import.meta.url))
const COLD_STARTS = 5

const OPTIONS = {
  parts: { type: 'string' },
  shapes: { type: 'string' },
  threads: { type: 'string' },
  packing: { type: 'string', default: 'tq2_0' },
  backend: { type: 'string', default: 'wasm' },
  adapter: { type: 'string', default: 'auto' },
  kernel: { type: 'string', default: 'auto' },
  quick: { type: 'boolean', default: false },
  rounds: { type: 'string' },
  'decode-tokens': { type: 'string' },
  'prefill-tokens': { type: 'string' },
  batches: { type: 'string', default: '1,2,4,8' },
  'flat-tokens': { type: 'string' },
  'resume-tokens': { type: 'string' },
  peer: { type: 'string' },
  folder: { type: 'string', default: tmpdir() },
  json: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const

const values = given()

interface Options {
  parts: Part[]
  shapes: string[]
  threads: number[]
  packings: Packing[]
  rounds: number
  decodeTokens: number
  prefillTokens: number
  batches: number[]
  flatTokens: number
  resumeTokens: number[]
}

interface Report {
  machine: Machine
  speed: SpeedLine[]
  kernels: (Kernels & { shape: string })[]
  ops: (Ops & { shape: string })[]
  coldStarts: ColdStart[]
  resume: Resume | null
  flatness: Flatness | null
  peer: PeerLine[]
}

async function main(): Promise<void> {
  const controller = new AbortController()
  for (const [signal, exitCode] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    // The models are removed before the process ends; a second signal does not wait for that.
    process.once(signal, () => {
      process.exitCode = exitCode
      controller.abort(new Error('Interrupted.'))
    })
  }
  try {
    await measure(readOptions(), controller.signal)
  } catch (error) {
    note('')
    process.exitCode ||= 1
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  }
}

async function measure(options: Options, signal: AbortSignal): Promise<void> {
  const machine = machineFacts()
  const report: Report = {
    machine,
    speed: [],
    kernels: [],
    ops: [],
    coldStarts: [],
    resume: null,
    flatness: null,
    peer: [],
  }
  process.stdout.write(machineText(machine))
  if (machine.loadAverage > machine.cores / 4) {
    process.stderr.write(`Other programs are busy (load ${machine.loadAverage.toFixed(1)}): figures will be low.\n\n`)
  }
  await ensureKernels()
  const models = await openRandomModels(resolve(values.folder))
  try {
    if (values.peer !== undefined) await comparePeer(values.peer, options, models, report, signal)
    await measureModels(options, models, report, signal)
  } finally {
    await models.remove()
  }
  await measureEmbeddedModel(options, report, signal)
  note('')
  if (values.json !== undefined) {
    const loadAverageAtEnd = loadavg()[0]
    await writeFile(values.json, `${JSON.stringify({ options, ...report, loadAverageAtEnd }, null, 2)}\n`)
  }
}

function given() {
  try {
    return parseArgs({ options: OPTIONS }).values
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  }
}

function readOptions(): Options {
  const { quick } = values
  const parts = list(values.parts ?? (values.peer === undefined ? ALL_PARTS.join() : ''))
  for (const part of parts) oneOf('parts', part, ALL_PARTS)
  oneOf('kernel', values.kernel, ['auto', 'relaxed-simd', 'relaxed-simd-int16', 'simd', 'scalar'])
  oneOf('backend', values.backend, ['wasm', 'webgpu', 'reference'])
  const cores = availableParallelism()
  return {
    parts: parts as Part[],
    shapes: list(values.shapes ?? (quick ? '370M,tern' : values.peer === undefined ? '370M,1.3B,2.7B,tern' : '370M')),
    threads: counts('threads', values.threads ?? (values.backend === 'wasm' ? [...new Set([1, cores])].join() : '1')),
    packings: list(values.packing).map(packing => oneOf('packing', packing, ['tq1_0', 'tq2_0'])),
    rounds: counts('rounds', values.rounds ?? (quick ? '1' : '3'))[0],
    decodeTokens: counts('decode-tokens', values['decode-tokens'] ?? (quick ? '32' : '64'))[0],
    prefillTokens: counts('prefill-tokens', values['prefill-tokens'] ?? (quick ? '128' : '512'))[0],
    batches: counts('batches', values.batches),
    flatTokens: counts('flat-tokens', values['flat-tokens'] ?? (quick ? '1000' : '100000'))[0],
    resumeTokens: counts('resume-tokens', values['resume-tokens'] ?? (quick ? '100,1000' : '100,1000,10000')),
  }
}

const list = (text: string): string[] => text.split(',').filter(Boolean)

function oneOf<Choice extends string>(option: string, given: string, choices: readonly Choice[]): Choice {
  const choice = choices.find(name => name === given)
  if (choice === undefined) throw new Error(`--${option} takes ${choices.join(', ')}; not "${given}".`)
  return choice
}

function counts(option: string, text: string): number[] {
  const numbers = list(text).map(Number)
  if (numbers.length > 0 && numbers.every(number => Number.isInteger(number) && number > 0)) return numbers
  throw new Error(`--${option} takes whole numbers above 0; not "${text}".`)
}

/** Path of a shape's model; random ones exist until the next one is asked for. */
async function modelFile(shape: string, packing: Packing, models: RandomModels, signal: AbortSignal): Promise<string> {
  if (shape === 'tern') return EMBEDDED_MODEL
  if (!isPublishedShape(shape)) return resolve(shape)
  note(`making a random ${shape} model`)
  return models.file(shape, packing, signal)
}

const speedOf = (file: string, threads: number, options: Options, signal: AbortSignal, once = false): Promise<Speed> =>
  runCase(
    speedSchema,
    {
      file,
      threads,
      backend: values.backend,
      adapter: values.adapter,
      kernel: values.kernel,
      rounds: once ? 1 : options.rounds,
      'decode-tokens': options.decodeTokens,
      'prefill-tokens': options.prefillTokens,
      batches: once ? '' : options.batches.join(),
    },
    signal,
  )

async function measureModels(options: Options, models: RandomModels, report: Report, signal: AbortSignal) {
  const { parts, shapes, threads, packings } = options
  for (const shape of parts.includes('speed') || parts.includes('kernels') ? shapes : []) {
    for (const packing of isPublishedShape(shape) ? packings : [null]) {
      const file = await modelFile(shape, packing ?? 'tq2_0', models, signal)
      for (const count of parts.includes('speed') ? threads : []) {
        note(`${shape}, ${count} threads`)
        report.speed.push({ shape, packing, ...(await speedOf(file, count, options, signal)) })
      }
      if (!parts.includes('kernels') || values.backend === 'reference' || packing === 'tq1_0') continue
      note(`kernels, ${shape}`)
      if (values.backend === 'webgpu') {
        const { backend, adapter } = values
        const prefillTokens = options.prefillTokens
        const given = { measure: 'ops', file, backend, adapter, 'prefill-tokens': prefillTokens }
        report.ops.push({ shape, ...(await runCase(opsSchema, given, signal)) })
        continue
      }
      const { kernel } = values
      const kernels = await runCase(kernelsSchema, { measure: 'kernels', file, kernel, rounds: options.rounds }, signal)
      report.kernels.push({ shape, ...kernels })
    }
  }
  note('')
  if (report.speed.length > 0) process.stdout.write(speedTables(report.speed))
  for (const kernels of report.kernels) process.stdout.write(kernelsTable(kernels.shape, kernels))
  for (const ops of report.ops) process.stdout.write(opsTables(ops.shape, ops))
}

async function measureEmbeddedModel(options: Options, report: Report, signal: AbortSignal): Promise<void> {
  const { parts } = options
  const { backend, adapter, kernel } = values
  const threads = Math.max(...options.threads)
  if (parts.includes('cold-start')) {
    note('cold start')
    report.coldStarts.push(await measureColdStart(threads, COLD_STARTS, signal))
    note('')
    for (const coldStart of report.coldStarts) process.stdout.write(coldStartText(coldStart))
  }
  const common = { file: EMBEDDED_MODEL, backend, adapter, kernel, threads }
  if (parts.includes('resume')) {
    note('chats to resume')
    const tokens = options.resumeTokens.join()
    report.resume = await runCase(resumeSchema, { ...common, measure: 'resume', tokens }, signal)
    note('')
    process.stdout.write(resumeTable(report.resume))
  }
  if (parts.includes('flatness')) {
    note(`one sequence of ${options.flatTokens} tokens`)
    const tokens = options.flatTokens
    report.flatness = await runCase(flatnessSchema, { ...common, measure: 'flatness', tokens }, signal)
    note('')
    process.stdout.write(flatnessTable(report.flatness))
  }
}

/** Ours, peer, ours, peer: what disturbs the machine meanwhile disturbs both. */
async function comparePeer(
  template: string,
  options: Options,
  models: RandomModels,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  for (const shape of options.shapes) {
    const file = await modelFile(shape, options.packings[0], models, signal)
    for (const threads of options.threads) {
      const ours: Speed[] = []
      const peers: PeerSpeed[] = []
      for (let round = 1; round <= options.rounds; round++) {
        note(`${shape}, ${threads} threads, round ${round}: ours`)
        ours.push(await speedOf(file, threads, options, signal, true))
        note(`${shape}, ${threads} threads, round ${round}: the peer`)
        peers.push(await runPeer(peerCommand(template, { shape, threads }), signal))
      }
      report.peer.push(peerLine(shape, threads, ours, peers))
    }
  }
  note('')
  process.stdout.write(peerTable(report.peer))
}

function peerLine(shape: string, threads: number, ours: Speed[], peers: PeerSpeed[]): PeerLine {
  const compare = (our: number[], peer: number[]): PeerLine['decode'] => ({
    ours: rateOf(our),
    peer: rateOf(peer),
    ratio: rateOf(our.map((value, round) => value / peer[round])),
  })
  const prefills = peers.map(({ prefillTokensPerSecond }) => prefillTokensPerSecond)
  return {
    shape,
    threads,
    kernel: ours[0].kernel,
    decode: compare(
      ours.map(({ decodeTokensPerSecond }) => decodeTokensPerSecond.best),
      peers.map(({ decodeTokensPerSecond }) => decodeTokensPerSecond),
    ),
    prefill: prefills.every(value => value !== null)
      ? compare(
          ours.map(({ prefillTokensPerSecond }) => prefillTokensPerSecond.best),
          prefills,
        )
      : null,
  }
}

/** Progress, where somebody watches. */
function note(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

if (values.help) process.stdout.write(HELP)
else await main()
