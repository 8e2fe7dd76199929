/** One run of `generate` over the engine's contract: the only place that knows how it is followed, stopped and ended. */
import type { GenerationEvent, SessionInput } from '../../contract/engine/session.ts'
import type { EngineApi } from '../../contract/engine-api.ts'
import { TernError } from '../../contract/errors.ts'
import type { AbortSignalLike, Client } from '../../contract/rpc.ts'
import type { BackendInfo } from '../../contract/words/backend.ts'
import type { FinishReason, GenerationStats, Sampling } from '../../contract/words/sampling.ts'

export interface GenerateRequest {
  sessionId: string
  input: SessionInput
  sampling: Sampling
}

/** What comes before the end. */
export type GenerationProgress = Exclude<GenerationEvent, { kind: 'finish' }>

export interface GenerationEnd {
  reason: FinishReason
  stats: GenerationStats
}

/**
 * Reads `input` into the session and decodes; resolves with how it ended. When `signal` fires, that is within one token and
 * with reason 'cancelled'. Rejects with the engine's errors, `protocol-violation` when it ends without saying how.
 */
export async function generate(
  client: Client<EngineApi>,
  request: GenerateRequest,
  signal: AbortSignalLike,
  onProgress: (event: GenerationProgress) => void,
): Promise<GenerationEnd> {
  let end: GenerationEnd | null = null
  const stream = client.subscribe('generate', request, event => {
    if (event.kind === 'finish') end = { reason: event.reason, stats: event.stats }
    else onProgress(event)
  })
  // A session that cannot be stopped fails the stream as well: that error is the one to tell.
  const stop = () => void client.call('session.stop', { sessionId: request.sessionId }).catch(() => {})
  signal.addEventListener('abort', stop)
  if (signal.aborted) stop()
  try {
    await stream.ended
  } finally {
    signal.removeEventListener('abort', stop)
  }
  if (end !== null) return end
  throw new TernError({
    code: 'protocol-violation',
    message: 'The engine ended a reply without saying how.',
    remedy: 'Try again.',
  })
}

export interface Reply {
  text: string
  tokenIds: number[]
  finishReason: FinishReason
  stats: GenerationStats
}

/** `generate` with what was written gathered. `onText` gets whole characters as they come; `onMoved`: it goes on elsewhere. */
export async function generateReply(
  client: Client<EngineApi>,
  request: GenerateRequest,
  signal: AbortSignalLike,
  onText: (text: string) => void,
  onMoved: (backend: BackendInfo, reason: string) => void = () => {},
): Promise<Reply> {
  let text = ''
  const tokenIds: number[] = []
  const { reason, stats } = await generate(client, request, signal, event => {
    if (event.kind === 'text') {
      text += event.text
      tokenIds.push(...event.tokens)
      onText(event.text)
    } else if (event.kind === 'moved') onMoved(event.backend, event.reason)
  })
  return { text, tokenIds, finishReason: reason, stats }
}
