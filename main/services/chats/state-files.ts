/** State files that the user saves and opens: a conversation that has been read, with its messages. */
import type { OpenedState } from '../../../contract/app/states.ts'
import { TernError } from '../../../contract/errors.ts'
import type { TemplateMessage } from '../../../contract/words/message.ts'
import { generate } from '../../generation/generate.ts'
import type { MessageNode } from './message-tree.ts'
import type { OpenChat } from './open-chat.ts'
import type { EngineAccess } from './ports.ts'
import type { SessionStore } from './session-store.ts'

interface StateFileContext {
  engine: EngineAccess
  sessions: SessionStore
}

/** The state after a message; what no state has read yet is read for it. */
export async function saveState(chat: OpenChat, messageId: string, context: StateFileContext): Promise<Uint8Array> {
  const { signal } = new AbortController()
  const connection = await context.engine.whenReady(signal)
  const conversationAt = (id: string) => ({
    messages: chat.tree.conversation(id),
    addGenerationPrompt: chat.tree.node(id)?.role === 'user',
  })
  const ids = chat.tree.pathTo(messageId).map(({ id }) => id)
  const { session, readUpTo } = await context.sessions.open(chat.record.id, ids, connection, conversationAt)
  const { sessionId } = session
  const conversation = conversationAt(messageId)
  try {
    if (readUpTo !== messageId) {
      session.messageId = null
      const input = { kind: 'messages', ...conversation } as const
      await generate(connection.client, { sessionId, input, sampling: { maxTokens: 0 } }, signal, () => {})
      session.messageId = messageId
    }
    return await connection.client.call('session.export', { sessionId, stored: conversation })
  } finally {
    context.sessions.release(session)
  }
}

export interface StateToOpen {
  messages: readonly TemplateMessage[]
  /** Of the loaded model, which can go on from it; null: its text is to be read again. */
  modelKey: string | null
}

/** What is in a file, or why it is not opened. Throws `state-corrupt`, and `invalid-argument` without a conversation. */
export async function readStateToOpen(
  state: Uint8Array,
  readAgain: boolean,
  { engine }: StateFileContext,
): Promise<StateToOpen | Exclude<OpenedState, { kind: 'opened' }>> {
  const { client, modelKey } = await engine.whenReady()
  const { conversation, misfit, modelName, tokenCount } = await client.call('state.describe', { state })
  if (conversation === null) {
    throw new TernError({
      code: 'invalid-argument',
      message: 'This state holds no conversation that could be shown.',
      expected: 'a state that was saved in a chat',
      remedy: 'Go on with it on the command line: tern run --raw --state-in FILE.',
    })
  }
  if (misfit !== null && !readAgain) return { kind: 'misfit', error: misfit, modelName, tokenCount }
  return { messages: conversation.messages, modelKey: misfit === null ? modelKey : null }
}

/** Messages of a file as those of a chat. */
export function nodesOf(
  messages: readonly TemplateMessage[],
  newMessage: (role: TemplateMessage['role'], content: string, parentId: string | null) => MessageNode,
): MessageNode[] {
  let parentId: string | null = null
  return messages.map(({ role, content }) => {
    const node: MessageNode = { ...newMessage(role, content, parentId), status: 'complete' }
    parentId = node.id
    return node
  })
}
