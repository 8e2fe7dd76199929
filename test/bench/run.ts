/**
 * `npm run bench`: speed and memory of the engine on models of the published shapes with random weights, and on the
 * embedded model. Tables on stdout; everything as JSON with --json FILE. docs/performance.md says how to read them.
 */
import { writeFile } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureKernels } from '../../engine/backends/wasm/build-kernels.mjs'
import { rateOf } from '../../engine/bench.ts'
import { type ColdStart, measureColdStart } from './cold-start.ts'
import { type Machine, machineFacts } from './machine.ts'
import { HELP, type Options, parseOptions } from './options.ts'
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

const EMBEDDED_MODEL = fileURLToPath(new URL('../../models/tern-98m-v2.gguf', import.meta.url))
const COLD_STARTS = 5

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
    const options = parseOptions(process.argv.slice(2))
    if (options.help) process.stdout.write(HELP)
    else await measure(options, controller.signal)
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
  const models = await openRandomModels(resolve(options.folder))
  try {
    if (options.peer !== undefined) await comparePeer(options.peer, options, models, report, signal)
    await measureModels(options, models, report, signal)
  } finally {
    await models.remove()
  }
  await measureEmbeddedModel(options, report, signal)
  note('')
  if (options.json !== undefined) {
    const loadAverageAtEnd = loadavg()[0]
    await writeFile(options.json, `${JSON.stringify({ options, ...report, loadAverageAtEnd }, null, 2)}\n`)
  }
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
      backend: options.backend,
      adapter: options.adapter,
      kernel: options.kernel,
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
      if (!parts.includes('kernels') || options.backend === 'reference' || packing === 'tq1_0') continue
      note(`kernels, ${shape}`)
      if (options.backend === 'webgpu') {
        const { backend, adapter } = options
        const prefillTokens = options.prefillTokens
        const given = { measure: 'ops', file, backend, adapter, 'prefill-tokens': prefillTokens }
        report.ops.push({ shape, ...(await runCase(opsSchema, given, signal)) })
        continue
      }
      const { kernel } = options
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
  const { backend, adapter, kernel } = options
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

await main()
