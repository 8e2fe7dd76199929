/** One reply through the engine's contract, streamed. Unlike other work it can be stopped and still have a result. */

import type { SessionInput } from '../../contract/engine/session.ts'
import type { EngineApi } from '../../contract/engine-api.ts'
import type { Client } from '../../contract/rpc.ts'
import type { BackendInfo } from '../../contract/words/backend.ts'
import type { FinishReason, GenerationStats, Sampling } from '../../contract/words/sampling.ts'

export interface Reply {
  text: string
  tokenIds: number[]
  finishReason: FinishReason
  stats: GenerationStats
}

/**
 * Reads `input` into the session and decodes. `onText` gets whole characters. When `signal` fires, the reply ends within
 * one token with reason 'cancelled'. `onMoved`: it goes on elsewhere. Rejects with the engine's errors.
 */
export async function generateReply(
  client: Client<EngineApi>,
  request: { sessionId: string; input: SessionInput; sampling: Sampling },
  signal: AbortSignal,
  onText: (text: string) => void,
  onMoved: (backend: BackendInfo, reason: string) => void = () => {},
): Promise<Reply> {
  let text = ''
  const tokenIds: number[] = []
  let finish: { reason: FinishReason; stats: GenerationStats } | undefined
  const subscription = client.subscribe('generate', request, event => {
    if (event.kind === 'text') {
      text += event.text
      tokenIds.push(...event.tokens)
      onText(event.text)
    } else if (event.kind === 'moved') onMoved(event.backend, event.reason)
    else if (event.kind === 'finish') finish = event
  })
  // A session that cannot be stopped fails the stream as well: that error is the one to tell.
  const stop = () => void client.call('session.stop', { sessionId: request.sessionId }).catch(() => {})
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  try {
    await subscription.ended
  } finally {
    signal.removeEventListener('abort', stop)
  }
  if (finish === undefined) throw new Error('The engine ended the reply without a last event.')
  return { text, tokenIds, finishReason: finish.reason, stats: finish.stats }
}
