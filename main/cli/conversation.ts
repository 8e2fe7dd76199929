/** A conversation of `tern chat`: a session, the state before its last reply, and the messages. */
import { randomInt } from 'node:crypto'
import type { EngineApi } from '../../contract/engine-api.ts'
import type { Client } from '../../contract/rpc.ts'
import type { TemplateMessage } from '../../contract/words/message.ts'
import type { Sampling } from '../../contract/words/sampling.ts'
import { generateReply, type Reply } from '../generation/generate.ts'

export interface SeededReply extends Reply {
  /** Same seed, same text; null: greedy. */
  seed: number | null
}

export interface Conversation {
  readonly messages: readonly TemplateMessage[]
  hasReply(): boolean
  /** The user's next message. */
  add(content: string): void
  reply(signal: AbortSignal, onText: (text: string) => void): Promise<SeededReply>
  /** Replaces the last reply, from the state before it: nothing is read twice. */
  regenerate(signal: AbortSignal, onText: (text: string) => void): Promise<SeededReply>
  restart(): Promise<void>
  /** null before the first one. */
  lastReply(): SeededReply | null
}

/** Begins with the system message, where there is one. Throws the engine's errors. */
export async function openConversation(
  client: Client<EngineApi>,
  system: string | undefined,
  sampling: Sampling,
): Promise<Conversation> {
  const opening: TemplateMessage[] = system === undefined ? [] : [{ role: 'system', content: system }]
  let messages = [...opening]
  let sessionId = await client.call('session.create', undefined)
  let beforeReplyId: string | null = null
  let attempt = 0
  let last: SeededReply | null = null

  const dispose = async (id: string | null) => {
    if (id !== null) await client.call('session.dispose', { sessionId: id })
  }
  const generate = async (signal: AbortSignal, onText: (text: string) => void): Promise<SeededReply> => {
    const input = { kind: 'messages' as const, messages: [...messages], addGenerationPrompt: true }
    const withSeed = seeded(sampling, attempt)
    const reply = await generateReply(client, { sessionId, input, sampling: withSeed }, signal, onText)
    messages.push({ role: 'assistant', content: reply.text })
    last = { ...reply, seed: withSeed.seed ?? null }
    return last
  }

  return {
    get messages() {
      return messages
    },
    hasReply: () => messages.at(-1)?.role === 'assistant' && beforeReplyId !== null,
    add(content) {
      // A message whose reply failed is replaced, not answered twice.
      if (messages.at(-1)?.role === 'user') messages.pop()
      messages.push({ role: 'user', content })
    },
    async reply(signal, onText) {
      const previousId = beforeReplyId
      beforeReplyId = await client.call('session.clone', { sessionId })
      await dispose(previousId)
      attempt = 0
      return generate(signal, onText)
    },
    async regenerate(signal, onText) {
      messages.pop()
      const previousId = sessionId
      sessionId = await client.call('session.clone', { sessionId: beforeReplyId! })
      await dispose(previousId)
      attempt++
      return generate(signal, onText)
    },
    async restart() {
      await dispose(beforeReplyId)
      await dispose(sessionId)
      beforeReplyId = null
      last = null
      messages = [...opening]
      sessionId = await client.call('session.create', undefined)
    },
    lastReply: () => last,
  }
}

/** A seed that can be told. A given one would repeat the reply that the user wants replaced. */
export function seeded(sampling: Sampling, attempt = 0): Sampling {
  if (sampling.temperature === 0) return sampling
  if (sampling.seed === undefined) return { ...sampling, seed: randomInt(2 ** 32) }
  return { ...sampling, seed: (sampling.seed + attempt) % Number.MAX_SAFE_INTEGER }
}
