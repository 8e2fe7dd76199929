/**
 * Another program's benchmark, run in alternation with ours on the same machine: `--peer CMD`. What it must print is in
 * docs/performance.md.
 */
import { spawn } from 'node:child_process'
import * as v from 'valibot'

/** {decodeTokensPerSecond, prefillTokensPerSecond?}: the last JSON object on stdout. */
const ownFormSchema = v.object({
  decodeTokensPerSecond: v.pipe(v.number(), v.minValue(0)),
  prefillTokensPerSecond: v.optional(v.pipe(v.number(), v.minValue(0))),
})
/** What `llama-bench -o json` prints: one entry a test. */
const llamaBenchSchema = v.array(v.object({ n_prompt: v.number(), n_gen: v.number(), avg_ts: v.number() }))

export interface PeerSpeed {
  decodeTokensPerSecond: number
  /** null: the peer tells none. */
  prefillTokensPerSecond: number | null
}

/** CMD with {shape} and {threads} filled in. Throws on a placeholder that is none. */
export function peerCommand(template: string, facts: { shape: string; threads: number }): string {
  return template.replaceAll(/\{([a-z]+)\}/g, (placeholder, name: string) => {
    if (name === 'shape') return facts.shape
    if (name === 'threads') return String(facts.threads)
    throw new Error(`--peer knows {shape} and {threads}, not ${placeholder}.`)
  })
}

/** Throws an Error that says what was expected when `stdout` ends in none of the two forms. */
export function parsePeerOutput(stdout: string): PeerSpeed {
  for (const value of jsonValuesFromEnd(stdout)) {
    const own = v.safeParse(ownFormSchema, value)
    if (own.success) {
      return { ...own.output, prefillTokensPerSecond: own.output.prefillTokensPerSecond ?? null }
    }
    const tests = v.safeParse(llamaBenchSchema, value)
    if (!tests.success) continue
    const decode = tests.output.find(({ n_prompt, n_gen }) => n_gen > 0 && n_prompt === 0)
    const prefill = tests.output.find(({ n_prompt, n_gen }) => n_prompt > 0 && n_gen === 0)
    if (decode) {
      return { decodeTokensPerSecond: decode.avg_ts, prefillTokensPerSecond: prefill?.avg_ts ?? null }
    }
  }
  throw new Error(
    'The peer printed no figures: {"decodeTokensPerSecond": ..., "prefillTokensPerSecond": ...} as the last JSON object ' +
      `on stdout, or what llama-bench -o json prints. It ended with:\n${stdout.slice(-500)}`,
  )
}

/** JSON objects and arrays that begin at the start of a line, the last one first. */
function* jsonValuesFromEnd(text: string): Generator<unknown> {
  const starts = [...text.matchAll(/^[ \t]*[[{]/gm)].map(match => match.index).reverse()
  let end = text.length
  for (const start of starts) {
    // Up to the end of what is left, or of one line: programs like to say goodbye.
    for (const candidate of [text.slice(start, end), text.slice(start, end).split('\n')[0]]) {
      try {
        yield JSON.parse(candidate)
        end = start
        break
      } catch {
        // The start of something larger, or no JSON at all.
      }
    }
  }
}

/** Runs a shell command; rejects when it fails or `signal` fires. */
export function runPeer(command: string, signal: AbortSignal): Promise<PeerSpeed> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    // A group of its own, so that what the shell starts ends with it.
    const child = spawn(command, {
      shell: true,
      detached: process.platform !== 'win32',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const kill = () => {
      try {
        if (process.platform === 'win32') child.kill()
        else process.kill(-child.pid!, 'SIGKILL')
      } catch {
        // Gone already.
      }
    }
    signal.addEventListener('abort', kill)
    let stdout = ''
    let errors = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout = (stdout + text).slice(-1_000_000)
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-2000)
    })
    child.on('error', reject)
    child.on('close', code => {
      signal.removeEventListener('abort', kill)
      if (signal.aborted) return reject(signal.reason)
      if (code !== 0) return reject(new Error(`The peer ended with code ${code}.\n${errors.trim()}`))
      try {
        resolve(parsePeerOutput(stdout))
      } catch (error) {
        reject(error)
      }
    })
  })
}
