/** Stands in for main/host/engine-child.ts: records what the shell would start, and lets a test play the child. */
import type { EngineChildOptions } from '../main/host/engine-child.ts'
import type { EngineProcess, ProcessExit, SpawnEngineProcess } from '../main/host/supervisor.ts'

export class FakeEngineChild implements EngineProcess {
  static all: FakeEngineChild[] = []
  readonly pid = 4000 + FakeEngineChild.all.length
  readonly sent: unknown[] = []
  readonly options: EngineChildOptions
  private readonly listeners = new Set<(message: unknown) => void>()
  private tellExit: (exit: ProcessExit) => void = () => {}

  constructor(options: EngineChildOptions) {
    this.options = options
    FakeEngineChild.all.push(this)
  }
  /** The child sends this. */
  say(message: unknown) {
    for (const listener of [...this.listeners]) listener(message)
  }
  send(message: unknown) {
    this.sent.push(message)
    const { control } = message as { control?: string }
    if (control === 'shutdown') queueMicrotask(() => this.tellExit({ code: 0, signal: null }))
  }
  onMessage(listener: (message: unknown) => void) {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }
  onExit(listener: (exit: ProcessExit) => void) {
    this.tellExit = listener
  }
  kill() {
    this.tellExit({ code: null, signal: 'SIGKILL' })
  }
}

export const engineChild =
  (options: EngineChildOptions): SpawnEngineProcess =>
  () =>
    new FakeEngineChild(options)
