/** Starts the engine as Electron's utility process. */
import { utilityProcess } from 'electron'
import type { EngineProcess, SpawnEngineProcess } from '../host/supervisor.ts'

/** `entry` is the built engine-process.js. Only after `ready`. */
export function utilityEngineProcess(entry: string): SpawnEngineProcess {
  return (): EngineProcess => {
    const child = utilityProcess.fork(entry, [], { serviceName: 'Tern engine', stdio: 'inherit' })
    let isAlive = true
    child.once('exit', () => {
      isAlive = false
    })
    return {
      get pid() {
        return child.pid
      },
      send(message) {
        if (isAlive) child.postMessage(message)
      },
      onMessage(listener) {
        child.on('message', listener)
        return () => child.off('message', listener)
      },
      // Electron reports a crash as a code too.
      onExit: listener => child.once('exit', code => listener({ code, signal: null })),
      kill: () => child.kill(),
    }
  }
}
