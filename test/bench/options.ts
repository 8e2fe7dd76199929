/** What `npm run bench` is told on its command line. */
import { availableParallelism, tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import type { Packing } from './random-models.ts'

export const HELP = `Usage: npm run bench -- [options]

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

export interface Options {
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
  backend: 'wasm' | 'webgpu' | 'reference'
  adapter: string
  kernel: string
  /** Command of a peer, with placeholders. */
  peer: string | undefined
  folder: string
  /** File for all figures. */
  json: string | undefined
  help: boolean
}

/** Throws an error that names the option and what it takes. */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({ args: [...args], options: OPTIONS })
  const { quick, adapter, peer, folder, json, help } = values
  const parts = list(values.parts ?? (peer === undefined ? ALL_PARTS.join() : ''))
  for (const part of parts) oneOf('parts', part, ALL_PARTS)
  const kernel = oneOf('kernel', values.kernel, ['auto', 'relaxed-simd', 'relaxed-simd-int16', 'simd', 'scalar'])
  const backend = oneOf('backend', values.backend, ['wasm', 'webgpu', 'reference'])
  const cores = availableParallelism()
  return {
    parts: parts as Part[],
    shapes: list(values.shapes ?? (quick ? '370M,tern' : peer === undefined ? '370M,1.3B,2.7B,tern' : '370M')),
    threads: counts('threads', values.threads ?? (backend === 'wasm' ? [...new Set([1, cores])].join() : '1')),
    packings: list(values.packing).map(packing => oneOf('packing', packing, ['tq1_0', 'tq2_0'])),
    rounds: counts('rounds', values.rounds ?? (quick ? '1' : '3'))[0],
    decodeTokens: counts('decode-tokens', values['decode-tokens'] ?? (quick ? '32' : '64'))[0],
    prefillTokens: counts('prefill-tokens', values['prefill-tokens'] ?? (quick ? '128' : '512'))[0],
    batches: counts('batches', values.batches),
    flatTokens: counts('flat-tokens', values['flat-tokens'] ?? (quick ? '1000' : '100000'))[0],
    resumeTokens: counts('resume-tokens', values['resume-tokens'] ?? (quick ? '100,1000' : '100,1000,10000')),
    backend,
    adapter,
    kernel,
    peer,
    folder,
    json,
    help,
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
