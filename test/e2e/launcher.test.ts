/**
 * Processes as users start them: who ends them, and that nothing is left. A process is known to be gone when the pipe
 * that it wrote to closes.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'

const path = (relative: string) => fileURLToPath(new URL(`../../${relative}`, import.meta.url))
const url = (relative: string) => JSON.stringify(new URL(`../../${relative}`, import.meta.url).href)
const isWindows = process.platform === 'win32'
/** A Node of this machine that is perhaps too old for Tern: the launchers are made for it. */
const anyNode = ['/usr/bin/node', '/usr/local/bin/node'].find(existsSync)
const folder = mkdtempSync(join(tmpdir(), 'tern-launcher-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Starts a program; `closed` resolves with all that was said when nobody is left who could say more. */
function start(command: string, args: string[], env: NodeJS.ProcessEnv = process.env) {
  const child: ChildProcess = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const said = { text: '' }
  child.stdout!.on('data', chunk => (said.text += chunk))
  child.stderr!.on('data', chunk => (said.text += chunk))
  const exit = new Promise<[number | null, string | null]>(resolve =>
    child.once('exit', (code, signal) => resolve([code, signal])),
  )
  const closed = new Promise<string>(resolve => child.once('close', () => resolve(said.text)))
  const says = (pattern: RegExp) => expect.poll(() => said.text, { timeout: 30_000, interval: 10 }).toMatch(pattern)
  return { child, exit, closed, says }
}

function script(name: string, source: string): string {
  const file = join(folder, name)
  writeFileSync(file, source)
  return file
}
const WAITS = `process.on('SIGTERM', () => { console.log('asked to end'); process.exit() })
  setInterval(() => {}, 1000)
  console.log('running')`

describe.skipIf(isWindows)('the browser shell around the fake engine', () => {
  const fakeHost = (node: string) => start(node, [path('test/fake-host.mjs')])
  const ADDRESS = /^Tern is running at http:\/\/127\.0\.0\.1:\d+\/[\w-]{43}\/ {2}\(Ctrl-C stops it\)\n$/

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('prints its address, and %s ends it with code 0', async signal => {
    const { child, exit, closed, says } = fakeHost(process.execPath)
    await says(ADDRESS)
    child.kill(signal)
    // A second one, as a terminal and a launcher send it, is the same wish.
    child.kill(signal)
    expect(await exit).toEqual([0, null])
    await closed
  })

  it.skipIf(anyNode === undefined)('is started as documented by whichever Node is there', async () => {
    const { child, exit, closed, says } = fakeHost(anyNode!)
    await says(ADDRESS)
    child.kill('SIGTERM')
    expect(await exit).toEqual([0, null])
    await closed
  })

  it('killed, leaves no engine process behind', async () => {
    const { child, closed, says } = fakeHost(process.execPath)
    await says(ADDRESS)
    child.kill('SIGKILL')
    await closed
  })
})

describe.skipIf(isWindows)('a launcher that is killed without warning', () => {
  it('takes what it started along, asking it to end', async () => {
    const bound = script(
      'bound.mjs',
      `const { underNode24 } = await import(${url('main/launcher/node24.mjs')})
      await underNode24(import.meta.url, () => { ${WAITS} })`,
    )
    const starter = script(
      'starter.mjs',
      `const { runBound } = await import(${url('main/launcher/node24.mjs')})
      await runBound(process.execPath, [${JSON.stringify(bound)}])`,
    )
    const { child, closed, says } = start(process.execPath, [starter])
    await says(/^running\n$/)
    child.kill('SIGKILL')
    expect(await closed).toBe('running\nasked to end\n')
  })

  it.skipIf(anyNode === undefined)('tern run stops computing', async () => {
    const args = ['run', '--raw', '-p', 'a', '--greedy', '-n', '100000000', '--backend', 'wasm']
    const { child, closed, says } = start(anyNode!, [path('main/launcher/tern.mjs'), ...args])
    await says(/\w/)
    child.kill('SIGKILL')
    await closed
  })
})

describe.skipIf(isWindows)('what npm started', () => {
  it('ends with it, although the shell between passes no signal on', async () => {
    const watched = script(
      'watched.mjs',
      `const { endWithNpm } = await import(${url('main/browser-shell/end-with-npm.ts')})
      endWithNpm()
      ${WAITS}`,
    )
    const env = { ...process.env, npm_lifecycle_event: 'start' }
    const { child, closed, says } = start('sh', ['-c', '"$0" "$1"; true', process.execPath, watched], env)
    await says(/^running\n$/)
    child.kill('SIGKILL')
    expect(await closed).toBe('running\nasked to end\n')
  })
})
