/**
 * `npm run bench`: speed and memory of the CPU engine on models of the published shapes with random weights, and on the
 * embedded model. A table on stdout; everything as JSON with --json FILE. Every figure of a line is from one process and
 * one run; rates are the best of several.
 */
import { fork } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ensureKernels } from '../../engine/backends/wasm/build-kernels.mjs'
import { PUBLISHED_SHAPES, writeRandomModel } from '../../engine/formats/random-model.ts'
import { createSink } from '../../main/engine-process/node-files.ts'
import type { CaseResult, FlatnessResult } from './case.ts'

const HELP = `Usage: npm run bench -- [options]

  --shapes LIST     370M, 1.3B, 2.7B, tern or GGUF files, comma-separated (default: 370M,1.3B,2.7B,tern)
  --threads LIST    threads to compute with (default: 1,2)
  --packing NAME    tq2_0 or tq1_0, of the random models (default: tq2_0)
  --kernel NAME     auto, relaxed-simd, simd or scalar (default: auto)
  --repeats N       runs of each measurement, the best of which counts (default: 3)
  --flat N          tokens of the flatness run (default: 10000; 0: none); --long is --flat 100000
  --quick           370M and tern, one repeat, 1000 tokens of flatness
  --json FILE       all figures as JSON
`

const { values } = parseArgs({
  options: {
    shapes: { type: 'string' },
    threads: { type: 'string', default: '1,2' },
    packing: { type: 'string', default: 'tq2_0' },
    kernel: { type: 'string', default: 'auto' },
    repeats: { type: 'string' },
    flat: { type: 'string' },
    long: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

const EMBEDDED_MODEL = fileURLToPath(new URL('../../models/tern-98m.gguf', import.meta.url))
const CASE = fileURLToPath(new URL('./case.ts', import.meta.url))

interface Line extends CaseResult {
  shape: string
}

if (values.help) process.stdout.write(HELP)
else await main()

async function main(): Promise<void> {
  await ensureKernels()
  const shapes = (values.shapes ?? (values.quick ? '370M,tern' : '370M,1.3B,2.7B,tern')).split(',')
  const repeats = values.repeats ?? (values.quick ? '1' : '3')
  const flatTokens = values.flat ?? (values.long ? '100000' : values.quick ? '1000' : '10000')
  const folder = await mkdtemp(join(tmpdir(), 'tern-bench-'))
  const lines: Line[] = []
  let flatness: FlatnessResult | null = null
  try {
    for (const shape of shapes) {
      const file = await modelFile(shape, folder)
      for (const threads of values.threads.split(',')) {
        note(`${shape}, ${threads} threads`)
        const result = (await runCase(['--file', file, '--threads', threads, '--repeats', repeats])) as CaseResult
        lines.push({ shape, ...result })
      }
      if (file.startsWith(folder)) await rm(file)
    }
    if (flatTokens !== '0') {
      note(`flatness over ${flatTokens} tokens`)
      const threads = values.threads.split(',').at(-1)!
      flatness = (await runCase([
        '--file',
        EMBEDDED_MODEL,
        '--threads',
        threads,
        '--flat-tokens',
        flatTokens,
      ])) as FlatnessResult
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  note('')
  printSpeed(lines)
  printMemory(lines)
  if (flatness) printFlatness(flatness)
  if (values.json !== undefined) {
    const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), node: process.version }
    await writeFile(values.json, `${JSON.stringify({ machine, packing: values.packing, lines, flatness }, null, 2)}\n`)
  }
}

async function modelFile(shape: string, folder: string): Promise<string> {
  if (shape === 'tern') return EMBEDDED_MODEL
  if (!(shape in PUBLISHED_SHAPES)) return shape
  note(`making a random ${shape} model`)
  const path = join(folder, `${shape}.gguf`)
  const packing = values.packing === 'tq1_0' ? 'tq1_0' : 'tq2_0'
  await writeRandomModel(PUBLISHED_SHAPES[shape as keyof typeof PUBLISHED_SHAPES], await createSink(path), { packing })
  return path
}

/** One case in its own process; rejects when it ends without a result. */
function runCase(args: string[]): Promise<CaseResult | FlatnessResult> {
  return new Promise((resolve, reject) => {
    const child = fork(CASE, [...args, '--kernel', values.kernel])
    let result: CaseResult | FlatnessResult | null = null
    child.on('message', message => {
      result = message as CaseResult | FlatnessResult
    })
    child.on('error', reject)
    child.on('exit', code => (result === null ? reject(new Error(`A case ended with code ${code}.`)) : resolve(result)))
  })
}

/** Progress, where somebody watches. */
function note(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

function printTable(title: string, rows: string[][]): void {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)))
  const lines = rows.map(row =>
    row.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c]))).join('  '),
  )
  process.stdout.write(`${title}\n${lines.join('\n')}\n\n`)
}

function printSpeed(lines: Line[]): void {
  const giga = (value: number) => (value / 1e9).toFixed(1)
  printTable('Speed (best of several runs)', [
    [
      'shape',
      'threads',
      'kernel',
      'decode tok/s',
      'limit tok/s',
      'ratio',
      'prefill tok/s',
      'read GB/s',
      'GEMV Gw/s',
      'GEMV GB/s',
      'GEMM Gmac/s',
      'load ms',
      'first ms',
    ],
    ...lines.map(line => [
      line.shape,
      String(line.threads),
      line.kernel,
      line.decodeTokensPerSecond.toFixed(1),
      (line.memoryReadBytesPerSecond / line.bytesReadPerToken).toFixed(1),
      line.memoryLimitRatio?.toFixed(2) ?? '-',
      line.prefillTokensPerSecond.toFixed(0),
      giga(line.memoryReadBytesPerSecond),
      giga(line.products?.gemvWeightsPerSecond ?? 0),
      giga(line.products?.gemvBytesPerSecond ?? 0),
      giga(line.products?.gemmMultiplyAddsPerSecond ?? 0),
      line.loadMs.toFixed(0),
      line.firstTokenMs.toFixed(0),
    ]),
  ])
}

function printMemory(lines: Line[]): void {
  const mega = (value: number) => (value / 1e6).toFixed(1)
  printTable('Memory, MB', [
    ['shape', 'threads', 'file', 'read a token', 'state', 'empty process', 'peak', 'peak - empty', 'restore ms'],
    ...lines.map(line => [
      line.shape,
      String(line.threads),
      mega(line.fileBytes),
      mega(line.bytesReadPerToken),
      mega(line.stateBytes),
      mega(line.emptyRssBytes),
      mega(line.peakRssBytes),
      mega(line.peakRssBytes - line.emptyRssBytes),
      line.restoreStateMs.toFixed(2),
    ]),
  ])
}

function printFlatness({ samples }: FlatnessResult): void {
  printTable('Memory along one sequence (embedded model), MB', [
    ['tokens', 'process', 'engine', 'tok/s since the last line'],
    ...samples.map(sample => [
      String(sample.tokens),
      (sample.rssBytes / 1e6).toFixed(1),
      (sample.engineBytes / 1e6).toFixed(1),
      sample.tokensPerSecond.toFixed(0),
    ]),
  ])
}
