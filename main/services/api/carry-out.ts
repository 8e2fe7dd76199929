/** Carries a plan out on the engine: one state read once, and a choice for each sampling, all in one batch. */
import type { SessionInput } from '../../../contract/engine/session.ts'
import type { AbortSignalLike } from '../../../contract/rpc.ts'
import { generate } from '../../generation/generate.ts'
import type { Choice, Usage } from './answers.ts'
import type { Plan } from './plan.ts'
import type { ApiEngine } from './ports.ts'
import type { SessionPool } from './session-pool.ts'

const NOTHING: SessionInput = { kind: 'tokens', tokens: [] }

/** `onText`: whole characters of a choice as they come. Rejects with the engine's errors; ends within a token of `signal`. */
export async function carryOut(
  plan: Plan,
  engine: ApiEngine,
  pool: SessionPool,
  signal: AbortSignalLike,
  onText: (index: number, text: string) => void,
): Promise<{ choices: Choice[]; usage: Usage }> {
  const { client } = engine
  const first = await pool.take(engine, plan.messages)
  const sessionIds = [first]
  let isKept = false
  try {
    const read = { tokensTotal: 0, reusedTokens: 0 }
    const reading = await generate(
      client,
      { sessionId: first, input: plan.input, sampling: { maxTokens: 0 } },
      signal,
      event => {
        if (event.kind === 'prefill')
          Object.assign(read, { tokensTotal: event.tokensTotal, reusedTokens: event.reusedTokens })
      },
    )
    for (let n = 1; n < plan.samplings.length; n++) {
      sessionIds.push(await client.call('session.clone', { sessionId: first }))
    }
    const choices = await Promise.all(
      plan.samplings.map((sampling, index) =>
        write(engine, sessionIds[index], sampling, signal, text => onText(index, text)),
      ),
    )
    if (plan.messages !== null && choices.length === 1 && !signal.aborted) {
      pool.giveBack(engine, first, [...plan.messages, { role: 'assistant', content: choices[0].text }])
      isKept = true
    }
    return {
      choices,
      usage: {
        promptTokens: reading.stats.promptTokens + read.reusedTokens,
        cachedTokens: read.reusedTokens,
        completionTokens: choices.reduce((sum, { tokens }) => sum + tokens, 0),
      },
    }
  } finally {
    for (const sessionId of sessionIds) if (!isKept || sessionId !== first) pool.drop(engine, sessionId)
  }
}

async function write(
  { client }: ApiEngine,
  sessionId: string,
  sampling: Plan['samplings'][number],
  signal: AbortSignalLike,
  onText: (text: string) => void,
): Promise<Choice & { tokens: number }> {
  let text = ''
  const { reason, stats } = await generate(client, { sessionId, input: NOTHING, sampling }, signal, event => {
    if (event.kind !== 'text') return
    text += event.text
    onText(event.text)
  })
  return { text, finishReason: reason, tokens: stats.generatedTokens }
}
