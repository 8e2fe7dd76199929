/** The browser shell with the embedded model, as `npm start` runs it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const START_TIMEOUT_MS = 90_000

/** `npm start -- --browser --no-open`, up to the address that it prints. */
export async function startShell(): Promise<{ process: ChildProcess; url: string }> {
  const child = spawn(process.execPath, ['main/launcher/start.mjs', '--browser', '--no-open'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no address was printed: ${output}`)), START_TIMEOUT_MS)
    const read = (chunk: Buffer) => {
      output += chunk
      const found = /http:\/\/127\.0\.0\.1:\d+\/[\w-]+\//.exec(output)
      if (found === null) return
      clearTimeout(timer)
      resolve(found[0])
    }
    child.stdout.on('data', read)
    child.stderr.on('data', read)
    child.once('exit', code => reject(new Error(`the shell ended with code ${code}: ${output}`)))
  })
  return { process: child, url }
}
