/** Threads for the engine's WASM backend over worker_threads. The thread's own code is the engine's (wasm-thread.ts). */
import { Worker } from 'node:worker_threads'
import type { Thread } from '../../engine/engine-environment.ts'
import { EngineError } from '../../engine/errors.ts'
import { builtFile } from './built-files.ts'
import { THREAD_STARTED } from './thread-messages.ts'

/** Too few files that may be open, no current folder, too little memory: one thread alone may still do. */
export class ThreadStartError extends EngineError {
  constructor(cause: unknown) {
    super('backend-failed', 'A compute thread could not be started.', {
      actual: cause instanceof Error ? cause.message : String(cause),
      remedy: 'Compute with one thread (--threads 1), or let more files be open (ulimit -n).',
      cause,
    })
  }
}

/** Implements the engine's `SpawnThread`. `started` rejects with `backend-failed` when the thread cannot be started. */
export function spawnThread(init: unknown): Thread {
  let worker: Worker
  try {
    worker = new Worker(builtFile('wasm-thread'), { workerData: init, name: 'tern-wasm' })
  } catch (error) {
    const started = Promise.reject(new ThreadStartError(error))
    started.catch(() => {})
    return { started, terminate: async () => {} }
  }
  const started = new Promise<void>((resolve, reject) => {
    worker.once('message', message => {
      if (message === THREAD_STARTED) resolve()
    })
    worker.once('error', error => reject(new ThreadStartError(error)))
    worker.once('exit', code => reject(new EngineError('backend-failed', `A compute thread ended with code ${code}.`)))
  })
  // Rejections after the start have nobody to hear them: the thread's work then fails in the engine.
  started.catch(() => {})
  return {
    started,
    async terminate() {
      await worker.terminate()
    },
  }
}
