/** One reply through the engine's contract, streamed. Unlike other streams it may be stopped and still have a result. */
import type { EngineApi, SessionInput } from '../../../contract/engine-api.ts'
import type { Client } from '../../../contract/rpc.ts'
import type { FinishReason, GenerationStats, Sampling } from '../../../contract/schemas.ts'

export interface Reply {
  text: string
  tokenIds: number[]
  finishReason: FinishReason
  stats: GenerationStats
}

/**
 * Reads `input` into the session and decodes. `onText` gets whole characters. When `signal` fires the reply ends with
 * reason 'cancelled' and figures measured here. Rejects with the engine's errors.
 */
export async function generateReply(
  client: Client<EngineApi>,
  request: { sessionId: string; input: SessionInput; sampling: Sampling },
  signal: AbortSignal,
  onText: (text: string) => void,
): Promise<Reply> {
  const startedAtMs = performance.now()
  let firstTokenAtMs = Number.NaN
  let promptTokens = 0
  let text = ''
  const tokenIds: number[] = []
  let finish: { reason: FinishReason; stats: GenerationStats } | undefined

  const subscription = client.subscribe('generate', request, event => {
    switch (event.kind) {
      case 'prefill':
        promptTokens = event.tokensTotal
        break
      case 'text':
        if (tokenIds.length === 0) firstTokenAtMs = performance.now()
        text += event.text
        tokenIds.push(...event.tokens)
        onText(event.text)
        break
      case 'finish':
        finish = event
        break
    }
  })
  signal.addEventListener('abort', subscription.cancel, { once: true })
  if (signal.aborted) subscription.cancel()
  try {
    await subscription.ended
  } finally {
    signal.removeEventListener('abort', subscription.cancel)
  }
  if (finish !== undefined) return { text, tokenIds, finishReason: finish.reason, stats: finish.stats }

  const decodeMs = performance.now() - firstTokenAtMs
  return {
    text,
    tokenIds,
    finishReason: 'cancelled',
    stats: {
      promptTokens,
      generatedTokens: tokenIds.length,
      ttftMs: Number.isNaN(firstTokenAtMs) ? 0 : firstTokenAtMs - startedAtMs,
      prefillTokensPerSecond: null,
      decodeTokensPerSecond: tokenIds.length > 1 ? ((tokenIds.length - 1) * 1000) / decodeMs : null,
    },
  }
}
