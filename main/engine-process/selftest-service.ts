/** Runs the self-test for the contract: opens the model, makes the backend, reports each check. */
import type { EngineApi } from '../../contract/engine-api.ts'
import type { AbortSignalLike, StreamEvent } from '../../contract/rpc.ts'
import type { BackendRequest } from '../../contract/words/backend.ts'
import { runSelfTest as runChecks } from '../../engine/self-test.ts'
import { chooseBackend } from './backend-choice.ts'
import { nodeEngineEnvironment } from './engine-environment.ts'
import { openModel } from './model-files.ts'

/** Throws what opening the model and making the backend throw, and `cancelled`. */
export async function runSelfTest(
  path: string,
  request: BackendRequest,
  cacheDirectory: string,
  emit: (event: StreamEvent<EngineApi, 'selftest'>) => void,
  signal: AbortSignalLike,
): Promise<void> {
  const file = await openModel(path, {
    cacheDirectory,
    signal,
    onConvertProgress: fraction => emit({ kind: 'progress', stage: 'convert', fraction }),
  })
  try {
    const backend = await chooseBackend(file, request)
    try {
      emit({ kind: 'backend', backend: backend.info })
      const passed = await runChecks(backend, file, {
        onProgress: (stage, fraction) => emit({ kind: 'progress', stage, fraction: Math.min(1, fraction) }),
        onCheck: check => emit({ kind: 'check', ...check }),
        yieldToEventLoop: nodeEngineEnvironment.yieldToEventLoop,
        signal,
      })
      emit({ kind: 'done', passed })
    } finally {
      await backend.dispose()
    }
  } finally {
    await file.close()
  }
}
