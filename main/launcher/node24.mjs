/**
 * The one place that knows how Tern gets a Node of version 24 or newer. Tern runs TypeScript directly and computes with
 * relaxed SIMD, which older versions lack or get wrong; npm installs a fitting Node beside the app's other packages.
 * Plain JavaScript for Node 20 and newer. Installs nothing and downloads nothing.
 */
import { spawn } from 'node:child_process'
import { existsSync, fstatSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Socket } from 'node:net'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const REQUIRED_NODE_MAJOR = 24

/** Names the process that started this one through `underNode24`, so that a wrong binary cannot start itself for ever. */
const STARTED_BY = 'TERN_STARTED_BY'

/** File descriptor of a pipe that the starting process holds open while it lives, and writes nothing to. */
const LIFELINE_FD = 3

/** Whether `version` ("24.1.0") is recent enough. */
export function isRecentNode(version = process.versions.node) {
  return Number.parseInt(version, 10) >= REQUIRED_NODE_MAJOR
}

/** Path of a Node of version 24: the running one, else the one that npm installed for this platform, else null. */
export function findNode24() {
  return isRecentNode() ? process.execPath : findInstalledNode24()
}

/** The Node that npm installed for this platform, whatever runs this; null when there is none. */
export function findInstalledNode24() {
  const platform = process.platform === 'win32' ? 'win' : process.platform
  const executable = process.platform === 'win32' ? 'node.exe' : 'node'
  const require = createRequire(import.meta.url)
  for (const name of [`node-${platform}-${process.arch}`, `node-bin-${platform}-${process.arch}`]) {
    try {
      const path = join(dirname(require.resolve(`${name}/package.json`)), 'bin', executable)
      if (existsSync(path)) return path
    } catch {
      // Not installed: the other name may be.
    }
  }
  return null
}

/**
 * Runs `main` in this process when its Node is recent enough; else runs the script at `scriptUrl` again, with the same
 * arguments, under the Node that npm installed, and ends as that process ends. Standard streams are inherited, signals
 * are passed on; killed without a signal to pass on, this process takes the other along. Without such a Node it prints
 * one line that says what to install and sets exit code 1.
 */
export async function underNode24(scriptUrl, main) {
  if (isRecentNode()) {
    if (process.env[STARTED_BY] !== undefined) endWithStarter()
    return main()
  }
  const node = process.env[STARTED_BY] === String(process.ppid) ? null : findNode24()
  if (node === null) {
    process.stderr.write(
      `tern: this is Node ${process.versions.node}, Tern needs Node ${REQUIRED_NODE_MAJOR} or newer: ` +
        'run "npm ci --include=optional" in its folder (it brings one along), or install it from https://nodejs.org.\n',
    )
    process.exitCode = 1
    return
  }
  endAs(await runBound(node, [fileURLToPath(scriptUrl), ...process.argv.slice(2)]))
}

/** Runs a script that calls `underNode24`, like `runInherited`; it ends, as by SIGTERM, when this process has ended in any way. */
export function runBound(node, args) {
  const env = { ...process.env, [STARTED_BY]: String(process.pid) }
  return runInherited(node, args, { env, stdio: ['inherit', 'inherit', 'inherit', 'pipe'] })
}

/** The other end of `runBound`. */
function endWithStarter() {
  // What this process starts itself is bound to it in ways of its own.
  delete process.env[STARTED_BY]
  try {
    const kind = fstatSync(LIFELINE_FD)
    if (!kind.isSocket() && !kind.isFIFO()) return
  } catch {
    return
  }
  const lifeline = new Socket({ fd: LIFELINE_FD, readable: true, writable: false })
  lifeline.once('close', () => process.kill(process.pid, 'SIGTERM'))
  lifeline.on('error', () => {})
  lifeline.resume()
  lifeline.unref()
}

/**
 * Runs a program with this process's standard streams and passes termination signals on to it.
 * Resolves with how it ended: exactly one of `code` and `signal` is not null.
 */
export function runInherited(command, args, { env = process.env, stdio = 'inherit' } = {}) {
  return new Promise(resolve => {
    const child = spawn(command, args, { stdio, env, windowsHide: true })
    // On a terminal Ctrl-C reaches the child by itself as well: it has to take two signals in one moment as one.
    const signals = process.platform === 'win32' ? ['SIGINT', 'SIGTERM'] : ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']
    const passOn = signal => child.kill(signal)
    for (const signal of signals) process.on(signal, passOn)
    const settle = outcome => {
      for (const signal of signals) process.off(signal, passOn)
      resolve(outcome)
    }
    child.once('error', error => {
      process.stderr.write(`tern: cannot start ${command}: ${error.message}\n`)
      settle({ code: 1, signal: null })
    })
    child.once('exit', (code, signal) => settle({ code, signal }))
  })
}

/** Ends this process as another one ended: by the same signal, or with the same exit code. */
export function endAs({ code, signal }) {
  if (signal !== null) {
    process.exitCode = 128 + (constants.signals[signal] ?? 0)
    process.kill(process.pid, signal)
  } else process.exitCode = code
}
