/** Loads a model through the engine's contract, for the commands that need one. */
import { fileURLToPath } from 'node:url'
import type { EngineApi } from '../../contract/engine-api.ts'
import { TernError } from '../../contract/errors.ts'
import type { Client, StreamEvent, StreamParams } from '../../contract/rpc.ts'
import type { LoadedModel } from '../../contract/words/model.ts'
import { EMBEDDED_MODEL_FILE } from '../host/model-request.ts'
import type { CommandContext } from './command-context.ts'
import { absolutePath } from './input-files.ts'
import { backendRequest, type ModelOptions } from './options.ts'
import { startProgress } from './terminal.ts'

/** The model that ships with Tern. */
export const EMBEDDED_MODEL_PATH = fileURLToPath(new URL(`../../${EMBEDDED_MODEL_FILE}`, import.meta.url))

/** A path as the user gave it, the embedded model by default. */
export const modelPath = (given: string | undefined): string =>
  given === undefined ? EMBEDDED_MODEL_PATH : absolutePath(given)

/** Loads with a progress bar on a terminal. Throws `cancelled` and the engine's errors. */
export async function loadModel(
  client: Client<EngineApi>,
  options: ModelOptions,
  context: CommandContext,
): Promise<LoadedModel> {
  let loaded: LoadedModel | undefined
  const progress = startProgress(context.terminal, 'Loading')
  try {
    await follow(
      client,
      'model.load',
      { path: modelPath(options.model), ...backendRequest(options) },
      event => {
        if (event.kind === 'loaded') loaded = event.loaded
        else progress.update(event.fraction, event.stage === 'convert' ? 'converting' : '')
      },
      context,
    )
  } finally {
    progress.end()
  }
  if (loaded === undefined) throw endedWithout('a model')
  return loaded
}

/** Follows a stream to its end; cancels it and throws `cancelled` when the command is to stop. */
export async function follow<M extends keyof EngineApi['streams']>(
  client: Client<EngineApi>,
  method: M,
  params: StreamParams<EngineApi, M>,
  onEvent: (event: StreamEvent<EngineApi, M>) => void,
  { interrupts }: Pick<CommandContext, 'interrupts'>,
): Promise<void> {
  interrupts.throwIfStopped()
  const subscription = client.subscribe(method, params, onEvent)
  interrupts.signal.addEventListener('abort', subscription.cancel, { once: true })
  try {
    await subscription.ended
  } finally {
    interrupts.signal.removeEventListener('abort', subscription.cancel)
  }
  interrupts.throwIfStopped()
}

/** A stream of the engine that ended well, but told no result. */
export const endedWithout = (what: string): TernError =>
  new TernError({
    code: 'protocol-violation',
    message: `The engine ended its work without ${what}.`,
    remedy: 'This is a fault of Tern: run it again with TERN_DEBUG=1, and report what it prints.',
  })
