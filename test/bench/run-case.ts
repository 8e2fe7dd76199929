/** Runs one case (case.ts) in its own process, and ends it when the run is aborted. */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'

const CASE = fileURLToPath(new URL('./case.ts', import.meta.url))

/** The case's result by `schema`. Rejects when it ends without one, or when `signal` fires. */
export function runCase<Schema extends v.GenericSchema>(
  schema: Schema,
  options: Record<string, string | number>,
  signal: AbortSignal,
): Promise<v.InferOutput<Schema>> {
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const child = fork(CASE, args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    const kill = () => child.kill('SIGKILL')
    signal.addEventListener('abort', kill)
    let message: unknown = null
    let errors = ''
    child.on('message', received => {
      message = received
    })
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-4000)
    })
    child.on('error', reject)
    child.on('close', code => {
      signal.removeEventListener('abort', kill)
      if (signal.aborted) reject(signal.reason)
      else if (code !== 0) reject(new Error(`A benchmark case ended with code ${code}.\n${errors.trim()}`))
      else resolve(v.parse(schema, message))
    })
  })
}
