/** How long somebody waits who types `tern run`: from starting the process to the first text of the embedded model. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const TERN = fileURLToPath(new URL('../../main/launcher/tern.mjs', import.meta.url))

export interface ColdStart {
  threads: number
  /** One a run, milliseconds; the files are in the system's cache from the second on. */
  firstTextMs: number[]
}

/** Throws an Error when the command ends without text. */
export async function measureColdStart(threads: number, runs: number, signal: AbortSignal): Promise<ColdStart> {
  const firstTextMs: number[] = []
  for (let run = 0; run < runs; run++) firstTextMs.push(await firstText(threads, signal))
  return { threads, firstTextMs }
}

function firstText(threads: number, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const startMs = performance.now()
    const prompt = ['-p', 'Tell me a story about a tern.', '--greedy', '--max-tokens', '8']
    const child = spawn(process.execPath, [TERN, 'run', ...prompt, '--threads', String(threads)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const kill = () => child.kill('SIGKILL')
    signal.addEventListener('abort', kill)
    let elapsedMs: number | null = null
    let errors = ''
    child.stdout.on('data', () => {
      elapsedMs ??= performance.now() - startMs
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-2000)
    })
    child.on('error', reject)
    child.on('close', code => {
      signal.removeEventListener('abort', kill)
      if (signal.aborted) reject(signal.reason)
      else if (code !== 0 || elapsedMs === null)
        reject(new Error(`tern run ended with code ${code}.\n${errors.trim()}`))
      else resolve(elapsedMs)
    })
  })
}
