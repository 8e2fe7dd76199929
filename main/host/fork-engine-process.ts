/** Starts an engine process as a child of Node (headless hosts and tests). Electron's way is in main/electron. */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { EngineProcess, SpawnEngineProcess } from './supervisor.ts'

/** `entry` is run by this process's own Node; the engine's by default. */
export function forkEngineProcess(
  entry: URL = new URL('../engine-process/entry.ts', import.meta.url),
): SpawnEngineProcess {
  return (): EngineProcess => {
    const child = fork(fileURLToPath(entry), [], {
      // Structured clone: Uint8Array crosses as bytes.
      serialization: 'advanced',
      execArgv: [],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    // Without a listener a failed send (the child just died) would end the host; `exit` tells what happened.
    child.on('error', () => {})
    return {
      pid: child.pid,
      send(message) {
        if (child.connected) child.send(message as object, () => {})
      },
      onMessage(listener) {
        child.on('message', listener)
        return () => child.off('message', listener)
      },
      onExit(listener) {
        let told = false
        const tell = (exit: { code: number | null; signal: string | null }) => {
          if (told) return
          told = true
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
}
