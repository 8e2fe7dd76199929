/** Tells every subscriber of `engine.events` what happens, beginning with what holds now. */
import type { EngineEvent } from '../../contract/engine/events.ts'
import { toErrorData } from '../../contract/errors.ts'
import type { AbortSignalLike } from '../../contract/rpc.ts'
import type { BackendName } from '../../engine/backends/backend.ts'
import type { ModelEvent } from '../../engine/model-events.ts'

export interface EventFeed {
  tell(event: EngineEvent): void
  /** Ends when the signal fires. `now` is the first event. */
  subscribe(now: EngineEvent, emit: (event: EngineEvent) => void, signal: AbortSignalLike): Promise<void>
}

export function createEventFeed(): EventFeed {
  const listeners = new Set<(event: EngineEvent) => void>()
  return {
    tell(event) {
      for (const listener of [...listeners]) listener(event)
    },
    async subscribe(now, emit, signal) {
      if (signal.aborted) return
      emit(now)
      listeners.add(emit)
      await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()))
      listeners.delete(emit)
    },
  }
}

/** A model's own event as it crosses the process. */
export function engineEventOf(event: ModelEvent): EngineEvent {
  switch (event.kind) {
    case 'moving':
      return event
    case 'moved': {
      const { cause, backend, loadMs, isExact } = event
      return { kind: 'moved', cause, backend, loadMs, reason: moveReason(event), isExact }
    }
    case 'failed':
      return { kind: 'failed', error: toErrorData(event.error) }
  }
}

const PLACE = {
  reference: 'the CPU',
  wasm: 'the CPU',
  webgpu: 'the graphics processor',
  fpga: 'the accelerator',
} as const satisfies Record<BackendName, string>

/** Why the model moved and where to, in sentences. */
export function moveReason({
  failure,
  backend,
}: Pick<Extract<ModelEvent, { kind: 'moved' }>, 'failure' | 'backend'>): string {
  const place = PLACE[backend.name]
  return failure === null
    ? `As asked, the reply goes on on ${place}.`
    : `${failure.message} The reply goes on on ${place}.`
}
