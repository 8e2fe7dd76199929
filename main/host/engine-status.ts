/** The engine's status as a fold over what happens to it: a pure function, so that no two places can disagree. */
import type { EngineStatus } from '../../contract/app/engine.ts'
import type { EngineEvent } from '../../contract/engine/events.ts'
import type { TernErrorData } from '../../contract/errors.ts'

/** What the supervisor sees of the process, and what the engine tells by itself. */
export type StatusEvent =
  | EngineEvent
  | { kind: 'starting' }
  | { kind: 'loading'; modelName: string; stage: 'convert' | 'load'; fraction: number }
  | { kind: 'restarting'; attempt: number; reason: string }
  /** Nothing more is tried until the user asks. */
  | { kind: 'gave-up'; error: TernErrorData; otherModelPath: string | null }

export function reduceStatus(status: EngineStatus, event: StatusEvent): EngineStatus {
  switch (event.kind) {
    case 'starting':
      return { phase: 'starting' }
    case 'loading':
      return { phase: 'loading', modelName: event.modelName, stage: event.stage, fraction: event.fraction }
    case 'restarting':
      return { phase: 'restarting', attempt: event.attempt, reason: event.reason }
    case 'loaded':
      return { phase: 'ready', loaded: event.loaded, isMoving: false }
    case 'moving':
      return status.phase === 'ready' ? { ...status, isMoving: true } : status
    case 'moved':
      return status.phase === 'ready'
        ? {
            phase: 'ready',
            loaded: { ...status.loaded, backend: event.backend, loadMs: event.loadMs },
            isMoving: false,
          }
        : status
    case 'failed':
      return { phase: 'failed', error: event.error, otherModelPath: null }
    case 'gave-up':
      return { phase: 'failed', error: event.error, otherModelPath: event.otherModelPath }
    case 'unloaded':
      // An engine that has just started says so too; then the load that follows is what counts.
      return status.phase === 'ready' ? { phase: 'unloaded' } : status
  }
}
