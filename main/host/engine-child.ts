/**
 * Starts the engine as a child of plain Node, in every shell: under Electron too, whose own processes refuse the array
 * buffers that Dawn makes (docs/adr/005-the-engine-is-a-plain-node-child.md). The two talk in frames over file descriptor 3; when it closes,
 * the child ends, however this process went.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Duplex } from 'node:stream'
import { frameTransport } from '../engine-process/frame-transport.ts'
import type { EngineProcess, ProcessExit, SpawnEngineProcess } from './supervisor.ts'

export interface EngineChildOptions {
  /** A Node of version 24 or newer. */
  nodePath: string
  /** What it runs. */
  entry: string
  /** Called before every start; throws an error for people when the child must not be started. */
  check?: () => void
}

const EXIT_GRACE_MS = 1_000

/** Variables that would change what Node does, or let it load code that is not ours. */
const REFUSED_VARIABLES = /^(NODE_OPTIONS|NODE_EXTRA_CA_CERTS|NODE_PATH|NODE_REPL_EXTERNAL_MODULE|ELECTRON_.*)$/i

const engineEnvironment = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !REFUSED_VARIABLES.test(name)))

export function engineChild({ nodePath, entry, check }: EngineChildOptions): SpawnEngineProcess {
  return () => {
    check?.()
    const child = spawn(nodePath, [entry], {
      stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
      env: engineEnvironment(process.env),
      windowsHide: true,
    })
    return engineProcessOf(child)
  }
}

function engineProcessOf(child: ChildProcess): EngineProcess {
  const transport = frameTransport(child.stdio[3] as Duplex)
  // What it sends can no longer be understood, or it closed its end: it is of no use any more. One that is ending anyway
  // gets the moment that its own exit code takes.
  transport.onClose(() => {
    const timer = setTimeout(() => child.kill('SIGKILL'), EXIT_GRACE_MS)
    child.once('exit', () => clearTimeout(timer))
  })
  return {
    pid: child.pid,
    send: message => transport.send(message),
    onMessage: listener => transport.onMessage(listener),
    onExit(listener) {
      let isTold = false
      const tell = (exit: ProcessExit) => {
        if (isTold) return
        isTold = true
        listener(exit)
      }
      child.once('exit', (code, signal) => tell({ code, signal }))
      // A child that could not be started at all emits `error` and never `exit`.
      child.once('error', () => {
        if (child.pid === undefined) tell({ code: null, signal: null })
      })
    },
    kill: () => void child.kill('SIGKILL'),
  }
}
