/** What happens to a loaded model while nobody asks: it moves to another backend, or cannot go on. Each event is whole. */
import type { BackendInfo } from './backends/backend.ts'
import type { EngineError } from './errors.ts'

/** 'evicted': the device had no memory left for the model. */
export type MoveCause = 'asked' | 'lost' | 'evicted'

export type ModelEvent =
  /** The sequences wait until the model is elsewhere: 'moved' or 'failed' follows. */
  | { kind: 'moving'; cause: MoveCause }
  /**
   * The sequences go on on `backend`. `failure` is what ended the backend before it, if anything. `isExact`: what comes now is
   * what would have come there, to the bit; false between numeric modes.
   */
  | {
      kind: 'moved'
      cause: MoveCause
      backend: BackendInfo
      loadMs: number
      failure: EngineError | null
      isExact: boolean
    }
  /** The backend has failed for good and there is nowhere to go on: every call fails until the model is loaded again. */
  | { kind: 'failed'; error: EngineError }

export type ModelEventListener = (event: ModelEvent) => void

export const causeOf = (failure: EngineError): MoveCause => (failure.code === 'out-of-memory' ? 'evicted' : 'lost')

/** Tells events to listeners. One that throws is the end of that listener's turn and of nothing else. */
export class ModelEvents {
  private readonly listeners = new Set<ModelEventListener>()
  private hasFailed = false

  onEvent(listener: ModelEventListener): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** After 'failed' nothing more is told until the model has moved after all. */
  tell(event: ModelEvent): void {
    if (this.hasFailed && event.kind !== 'moved') return
    this.hasFailed = event.kind === 'failed'
    for (const listener of [...this.listeners]) {
      try {
        listener(event)
      } catch {
        // Whoever watches must not decide whether replies go on.
      }
    }
  }
}
